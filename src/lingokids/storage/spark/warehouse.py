"""The warehouse on Spark: tables in Iceberg, and what runs note of them in a book.

The book is a DuckDB file, like the warehouse of one machine, but with the rows of its bookkeeping
alone: state, marks, runs and checks, and a copy of the ledger. Of the other tables it has the
columns, apart (``ON_SPARK``): what asks it for their rows fails. It lies in the catalog's database,
so one transaction commits it with the tables; a run works on a copy of it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.compaction import has_traces
from lingokids.storage.duckdb.expressions import table_of
from lingokids.storage.duckdb.opening import open_for_a_run
from lingokids.storage.duckdb.state import are_as_of
from lingokids.storage.duckdb.warehouse import ON_SPARK, Warehouse
from lingokids.storage.engine import UnreadableError
from lingokids.storage.records import OF_RUNS
from lingokids.storage.spark.book import alone, is_held, put, wal_of
from lingokids.storage.spark.catalog import MAIN, Book, Catalog, told
from lingokids.storage.spark.copy import CopyFromSpark
from lingokids.storage.spark.dialect import in_contracts_types, translated
from lingokids.storage.spark.session import CATALOG, examine, session, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lingokids.schema import Delivery
    from lingokids.schema.parameters import Instants
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.duckdb.minimising import Minimisation
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.engine import Kept
    from lingokids.storage.raw.reading import Reading
    from lingokids.storage.raw.stores import RawObject
    from lingokids.storage.spark.backend import SparkBackend
    from lingokids.storage.spark.bronze import SparkBronze

#: The tables whose rows are in the book.
IN_BOOK = OF_RUNS


class SparkWarehouse(Warehouse):
    """Tables of an environment on Spark.

    Args:
        database: The copy of the book that a run works on.
        published: The read-only copy of the gold tables.
        reports: The folder of pages about runs; None: none are written.
        catalog: The address of the catalog's database.
        location: The folder or bucket of the tables' files.
        session: Settings of Spark, by its names.
        credentials: Of the catalog's database and of the bucket: ``spark`` in credentials.yml.
        settings: Of the book's engine.

    Attributes:
        namespace: Where the run in hand writes; outside a run: what was last committed.
        location: See above.
        minimisations: By dataset, what its bronze table does not keep.
        opened: The inode of the book that the run in hand writes.
    """

    made_copy = CopyFromSpark
    is_one_file = False

    def __init__(  # noqa: PLR0913 - what globals.yml says of a warehouse
        self,
        database: Path,
        published: Path,
        reports: Path | None,
        *,
        catalog: str,
        location: str,
        session: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(database, published, reports, **settings)
        self._credentials = credentials or {}
        self.catalog = Catalog(catalog, self._credentials.get("database"))
        self.location = location.rstrip("/")
        self.namespace = MAIN
        self.minimisations: dict[str, Minimisation] = {}
        self.opened = 0
        self.open = _open_book
        self._session_settings = session or {}
        self._views: set[str] = set()

    @cached_property
    def spark(self) -> SparkSession:
        """The session; Spark starts when it is first asked for."""
        place = settings_of(self.catalog.jdbc_address, self.location, self._credentials)
        return session({**place, **self._session_settings})

    def examine(self) -> str:
        """See ``engine.Engine``."""
        return examine(self._session_settings)

    @cached_property
    def backend(self) -> SparkBackend:
        """Ibis's connection to it."""
        from lingokids.storage.spark.backend import SparkBackend

        backend = SparkBackend(lambda: self.spark)
        backend.register_options()  # as ibis.pyspark would
        return backend

    # --- a run ---

    def begin(self) -> None:
        """See ``engine.Engine``: the book is fetched, and the tables get the run's pointers."""
        super().begin()
        try:
            is_rehearsed = not self.catalog.is_held  # kedro plan opened the book
            branch = self.catalog.branch_to_read
            self.namespace = branch() if is_rehearsed else self.catalog.branch(self.number)
        except BaseException:
            self.close()
            raise

    def fetch(self) -> None:
        """See ``engine.Engine``: the book of the last commit, unless a run here writes it.

        A run that was killed before its commit may have left another.
        """
        if self.in_run or is_held(self.database):
            return
        is_whole = self.database.exists() and not wal_of(self.database).exists()
        known = self.database.read_bytes() if is_whole else b""
        book = self.catalog.read_book(known)
        if book is None or book.content != known:
            with alone(self.database):
                if not is_held(self.database):  # no run began meanwhile
                    put(self.database, book)

    def known_objects(self, dataset: str) -> ir.Table:
        """See ``engine.Engine``: the book's copy tells them, as of the run before."""
        if self.erasing.rewritten:
            self._copy_ledger()
        name = schema.INGESTED_OBJECTS.table_name
        columns = schema.INGESTED_OBJECTS.nullable_schema
        is_there = name in self.writer.list_tables(database="main")
        ledger = table_of(self.writer, name, columns) if is_there else super().empty(columns)
        current = ledger.filter((ledger.dataset == dataset) & ledger.is_current)
        return current.select("object_key", "etag", "landed_at")

    def begin_reading(self, *, gold_alone: bool) -> None:
        """See ``engine.Engine``: of tables on Spark, it sees one state too."""
        self.fetch()
        super().begin_reading(gold_alone=gold_alone)
        if not gold_alone:
            self.namespace = self.catalog.branch_to_read()

    def commit(self) -> None:
        """See ``engine.Engine``."""
        self._copy_ledger()
        if self.erasing.leaves_no_trace and has_traces(self):
            from lingokids.storage.spark import upkeep

            upkeep.drop_deleted_rows(self)
        super().commit()
        self.writer.con.execute("CHECKPOINT")
        if self.database.stat().st_ino != self.opened:
            raise LingokidsError(
                f"{self.name} was replaced while the run wrote it: run again. Every table is as it "
                "was."
            )
        self.catalog.commit(self.namespace, Book(self.number, self.database.read_bytes()))

    def _copy_ledger(self) -> None:
        """Copy the loads that the run wrote into the book's copy of the ledger.

        To know what is new, Spark need not be asked.
        """
        name, con = schema.INGESTED_OBJECTS.table_name, self.writer.con
        if not (name in self.changed_tables or self.rewritten_loads[name]):
            return
        columns = ", ".join(schema.INGESTED_OBJECTS.columns)
        written = self.spark.table(self.name_of(name)).selectExpr(*schema.INGESTED_OBJECTS.columns)
        loads = sorted(self.rewritten_loads[name])
        is_part = bool(loads) and name in self.writer.list_tables(database="main")
        if is_part:
            written = written.where(written.load_id.isin(loads))
        con.register("ledger_", written.toArrow())
        if is_part:
            con.execute(f"DELETE FROM main.{name} WHERE list_contains(?, load_id)", [loads])
            con.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM ledger_")
        else:
            con.execute(f"CREATE OR REPLACE TABLE main.{name} AS SELECT {columns} FROM ledger_")
        con.unregister("ledger_")

    def leave_no_trace(self) -> None:
        """See ``engine.Engine``: old states of tables and the book's free blocks hold it."""
        from lingokids.storage.spark import upkeep

        upkeep.leave_no_trace(self)

    def close(self) -> None:
        """See ``engine.Engine``."""
        super().close()
        self.namespace = MAIN
        self.catalog.release()
        views, self._views = self._views, set()
        for name in views:
            self.spark.catalog.dropTempView(name)

    def sentence_of(self, error: BaseException) -> str | None:
        """See ``engine.Engine``."""
        return told(error, "The run")

    # --- tables ---

    def has(self, table_name: str) -> bool:
        """See ``engine.Engine``."""
        if self.in_run or table_name in IN_BOOK:
            return super().has(table_name)
        if table_name == schema.UNKNOWN_KEYS.table_name:  # counted when someone asks
            table_name = schema.RESCUED_VALUES.table_name
        return self.spark.catalog.tableExists(self.name_of(table_name))

    def stored(self, table: Kept) -> StoredTable:
        """See ``engine.Engine``."""
        if table.table_name in IN_BOOK:
            return super().stored(table)
        from lingokids.storage.spark.bronze import UnknownKeys
        from lingokids.storage.spark.stored import SparkTable

        is_counted = table.table_name == schema.UNKNOWN_KEYS.table_name
        return (UnknownKeys if is_counted else SparkTable)(self, table)

    def stored_lines(self, table: BronzeDataset) -> SparkBronze:
        """See ``engine.Engine``; workers must know what each table keeps."""
        from lingokids.storage.spark.bronze import SparkBronze

        stored = SparkBronze(self, table)
        self.minimisations[table.dataset] = stored.minimisation
        return stored

    def read_objects(
        self, reading: Reading, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Iterator[Delivery]:
        """See ``engine.Engine``: workers read them, and it is one batch."""
        from lingokids.storage.spark.reading import read_objects

        yield read_objects(self, reading, due, pass_over)

    def validate_texts(
        self, dataset: str, lines: ir.Table, validate: Callable[[ir.Table], ir.Table]
    ) -> ir.Table:
        """See ``engine.Engine``."""
        from lingokids.storage.spark.reading import validate_texts

        return validate_texts(self, dataset, lines, validate)

    def prepare_rebuild(self, bronze: list[BronzeDataset], instants: Instants) -> None:
        """See ``engine.Engine``: here past lines are not altered, but taken in again."""
        for table in bronze:
            if faults := self.stored_lines(table).faults:
                raise LingokidsError(
                    f"{table.table_name} {', '.join(faults)}, and on Spark past lines are not "
                    "brought up to that: take everything in again with kedro run --params "
                    "rebuild=raw. Nothing was changed."
                )

    def rows(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """See ``engine.Engine``."""
        if not self.is_on_spark(question):
            return super().rows(question)
        from pyspark.errors import AnalysisException

        try:
            return [tuple(row) for row in self.frame(question).collect()]
        except AnalysisException as error:
            raise UnreadableError(str(error).splitlines()[0]) from error

    def batches(self, rows: ir.Table) -> pa.RecordBatchReader:
        """See ``engine.Engine``."""
        if not self.is_on_spark(rows):
            return super().batches(rows)
        return self.backend.to_pyarrow_batches(rows)

    def empty(self, columns: ibis.Schema) -> ir.Table:
        """See ``engine.Engine``."""
        import ibis

        return ibis.memtable([], schema=columns)

    def schema_of(self, table_name: str) -> ibis.Schema:
        """See ``engine.Engine``."""
        if table_name in IN_BOOK:
            return super().schema_of(table_name)
        from pyspark.errors import AnalysisException

        try:
            found = self.spark.table(self.name_of(table_name)).schema
        except AnalysisException as error:
            raise UnreadableError(str(error).splitlines()[0]) from error
        return in_contracts_types(found, schema.CONTRACTS[table_name].nullable_schema)

    @property
    def on_spark(self) -> set[str]:
        """The tables whose rows are not in the book."""
        return self.tables - IN_BOOK

    def last_load(self) -> int | None:
        """See ``engine.Engine``: bronze notes loads in the book, and the copy has restored ones."""
        from lingokids.storage.duckdb.state import state_of

        states = [state_of(self, f"bronze_{dataset}") for dataset in schema.FIELDS]
        loads = [state.version for state in states if state]
        ledger = schema.INGESTED_OBJECTS.table_name
        if loads and ledger in self.writer.list_tables(database="main"):
            query = f"SELECT coalesce(max(load_id), 0) FROM main.{ledger}"
            loads += [row[0] for row in self.writer.con.execute(query).fetchall()]
        return max(loads, default=None)

    # --- Spark ---

    def name_of(self, table_name: str) -> str:
        """The table as SQL: as the run in hand sees it, else as last committed."""
        return f"{CATALOG}.{self.namespace}.`{table_name}`"

    def is_on_spark(self, rows: ir.Table) -> bool:
        """Whether an expression reads tables of Spark, and not of the book."""
        from ibis.backends.duckdb import Backend

        backends, _ = rows._find_backends()
        return not any(isinstance(each, Backend) for each in backends)

    def frame(self, rows: ir.Table) -> DataFrame:
        """An expression as Spark works it out."""
        self.backend._run_pre_execute_hooks(rows)
        return self.spark.sql(self.backend.compile(rows))

    def view(self, name: str, frame: DataFrame) -> DataFrame:
        """Give rows of the run a name, until it ends."""
        frame.createOrReplaceTempView(name)
        self._views.add(name)
        return frame

    def named(self, name: str, frame: DataFrame, columns: Mapping[str, Any]) -> ir.Table:
        """Give rows of the run a name, by which expressions read them."""
        import ibis

        self.view(name, frame)
        return table_of(self.backend, name, ibis.schema(columns))

    def kept_view(self, name: str, frame: DataFrame) -> DataFrame:
        """Work rows out once, for several statements, and give them a name.

        They stay on the executors as they are: what is written afterwards changes them no more.
        """
        return self.view(name, frame.localCheckpoint(eager=True))

    def first_of(self, query: str) -> list[Any]:
        """See ``Warehouse``."""
        rows = self.spark.sql(translated(query, CATALOG, self.namespace)).collect()
        return [row[0] for row in rows]

    def has_changed_since(self, table_name: str, since: int) -> bool:
        """Whether a run after this one made a table: the book tells it."""
        return not are_as_of(self, [table_name], since)

    def list_units(self, due: DueUnits, query: str) -> None:
        """List the units due, which a query in the engine's SQL gives."""
        due.relation = f"due_{due.step.table_name}"
        if "gone" in query:
            marks = self.writer.con.sql(f"FROM {schema.GONE.table_name}").to_arrow_table()
            self.view(schema.GONE.table_name, self.spark.createDataFrame(marks))
        listed = self.spark.sql(translated(query, CATALOG, self.namespace))
        due.count = self.kept_view(due.relation, listed).count()


def _open_book(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """Hold the catalog and open the book that it has; a new one, if it has none."""
    assert isinstance(warehouse, SparkWarehouse)
    book = warehouse.catalog.hold()
    with alone(warehouse.database):
        put(warehouse.database, book)
        connection = open_for_a_run(warehouse)
    warehouse.opened = warehouse.database.stat().st_ino
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {ON_SPARK}")
    return connection
