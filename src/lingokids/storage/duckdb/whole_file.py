"""The warehouse as one file: copied, summed up, compared with another, put in its place.

It is opened read-only for that: readers go on, and a run that begins waits. Only runs are waited
for. The command's side, and where copies are kept: ``storage.backups``.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.erased import NOTED_ERASURES
from lingokids.storage.duckdb.expressions import text
from lingokids.storage.duckdb.opening import LOCK_RETRY_SECONDS, LOCK_WAIT_SECONDS
from lingokids.storage.duckdb.sentences import cannot_open, first_line, is_locked, out_of_room
from lingokids.storage.duckdb.state import ORIGIN
from lingokids.storage.lake.pointer import Sum
from lingokids.storage.records import OF_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lingokids.storage.duckdb.warehouse import Warehouse

_TABLES = """
    SELECT table_name, list('"' || column_name || '"' ORDER BY column_index)
    FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, schema_name, table_name)
    WHERE database_name = '{0}' AND schema_name = 'main' GROUP BY ALL ORDER BY ALL
"""
_COMMENTS = "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = '{0}'"
_STATE, _GONE = schema.TABLE_STATE.table_name, schema.GONE.table_name
#: What says in which order objects were taken in: two ways to the same tables differ in it.
_OF_LOADS = {"load_id", "past_reason"}
_OF_OBJECTS = {schema.QUARANTINED_LINES.table_name, schema.RESCUED_VALUES.table_name}


@dataclass
class Contents:
    """What a warehouse file holds.

    Attributes:
        tables: By table, its rows, those of its columns that are hidden included.
        origin: The environment and raw places that it is of.
        erased: The erasures that it reflects: see ``erasures.Erasure.mark``.
        run_id: The last run that it has; "": none.
        engine: The version that computed the checksums: another may hash otherwise.
    """

    tables: dict[str, Sum]
    origin: dict[str, str]
    erased: list[str]
    run_id: str
    engine: str = duckdb.__version__

    def differences(self, other: Contents) -> list[str]:
        """The tables that are not the same, by number of rows alone if the engines differ."""
        mine, theirs = ({**each.tables} for each in (self, other))
        if self.engine != other.engine:
            mine, theirs = (
                {name: of._replace(checksum=0) for name, of in tables.items()}
                for tables in (mine, theirs)
            )
        return sorted(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n))


def copy(warehouse: Warehouse, into: Path) -> Contents:
    """Copy what is committed into a new file, which has no block of what was deleted before.

    Raises:
        LingokidsError: A run holds the file for too long, it is damaged, or there is no room.
    """
    settings = warehouse.settings | {"temp_directory": f"{into}.tmp"}
    with attached(settings, warehouse=warehouse.database) as con:
        try:
            contents = _contents(con, "warehouse")
            con.execute(f"ATTACH {text(str(into))} AS whole (STORAGE_VERSION 'latest')")
            con.execute("SET preserve_insertion_order = true")
            con.execute("COPY FROM DATABASE warehouse TO whole; CHECKPOINT whole; DETACH whole")
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"{warehouse.name} was not copied: {out_of_room(error)}") from None
        except duckdb.Error as error:
            raise LingokidsError(
                f"{warehouse.name} cannot be read whole ({first_line(error)}): restore it from an "
                "earlier backup."
            ) from None
    if wrong := look_into(into).differences(contents):
        raise LingokidsError(
            f"The copy of {warehouse.name} is not what was copied ({', '.join(wrong)}): look at "
            "the disk, and back up again."
        )
    return contents


def look_into(file: Path) -> Contents:
    """What a file holds.

    Raises:
        LingokidsError: It is no warehouse, or damaged.
    """
    with attached({"temp_directory": f"{file}.tmp"}, warehouse=file) as con:
        try:
            return _contents(con, "warehouse")
        except duckdb.Error as error:
            raise LingokidsError(f"{file.name} is damaged: {first_line(error)}.") from None


def _contents(con: duckdb.DuckDBPyConnection, database: str) -> Contents:
    sums = {
        name: _sum(con, f'SELECT {", ".join(columns)} FROM {database}.main."{name}"')
        for name, columns in tables_in(con, database).items()
    }
    noted = _comments(con, database)
    run = schema.RUNS.table_name
    last = con.execute(f"SELECT max(run_id) FROM {database}.main.{run}") if run in sums else None
    return Contents(
        sums,
        _origin_in(noted.get(_STATE)),
        _erased_in(noted),
        ((last.fetchone() if last else None) or ("",))[0] or "",
    )


def tables_in(con: duckdb.DuckDBPyConnection, database: str) -> dict[str, list[str]]:
    """By table of an attached database, its columns as SQL, those that are hidden included."""
    return dict(con.execute(_TABLES.format(database)).fetchall())


def _sum(con: duckdb.DuckDBPyConnection, rows: str) -> Sum:
    # Ibis hashes one value at a time; the engine several, and reads each column once
    answer = con.execute(f"SELECT count(*), coalesce(bit_xor(hash(*COLUMNS(*))), 0) FROM ({rows})")
    return Sum(*(answer.fetchone() or (0, 0)))


@contextlib.contextmanager
def attached(settings: dict[str, Any], **databases: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that has files open for reading, each by its name.

    Raises:
        LingokidsError: One is not there or no database, or a run holds it for too long.
    """
    with duckdb.connect(config=settings) as con:
        for name, file in databases.items():
            give_up_at = time.monotonic() + LOCK_WAIT_SECONDS
            if not file.exists():
                raise LingokidsError(f"{file} is not there yet: uv run kedro run makes it.")
            while True:
                try:
                    con.execute(f"ATTACH {text(str(file))} AS {name} (READ_ONLY)")
                    break
                except duckdb.Error as error:
                    if not is_locked(error) or time.monotonic() > give_up_at:
                        cure = "Wait until it ends, and give the command again."
                        raise LingokidsError(cannot_open(file, error, cure)) from error
                time.sleep(LOCK_RETRY_SECONDS)
        yield con


