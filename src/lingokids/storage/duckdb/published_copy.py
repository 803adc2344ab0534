"""The published copy: the gold tables in a file of their own, for readers.

It is written aside and renamed, so a reader has a whole one, old or new, and never waits for a run.
If it is of the run before, a new one is made from it by replacing the days and users that the run
made due: the cost follows what is new. Any other copy is written whole, and so is one that a reader
opened for writing: its modification time tells, for it is set to the instant in its run's id.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from lingokids.errors import LingokidsError
from lingokids.schema.days import have_same_days
from lingokids.storage.duckdb.expressions import dtype_of, text
from lingokids.storage.duckdb.sentences import cannot_open, is_locked
from lingokids.storage.duckdb.units import columns_of, deletion
from lingokids.storage.records import instant_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingokids.storage.duckdb.warehouse import Warehouse

_COPY = '".lingokids-copy"'  # no file's name: the engine calls a database as its file
_SUCCESSES = "SELECT run_id FROM main.runs WHERE status = 'succeeded' ORDER BY run_id DESC LIMIT 2"

#: Beside the origin: the zone that days are counted in.
TIME_ZONE, SEVERAL_ZONES = "time_zone", "several time zones"

_NOTED = """
    SELECT comment, (SELECT max(run_id) FROM main.runs) FROM duckdb_tables()
    WHERE database_name = current_database() AND table_name = 'runs'
