"""The warehouse: one DuckDB file, one writer with one transaction.

A run holds the file from its first step to its last. Outside a run the file is opened read-only
for one query at a time and closed again, so notebooks and kedro-viz never keep a run waiting.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
from ibis.backends.duckdb import Backend

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb import state
from lingokids.storage.duckdb.expressions import no_rows
from lingokids.storage.duckdb.published_copy import PublishedCopy, missing_in_copy, open_copy
from lingokids.storage.duckdb.reading import ReadingBackend, connect_for_reading
from lingokids.storage.duckdb.sentences import cannot_open, out_of_room
from lingokids.storage.engine import Change, Engine, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from datetime import date

    import ibis
    import ibis.expr.types as ir

    from lingokids.incremental.links import Step
    from lingokids.schema import Contract
    from lingokids.schema.parameters import Instants
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.duckdb.bronze import StoredBronze
    from lingokids.storage.duckdb.parsing import RecordReader
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.engine import Kept
    from lingokids.storage.lake.parquet import Offer
    from lingokids.storage.raw.stores import RawObject

#: Beside the columns of contracts, hidden from nodes: the run that last changed a row.
VERSION = "version"
LOCK_WAIT_SECONDS = 10.0
_LOCK_RETRY_SECONDS = 0.2

_ENGINE_SETTINGS: dict[str, Any] = {
    "preserve_insertion_order": False,
    # new files use the newest encodings: a quarter quicker to write, and a tenth smaller
    "storage_compatibility_version": "latest",
}

_STORED_COLUMNS = """
    SELECT table_name, list(column_name) FROM duckdb_columns()
    WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal
    GROUP BY table_name