# --- in place of another ---------------------------------------------------------------------


def put_in_place(new: Path, database: Path) -> None:
    """Have a file be the warehouse, in one step; what was there before is gone.

    Raises:
        LingokidsError: A run holds the one that is there.
    """
    if not database.exists():
        try:
            os.link(new, database)  # refused if a run has made one meanwhile
        except FileExistsError:
            raise LingokidsError(
                f"{database.name} was made by a run just now: wait until it ends, and give the "
                "command again."
            ) from None
        new.unlink()
        return
    with _kept_from_runs(database):
        _log_of(database).unlink(missing_ok=True)  # of a killed run: it is not of the new file
        new.replace(database)


def swap(database: Path, other: Path) -> None:
    """Exchange two warehouses of the same raw objects; a reader always finds a whole one.

    Raises:
        LingokidsError: One is held or was left by a killed run, or they are of other raw objects.
    """
    aside = database.with_name(f".{database.name}.swapped")
    if aside.exists() and not other.exists():  # of one that was killed before its last step
        aside.replace(other)
        return
    if other.exists() and database.exists() and other.samefile(database):
        raise LingokidsError(f"{other.name} is the warehouse itself: name the one built beside it.")
    noted, (ours, theirs) = _noted(other), map(_origin_in, (_noted(database), _noted(other)))
    for name in sorted((ours.keys() & theirs.keys()) - {"environment"}):
        if ours[name] != theirs[name]:
            raise LingokidsError(
                f"{other.name} is of {name} at {theirs[name]}, and {database.name} of "
                f"{ours[name]}: build it from the same raw objects."
            )
    if not theirs:
        raise LingokidsError(f"{other.name} is no warehouse that a run has made.")
    with _kept_from_runs(database):
        if left := [each.name for each in map(_log_of, (database, other)) if each.exists()]:
            raise LingokidsError(f"A killed run left {left[0]}: run there once, then swap.")
        if theirs != ours:
            _note_origin(other, noted, theirs | ours)
        with _kept_from_runs(other):
            _exchange(database, other, aside)


def _exchange(database: Path, other: Path, aside: Path) -> None:
    try:
        aside.unlink(missing_ok=True)
        os.link(database, aside)
        other.replace(database)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise LingokidsError(
            f"{other} cannot take the place of {database} ({error.strerror}): build it in the "
            "same folder."
        ) from None
    aside.replace(other)


def _noted(file: Path) -> str:
    """What is noted where the origin of a warehouse stands."""
    with attached({}, warehouse=file) as con:
        return _comments(con, "warehouse").get(_STATE) or ""


def origin_in(file: Path) -> dict[str, str]:
    """The environment and raw places that a warehouse is of."""
    return _origin_in(_noted(file))


def erasures_in(file: Path) -> list[str]:
    """The erasures that a warehouse reflects: see ``Contents.erased``."""
    with attached({}, warehouse=file) as con:
        return _erased_in(_comments(con, "warehouse"))


