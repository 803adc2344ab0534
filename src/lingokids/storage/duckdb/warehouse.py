"""The warehouse: one DuckDB file, one writer with one transaction.

A run holds the file from its first step to its last, and is of one thread: other threads of its
process take turns, and see of it no more than other processes do. Outside a run the file is opened
read-only for one query at a time and closed again: notebooks and kedro-viz keep no run waiting.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
from ibis.backends.duckdb import Backend

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb import state
from lingokids.storage.duckdb.asked import Asked
from lingokids.storage.duckdb.expressions import dtype_of
from lingokids.storage.duckdb.opening import LOCK_WAIT_SECONDS, open_for_a_run
from lingokids.storage.duckdb.published_copy import PublishedCopy, missing_in_copy, open_copy
from lingokids.storage.duckdb.reading import ReadingBackend, connect_for_reading
from lingokids.storage.duckdb.sentences import cannot_open, out_of_room
from lingokids.storage.engine import Change
from lingokids.storage.erasures import Erasing
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from lingokids.incremental.links import Step
    from lingokids.schema import Contract, Delivery
    from lingokids.schema.parameters import Instants
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.duckdb.bronze import StoredBronze
    from lingokids.storage.duckdb.history import History
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.engine import Kept
    from lingokids.storage.lake.delta import Offer
    from lingokids.storage.raw.reading import Reading
    from lingokids.storage.raw.stores import RawObject

#: Beside the columns of contracts, hidden from nodes: the run that last changed a row.
VERSION = "version"

_ENGINE_SETTINGS: dict[str, Any] = {
    "preserve_insertion_order": False,
    # new files use the newest encodings: a quarter quicker to write, and a tenth smaller
    "storage_compatibility_version": "latest",
}

#: Where a file has the columns alone of tables whose rows are on Spark.
ON_SPARK = "on_spark"

_STORED_COLUMNS = f"""
    SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()
    WHERE database_name = current_database() AND schema_name IN ('main', '{ON_SPARK}')
        AND NOT internal