"""


class Warehouse(Engine):
    """One DuckDB file, shared by every table of an environment.

    Attributes:
        database: The file.
        published: The read-only copy of the gold tables.
        reports: The folder of pages about runs; None: none are written.
        changes: What the run in hand has done so far, in order.
        columns: The columns of the tables there are, as the run in hand sees them.
        number: The number of the run in hand.
        due: The units that it makes of each incremental table.
        rewritten_loads: By table, the loads whose rows it wrote.
        offers: What it offers to be published once it is committed.
        restored_loads: By table, the loads it restores from a lake and the runs that wrote them.
        copy: The published copy, or the warehouse, while a run reads it and writes no table.
        read_from: Which of the two files.
    """

    hidden_column = VERSION
    _known: ClassVar[dict[Path, Warehouse]] = {}
    is_committing: ClassVar[bool] = False  # from a commit to the end of its run: too late to stop

    def __init__(
        self, database: Path, published: Path, reports: Path | None, **settings: Any
    ) -> None:
        self.database = database
        self.published = published
        self.reports = reports
        self.changes: list[Change] = []
        self.columns: dict[str, frozenset[str]] = {}
        self.number = 0
        self.due: dict[str, DueUnits] = {}
        self.rewritten_loads: defaultdict[str, set[int]] = defaultdict(set)
        self.offers: list[Offer] = []
        self.restored_loads: dict[str, dict[str, str]] = {}
        self._settings = _ENGINE_SETTINGS | {
            name: value for name, value in settings.items() if value is not None
        }
        self._writer: Backend | None = None
        self.copy: Backend | None = None
        self.read_from = database

    @classmethod
    def at(
        cls, database: str, published: str, reports: str | None = None, **settings: Any
    ) -> Warehouse:
        """The warehouse in this file: the same object for every table of the process."""
        path = Path(database)
        if path not in cls._known:
            folder = Path(reports) if reports else None
            cls._known[path] = cls(path, Path(published), folder, **settings)
        return cls._known[path]

    @property
    def name(self) -> str:
        """See ``engine.Engine``."""
        return self.database.name

    @property
    def tables(self) -> set[str]:
        """See ``engine.Engine``."""
        return {*self.columns}

    def has(self, table_name: str) -> bool:
        """See ``engine.Engine``."""
        return self.in_run or table_name in self.reader().list_tables()

    def has_versions(self, contract: Contract) -> bool:
        """Whether rows of a table say which run last changed them."""
        return VERSION in self.columns.get(contract.table_name, ()) and (
            VERSION not in contract.columns
        )

    def is_outdated(self, table: Kept) -> bool:
        """See ``engine.Engine``."""
        return self.columns.get(table.table_name) not in {None, self.stored(table).stored_columns}

    def stored(self, table: Kept) -> StoredTable:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.stored import StoredTable

        return StoredTable(self, table)

    def stored_lines(self, table: BronzeDataset) -> StoredBronze:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.bronze import StoredBronze

        return StoredBronze(self, table)

    def line_reader(
        self, dataset: str, due: list[RawObject], validate: Callable[[ir.Table], ir.Table]
    ) -> RecordReader:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.parsing import RecordReader

        return RecordReader(self, dataset, schema.FIELDS[dataset], due, validate)

    def validate_texts(
        self, dataset: str, lines: ir.Table, validate: Callable[[ir.Table], ir.Table]
    ) -> ir.Table:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.parsing import validate_texts

        return validate_texts(self, dataset, schema.FIELDS[dataset], lines, validate)

    def bounded_memory(self, mebibytes: int | None) -> AbstractContextManager[None]:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.memory import bounded

        return bounded(self.writer.con, mebibytes)

    def prepare_rebuild(self, bronze: list[BronzeDataset], instants: Instants) -> None:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.backfill import fill_new_fields
        from lingokids.storage.duckdb.upgrade import upgrade

        tables = [self.stored_lines(table) for table in bronze]
        upgrade(tables)
        fill_new_fields(tables, instants)

    def forget_rules(self, table_names: Iterable[str]) -> None:
        """See ``engine.Engine``."""
        state.forget_rules(self, table_names)

    def prune_marks(self, steps: Iterable[Step]) -> None:
        """See ``engine.Engine``."""
        state.prune_marks(self, steps)

    def units_written(self) -> list[dict[str, Any]]:
        """See ``engine.Engine``."""
        loads = [
            {"table_name": name, "load_id": load_id}
            for name, written in self.rewritten_loads.items()
            for load_id in sorted(written)
        ]
        days = [
            {"table_name": name, "date": day}
            for name, due in self.due.items()
            if "date" in due.step.unit and name in self.changed_tables
            for day in self._days_of(name, due)
        ]
        return loads + days

    def _days_of(self, table_name: str, due: DueUnits) -> list[date]:
        if due.relation:
            query = f'SELECT DISTINCT date FROM temp.main."{due.relation}"'
        else:
            query = f'SELECT DISTINCT date FROM main."{table_name}"'
            if schema.RUN_UNITS.table_name in self.tables:
                # all days were made: those of past runs too, which may have no row any more
                query += (
                    f" UNION SELECT date FROM {schema.RUN_UNITS.table_name} "
                    f"WHERE table_name = '{table_name}' AND date IS NOT NULL"
                )
        return sorted(day for (day,) in self.writer.con.execute(query).fetchall())

    def last_success(self) -> str | None:
        """See ``engine.Engine``."""
        runs = PublishedCopy(self, []).successes
        return runs[0] if runs else None

    def rows(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """See ``engine.Engine``."""
        try:
            return self.writer.con.execute(self.writer.compile(question)).fetchall()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"Checking the tables: {out_of_room(error)}") from error
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise UnreadableError(_first_line(error)) from error
        except duckdb.Error as error:  # it has ended the transaction: no other can be answered
            raise LingokidsError(
                f"The tables cannot be checked: {_first_line(error)}. Look for it table by table, "
                "by --pipeline checks --params checks.table=…"
            ) from error

    def empty(self, columns: ibis.Schema) -> ir.Table:
        """See ``engine.Engine``."""
        return self.writer.sql(no_rows(columns), schema=columns)

    def schema_of(self, table_name: str) -> ibis.Schema:
        """See ``engine.Engine``."""
        try:
            return self.writer.get_schema(table_name)
        except duckdb.Error as error:
            raise UnreadableError(_first_line(error)) from error

    @property
    def has_changed(self) -> bool:
        """Whether the run in hand deleted or inserted a row that it keeps."""
        return bool(self.changed_tables)

    @property
    def changed_tables(self) -> list[str]:
        """See ``engine.Engine``."""
        return list(
            dict.fromkeys(
                change.table_name
                for change in self.changes
                if change.rows_deleted or change.rows_inserted
            )
        )

    @property
    def in_run(self) -> bool:
        """See ``engine.Engine``."""
        return self._writer is not None

    @property
    def writer(self) -> Backend:
        """The run's connection.

        Raises:
            LingokidsError: No run is in progress in this process.
        """
        if self._writer is None:
            raise LingokidsError(
                f"{self.database.name} is written by runs only: use kedro run, or session.run() "
                "in a notebook."
            )
        return self._writer

    def begin(self) -> None:
        """Open the file for writing and begin the run's one transaction.

        Raises:
            LingokidsError: Another process holds the file, or it cannot be opened.
        """
        self.close()
        self.database.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect_for_writing()
        self._writer = Backend.from_connection(connection)
        self._writer.con.execute("BEGIN TRANSACTION")
        self.changes = []
        stored = self._writer.con.execute(_STORED_COLUMNS).fetchall()
        self.columns = {table: frozenset(names) for table, names in stored}
        self.due = {}
        self.rewritten_loads = defaultdict(set)
        self.offers = []
        self.restored_loads = {}
        self.number = self._next_number()
        state.ensure_state(self)

    def _next_number(self) -> int:
        """The number of the run in hand: greater than that of any run or load before."""
        if "table_state" not in self.tables:
            return 1
        row = self.writer.con.execute("SELECT max(version) FROM table_state").fetchone()
        return max(row[0] if row and row[0] else 0, self.last_load() or 0) + 1

    def begin_reading(self, *, gold_alone: bool) -> None:
        """See ``engine.Engine``.

        Either way the run sees one state of the tables: the next publication puts a new copy in
        the old one's place, and while the warehouse is open none writes it.
        """
        self.close()
        self.read_from = self.published if gold_alone else self.database
        self.copy = Backend.from_connection(
            open_copy(self.published)
            if gold_alone
            else connect_for_reading(self.database, self.published)
        )

    def commit(self) -> None:
        """See ``engine.Engine``."""
        Warehouse.is_committing = True
        try:
            self.writer.con.execute("COMMIT")
        except duckdb.Error as error:  # an I/O error comes as one of the transaction
            raise LingokidsError(f"The commit failed: {out_of_room(error)}") from error

    def close(self) -> None:
        """See ``engine.Engine``."""
        Warehouse.is_committing = False
        if self._writer is not None:
            self._writer.con.close()
            self._writer = None
        if self.copy is not None:
            self.copy.con.close()
            self.copy = None
        self.read_from = self.database

    def last_load(self) -> int | None:
        """See ``engine.Engine``."""
        if "ingested_objects" not in self.tables:
            return None
        row = self.writer.con.execute("SELECT max(load_id) FROM ingested_objects").fetchone()
        return row[0] if row else None

    def reader(self) -> ReadingBackend:
        """A connection that holds the file only while it answers.

        While a run holds it, the published copy answers instead, if it has the table.
        """
        return ReadingBackend(self.database, self.published)

    def why_missing(self, table_name: str) -> str:
        """Why a reader does not find a table: there is none yet, or a run holds the file."""
        if self.read_from == self.published:
            return missing_in_copy(self.published, table_name)
        try:
            duckdb.connect(str(self.database), read_only=True).close()
        except duckdb.Error as error:
            return cannot_open(self.database, error, cure="Read it when that one ends.")
        return f"{table_name} is not there yet: uv run kedro run makes it."

    def publish(self, gold: Iterable[str]) -> None:
        """Bring the published copy up to the run in hand, after its commit, if it is not.

        Args:
            gold: The tables that are copied.
        """
        copy = PublishedCopy(self, [name for name in gold if name in self.tables])
        if self.has_changed or not copy.is_current:
            copy.publish()

    def _connect_for_writing(self) -> duckdb.DuckDBPyConnection:
        give_up_at = time.monotonic() + LOCK_WAIT_SECONDS
        cure = (
            "Wait until it ends, or stop it, and run again; to read, open "
            f"{self.published.name}, which no run waits for. Nothing was changed."
        )
        while True:
            try:
                return duckdb.connect(str(self.database), config=self._settings)
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() > give_up_at:
                    raise LingokidsError(cannot_open(self.database, error, cure)) from error
            except duckdb.Error as error:
                raise LingokidsError(cannot_open(self.database, error, cure)) from error
            time.sleep(_LOCK_RETRY_SECONDS)


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