def _comments(con: duckdb.DuckDBPyConnection, database: str) -> dict[str, str | None]:
    return dict(con.execute(_COMMENTS.format(database)).fetchall())


def _erased_in(noted: dict[str, str | None]) -> list[str]:
    return (noted.get(_GONE) or "").partition(NOTED_ERASURES)[2].split()


def _origin_in(noted: str | None) -> dict[str, str]:
    return dict(json.loads((noted or "").partition(ORIGIN)[2] or "{}"))


def _note_origin(file: Path, noted: str, origin: dict[str, str]) -> None:
    after = noted.partition(ORIGIN)[0] + ORIGIN + json.dumps(origin)
    try:
        with duckdb.connect(str(file)) as con:
            con.execute(f"COMMENT ON TABLE {_STATE} IS {text(after)}")
    except duckdb.Error as error:
        raise LingokidsError(cannot_open(file, error, "Close it there first.")) from None


@contextlib.contextmanager
def _kept_from_runs(database: Path) -> Iterator[None]:
    """While a file is open for reading no run writes it; a damaged one none can open."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(attached({}, kept=database))
        except LingokidsError as error:
            if isinstance(error.__cause__, duckdb.Error) and is_locked(error.__cause__):
                raise
        yield


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


# --- compared --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A table of two warehouses: nothing is said of its rows but how many there are, and days.

    Attributes:
        rows: Here, and there; None: it has no such table.
        only: Rows that only this one has, and only that one.
        columns: Columns that only one of them has; the others are compared.
        days: The days with rows that differ.
    """

    table_name: str
    rows: tuple[int | None, int | None]
    only: tuple[int, int] = (0, 0)
    columns: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether they say the same."""
        return not (self.columns or any(self.only)) and None not in self.rows


def compare(warehouse: Warehouse, other: Path) -> list[Difference]:
    """Compare what two warehouses say of raw objects as they are, table by table.

    Not compared are what runs note of themselves, the loads that objects came in, and what was
    superseded: they differ between two ways to the same tables.
    """
    settings = warehouse.settings | {"temp_directory": f"{other}.tmp"}
    with attached(settings, here=warehouse.database, there=other) as con:
        known = [
            {name: {*columns} for name, columns in tables_in(con, each).items()}
            for each in ("here", "there")
        ]
        names = [
            name for name in schema.STORED if name not in OF_RUNS and name in {*known[0], *known[1]}
        ]
        return [_compare(con, name, [each.get(name) for each in known]) for name in names]


def _compare(
    con: duckdb.DuckDBPyConnection, name: str, columns: list[set[str] | None]
) -> Difference:
    if None in columns:
        counts = [
            None if known is None else _sum(con, f'SELECT 1 FROM {of}.main."{name}"').rows
            for of, known in zip(("here", "there"), columns, strict=True)
        ]
        return Difference(name, (counts[0], counts[1]))
    mine, theirs = (each or set() for each in columns)
    hidden = {f'"{each}"' for each in (*_OF_LOADS, "version")}
    here, there = (_said(name, sorted((mine & theirs) - hidden), of) for of in ("here", "there"))
    sums = [_sum(con, rows) for rows in (here, there)]
    rows = (sums[0].rows, sums[1].rows)
    apart = sorted(each.strip('"') for each in (mine ^ theirs) - hidden)
    if sums[0] == sums[1]:
        return Difference(name, rows, columns=apart)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE differing AS (SELECT true AS here, * FROM ({here} EXCEPT "
        f"ALL {there})) UNION ALL (SELECT false AS here, * FROM ({there} EXCEPT ALL {here}))"
    )
    only = con.execute(
        "SELECT count(*) FILTER (here), count(*) FILTER (NOT here) FROM differing"
    ).fetchone() or (0, 0)
    days: list[tuple[Any, ...]] = []
    if '"date"' in mine & theirs:
        days = con.execute("SELECT DISTINCT date FROM differing ORDER BY ALL").fetchall()
    return Difference(name, rows, (only[0], only[1]), apart, [str(day) for (day,) in days])


def _said(name: str, columns: list[str], of: str) -> str:
    """What a table says of raw objects as they are."""
    rows = f'SELECT {", ".join(columns)} FROM {of}.main."{name}"'
    if '"is_current"' in columns:
        return f"{rows} WHERE is_current"
    if name in _OF_OBJECTS:
        ledger = f"FROM {of}.main.{schema.INGESTED_OBJECTS.table_name} WHERE is_current"
        return f"{rows} SEMI JOIN ({ledger}) USING (dataset, object_key, load_id)"
    return rows