"""
_COMMENTS = "SELECT table_name, coalesce(comment, '') FROM duckdb_tables() WHERE NOT internal"


class Warehouse(Asked, threading.local):
    """One DuckDB file, shared by every table of an environment; its run is of one thread.

    Attributes:
        database: The file.
        published: The read-only copy of the gold tables.
        reports: The folder of pages about runs; None: none are written.
        metrics: The file for Prometheus; None: none is written.
        changes: What the run in hand has done so far, in order.
        columns: By table that is there, its columns and their types, as the run in hand sees them.
        comments: By table, what is noted of it beside its rows.
        number: The number of the run in hand.
        bytes_read: Of raw objects, by the run in hand.
        rows_read: Since its last save: lines, or rows of tables.
        cpu_noted: CPU time of the process at its last save.
        due: The units that it makes of each incremental table.
        rewritten_loads: By table, the loads whose rows it wrote.
        offers: What it offers to be published once it is committed.
        erasing: What the run in hand must know of erased people.
        copy: The published copy, or the warehouse, while a run reads it and writes no table.
        read_from: Which of the two files.
        settings: Of the engine.
        open: Opens the file for a run.
    """

    hidden_column = VERSION
    _known: ClassVar[dict[Path, Warehouse]] = {}
    _turns: ClassVar[dict[Path, threading.Lock]] = {}
    made_copy: ClassVar[type[PublishedCopy]] = PublishedCopy
    is_one_file: ClassVar[bool] = True  # its file has the rows of every table
    is_committing: ClassVar[bool] = False  # from a commit to the end of its run: too late to stop

    def __init__(
        self, database: Path, published: Path, reports: Path | None, **settings: Any
    ) -> None:
        self.database = database
        self.published = published
        self.reports = reports
        self.metrics: Path | None = None
        self.changes: list[Change] = []
        self.columns: dict[str, dict[str, dt.DataType]] = {}
        self.comments: dict[str, str] = {}
        self.number = 0
        self.bytes_read = 0
        self.rows_read = 0
        self.cpu_noted = 0.0
        self.due: dict[str, DueUnits] = {}
        self.rewritten_loads: defaultdict[str, set[int]] = defaultdict(set)
        self.offers: list[Offer] = []
        self.erasing = Erasing()
        self.settings = _ENGINE_SETTINGS | {
            name: value for name, value in settings.items() if value is not None
        }
        self.open: Callable[[Warehouse], duckdb.DuckDBPyConnection] = open_for_a_run
        self._turn = self._turns.setdefault(database, threading.Lock())
        self._has_turn = False
        self._writer: Backend | None = None
        self.copy: Backend | None = None
        self.read_from = database

    @classmethod
    def at(cls, database: str, published: str, **settings: Any) -> Warehouse:
        """The warehouse in this file: the same object for every table of the process."""
        path = Path(database)
        if path not in cls._known:
            reports, metrics = (settings.pop(name, None) for name in ("reports", "metrics"))
            if "catalog" in settings:  # Spark is loaded where tables are kept on it
                from lingokids.storage.spark.warehouse import SparkWarehouse as cls  # noqa: N813
            new = cls(path, Path(published), Path(reports) if reports else None, **settings)
            new.metrics = Path(metrics) if metrics else None
            cls._known.setdefault(path, new)  # another thread may have been quicker
        return cls._known[path]

    @classmethod
    def close_all(cls) -> None:
        """End what is in hand in this thread, of whichever warehouse."""
        for warehouse in [*cls._known.values()]:
            warehouse.close()

    @property
    def name(self) -> str:
        """See ``engine.Engine``."""
        return self.database.name

    def examine(self) -> str:
        """See ``engine.Engine``."""
        return f"DuckDB {duckdb.__version__}"

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

    def stored(self, table: Kept) -> StoredTable:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.stored import StoredTable

        return StoredTable(self, table)

    def stored_lines(self, table: BronzeDataset) -> StoredBronze:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.bronze import StoredBronze

        return StoredBronze(self, table)

    def read_objects(
        self, reading: Reading, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Iterator[Delivery]:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.parsing import read_objects

        return read_objects(self, reading, due, pass_over)

    def validate_texts(
        self, dataset: str, lines: ir.Table, validate: Callable[[ir.Table], ir.Table]
    ) -> ir.Table:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.parsing import validate_texts

        return validate_texts(self.writer, dataset, lines, validate)

    def prepare_rebuild(self, bronze: list[BronzeDataset], instants: Instants) -> None:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.backfill import bring_up_to_date
        from lingokids.storage.duckdb.upgrade import upgrade

        tables = [self.stored_lines(table) for table in bronze]
        upgrade(tables)
        bring_up_to_date(tables, instants)

    @property
    def origin(self) -> dict[str, str]:
        """See ``engine.Engine``."""
        return state.origin_of(self)

    @origin.setter
    def origin(self, origin: dict[str, str]) -> None:
        state.note_origin(self, origin)

    def forget_rules(self, table_names: Iterable[str]) -> None:
        """See ``engine.Engine``."""
        state.forget_rules(self, table_names)

    def prune_marks(self, steps: Iterable[Step]) -> None:
        """See ``engine.Engine``."""
        state.prune_marks(self, steps)

    def units_written(self) -> list[dict[str, Any]]:
        """See ``engine.Engine``."""
        return state.units_written(self)

    def last_run(self) -> str | None:
        """See ``engine.Engine``."""
        return state.last_run(self)

    def failed_before(self) -> str | None:
        """See ``engine.Engine``."""
        return state.failed_before(self)

    def history(self) -> History:
        """See ``engine.Engine``."""
        from lingokids.storage.duckdb.history import History

        return History(self.writer.con)

    def known_objects(self, dataset: str) -> ir.Table:
        """See ``engine.Engine``."""
        ledger = kept_table(self, schema.INGESTED_OBJECTS).load()
        current = ledger.filter((ledger.dataset == dataset) & ledger.is_current)
        return current.select("object_key", "etag", "landed_at")

    def fetch(self) -> None:
        """See ``engine.Engine``: the file is the warehouse."""

    def runs_since(self, run_id: str | None) -> list[str] | None:
        """See ``engine.Engine``."""
        return state.runs_since(self, run_id)

    @property
    def has_changed(self) -> bool:
        """Whether the run in hand deleted or inserted a row that it keeps."""
        return bool(self.changed_tables)

    @property
    def changed_tables(self) -> list[str]:
        """See ``engine.Engine``."""
        written = (it.table_name for it in self.changes if it.rows_deleted or it.rows_inserted)
        return list(dict.fromkeys(written))

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
                f"{self.database.name} is written by runs only, each in one thread: use kedro run, "
                "or session.run() in a notebook."
            )
        return self._writer

    def begin(self) -> None:
        """Open the file for writing and begin the run's one transaction.

        Raises:
            LingokidsError: Another run holds the file, or it cannot be opened.
        """
        self._take_turn()
        connection = self.open(self)
        self._writer = Backend.from_connection(connection)
        self._writer.con.execute("BEGIN TRANSACTION")
        self.changes = []
        self.rows_read, self.cpu_noted = 0, time.process_time()
        self.columns = {}
        for table, column, sql, nullable in connection.execute(_STORED_COLUMNS).fetchall():
            self.columns.setdefault(table, {})[column] = dtype_of(sql, nullable)
        self.comments = dict(connection.execute(_COMMENTS).fetchall())
        self.due = {}
        self.rewritten_loads = defaultdict(set)
        self.offers = []
        self.number = state.next_number(self)
        state.ensure_state(self)

    def _take_turn(self) -> None:
        self.close()
        self._has_turn = self._turn.acquire(timeout=LOCK_WAIT_SECONDS)
        if not self._has_turn:
            raise LingokidsError(
                f"{self.name} is in use by another run in this process: run again when it ends."
            )

    def begin_reading(self, *, gold_alone: bool) -> None:
        """See ``engine.Engine``.

        Either way the run sees one state of the tables: the next publication puts a new copy in
        the old one's place, and while the warehouse is open none writes it.
        """
        (self.close if gold_alone else self._take_turn)()
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
        if self.copy is not None:
            self.copy.con.close()
            self.copy = None
        self.read_from = self.database
        if self._writer is not None:
            Warehouse.is_committing = False
            self._writer.con.close()
            self._writer = None
        if self._has_turn:
            self._has_turn = False
            self._turn.release()

    def leave_no_trace(self) -> None:
        """See ``engine.Engine``: free blocks of the file hold what was deleted."""
        from lingokids.storage.duckdb.compaction import compact

        compact(self)

    def last_load(self) -> int | None:
        """See ``engine.Engine``."""
        return state.last_load(self)

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

    def publish(self, gold: Iterable[str], time_zone: str, *, is_whole: bool) -> None:
        """See ``engine.Engine``."""
        names = [name for name in gold if name in self.tables]
        copy = self.made_copy(self, names, time_zone, is_whole=is_whole)
        if self.has_changed or self.erasing.leaves_no_trace or not copy.is_current:
            copy.publish()