"""


class PublishedCopy:
    """The read-only copy of the gold tables of one warehouse, after a run's commit.

    Args:
        warehouse: The warehouse; the file is its ``published``.
        tables: The tables that are copied.
        time_zone: The zone that the run counted days in.
        is_whole: Whether it made every table.

    Attributes:
        successes: The last two runs that changed something, the last one first.
        is_of_changes: Whether it is made from the one before, by what the run changed.
    """

    is_of_changes = False

    def __init__(
        self, warehouse: Warehouse, tables: list[str], time_zone: str, *, is_whole: bool
    ) -> None:
        self._file = warehouse.published
        self._con = warehouse.writer.con
        self._warehouse = warehouse
        self._tables = tables
        self._noted = origin_of_copy(self._file)
        zone = self._zone_of_days(time_zone, is_whole=is_whole)
        self._origin = warehouse.origin | {TIME_ZONE: zone}
        there = "runs" in warehouse.tables
        runs = self._con.execute(_SUCCESSES).fetchall() if there else []
        self.successes = [run_id for (run_id,) in runs]

    @property
    def is_current(self) -> bool:
        """Whether it is of the last run that changed something.

        It is not if the run was killed between its commit and its publication.
        """
        if not self.successes:
            return True
        is_of_last = self._copied_run() == self.successes[0]
        return is_of_last and self._noted == self._origin

    def _zone_of_days(self, time_zone: str, *, is_whole: bool) -> str:
        """The zone that its days are counted in; after a run of a part in another: several."""
        noted = zone_of(self._noted) if self._noted else time_zone
        if noted != SEVERAL_ZONES and have_same_days(noted, time_zone):
            return noted
        return time_zone if is_whole else SEVERAL_ZONES if self._warehouse.has_changed else noted

    def publish(self) -> None:
        """Bring the copy up to date, by what the run changed where that is enough.

        Raises:
            LingokidsError: The file cannot be written; the run itself is committed.
        """
        if not self.successes:
            return
        aside = self._file.with_name(f".{self._file.name}.part")
        # a copy of a copy holds what was deleted from it
        is_anew = self._warehouse.erasing.leaves_no_trace or not self._warehouse.has_changed
        self.is_of_changes = not is_anew and self.successes[1:] == [self._copied_run()]
        try:
            self._remove_leftovers()
            if self.is_of_changes:
                shutil.copyfile(self._file, aside)
            self._write(aside, self._copy_changes if self.is_of_changes else self._copy_rows)
            aside.chmod(aside.stat().st_mode & ~0o222)  # who opens it for writing is told so
            os.utime(aside, ns=(instant_of(self.successes[0]),) * 2)
            self._wal.unlink(missing_ok=True)  # of a reader who wrote: it is not of the new file
            aside.replace(self._file)
        except (OSError, duckdb.Error) as error:
            raise LingokidsError(
                f"The run is committed, but {self._file.name} could not be written "
                f"({str(error).splitlines()[0]}): fix that and run again."
            ) from error
        finally:
            self._remove_leftovers()

    @property
    def _wal(self) -> Path:
        return self._file.with_name(f"{self._file.name}.wal")

    def _remove_leftovers(self) -> None:
        """Remove what was written aside, by a killed run too; only one run writes at a time."""
        for file in [*self._file.parent.iterdir()]:
            if file.name.startswith(f".{self._file.name}."):
                file.unlink()

    def _copied_run(self) -> str | None:
        """The last run the copy is of; None if there is no copy of ours, as we wrote it."""
        _, run_id = _origin_and_run(self._file)
        if run_id is None or self._wal.exists():
            return None
        return run_id if self._file.stat().st_mtime_ns == instant_of(run_id) else None

    def _write(self, file: Path, copy: Callable[[str], None]) -> None:
        self._con.execute(f"ATTACH {text(str(file))} AS {_COPY}")
        try:
            for name in self._tables:
                copy(name)
            self._copy_rows("runs")
            self._copy_results()
            self._con.execute(f"DELETE FROM {_COPY}.main.runs WHERE status <> 'succeeded'")
            origin = text(json.dumps(self._origin))
            self._con.execute(f"COMMENT ON TABLE {_COPY}.main.runs IS {origin}")
            self._con.execute(f"CHECKPOINT {_COPY}")
        finally:
            self._con.execute(f"DETACH {_COPY}")

    def _copy_rows(self, name: str) -> None:
        self._con.execute(f'CREATE OR REPLACE TABLE {_COPY}.main."{name}" AS {self._rows_of(name)}')

    def _copy_results(self) -> None:
        """The last result of each rule, for the dashboard."""
        if "check_results" in self._warehouse.tables:
            self._con.execute(
                f"CREATE OR REPLACE TABLE {_COPY}.main.check_results AS FROM main.check_results "
                "QUALIFY row_number() OVER (PARTITION BY table_name, rule ORDER BY run_id DESC) = 1"
            )

    def _copy_changes(self, name: str) -> None:
        due = self._warehouse.due.get(name)
        if name not in self._warehouse.changed_tables and self._has_same_columns(name):
            return
        if due is None or due.relation is None or not self._has_same_columns(name):
            self._copy_rows(name)
            return
        copy, units = f'{_COPY}.main."{name}"', f'temp.main."{due.relation}"'
        self._con.execute(deletion(copy, due.step.unit, units))
        self._con.execute(
            f"INSERT INTO {copy} BY NAME {self._rows_of(name)} "
            f"SEMI JOIN {units} USING ({columns_of(due.step.unit)})"
        )

    def _rows_of(self, name: str) -> str:
        """All rows, without what is hidden from readers."""
        hidden = "EXCLUDE (version) " if "version" in self._warehouse.columns[name] else ""
        return f'SELECT * {hidden}FROM main."{name}"'

    def _has_same_columns(self, name: str) -> bool:
        rows = self._con.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = ? AND table_name = ?",
            [_COPY.strip('"'), name],
        ).fetchall()
        columns = self._warehouse.columns[name].items()
        return {column: dtype_of(sql, nullable=True) for column, sql in rows} == {
            column: dtype.copy(nullable=True) for column, dtype in columns if column != "version"
        }


def open_copy(published: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the published copy.

    Raises:
        LingokidsError: There is no copy, or it cannot be read.
    """
    if not published.exists():
        raise LingokidsError(
            f"{published.name} is not there yet: uv run kedro run, with the same --env, makes it."
        )
    # attached: to connect gives a process that has the file open the one of before again; and what
    # it spills has a name of its own, for readers do not wait for each other
    spilled = Path(tempfile.gettempdir(), f"lingokids-{uuid.uuid4()}")
    con = duckdb.connect(config={"temp_directory": str(spilled)})
    try:
        con.execute(f"ATTACH {text(str(published))} AS {_COPY} (READ_ONLY); USE {_COPY}")
    except duckdb.Error as error:
        if is_locked(error) or isinstance(error, duckdb.BinderException):
            cure = "Close it there, or open it read-only."
            raise LingokidsError(cannot_open(published, error, cure)) from error
        raise LingokidsError(
            f"{published.name} cannot be read ({str(error).splitlines()[0]}): uv run kedro run "
            "makes it again."
        ) from error
    return con


def origin_of_copy(published: Path) -> dict[str, str]:
    """What a copy is of: environment, raw places, time zone; nothing if it is no copy of ours."""
    origin, _ = _origin_and_run(published)
    return dict(json.loads(origin or "{}"))


def zone_of(origin: dict[str, str]) -> str:
    """The time zone that days of a copy are counted in; before there was a choice it was UTC."""
    return origin.get(TIME_ZONE, "UTC")


def _origin_and_run(published: Path) -> tuple[str | None, str | None]:
    """What a copy notes of itself: its origin, as text, and its last run; nothing if not ours."""
    if not published.exists():
        return None, None
    file = published.stat()
    version = file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns
    with contextlib.suppress(LingokidsError, duckdb.Error):
        return _noted_in(published, *version)
    return None, None


@functools.lru_cache(maxsize=8)
def _noted_in(published: Path, *_version: int) -> tuple[str | None, str | None]:
    """See ``_origin_and_run``: a file that is the same is asked once."""
    with open_copy(published) as con:
        return con.execute(_NOTED).fetchone() or (None, None)


def missing_in_copy(published: Path, table_name: str) -> str:
    """What to do when the published copy lacks a table: it is older than the table."""
    return (
        f"{published.name} has no {table_name} yet: uv run kedro run --params rebuild=bronze "
        "makes it."
    )
