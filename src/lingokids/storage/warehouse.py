"""The warehouse: one DuckDB file, one writer with one transaction, readers never blocked.

Here: opening the file, the run's transaction, and reading it for as long as a query takes.
Elsewhere: which rows are replaced (``tables``), the copy for readers (``published_copy``), when a
transaction begins and ends (``hooks``).

A run holds the file from its first step to its last. Outside a run the file is opened read-only
for one query at a time and closed again, so notebooks and kedro-viz never keep a run waiting.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import duckdb
from ibis.backends.duckdb import Backend

from lingokids.errors import LingokidsError
from lingokids.storage.published_copy import PublishedCopy, open_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.types as ir

    from lingokids.storage.lake.parquet import Offer
    from lingokids.storage.units import DueUnits

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


class Change(NamedTuple):
    """What one save did to a table."""

    table_name: str
    rows_deleted: int
    rows_inserted: int
    seconds: float


class Warehouse:
    """One DuckDB file, shared by every table of an environment.

    Attributes:
        database: The file.
        published: The read-only copy of the gold tables.
        reports: The folder of pages about runs; None: none are written.
        changes: What the run in hand has done so far, in order.
        tables: The tables there are, as the run in hand sees them.
        columns: The columns of those that the run in hand found, as they are stored.
        number: The number of the run in hand.
        due: The units that it makes of each incremental table.
        rewritten_loads: By table, the loads whose rows it wrote.
        offers: What it offers to be published once it is committed.
        restored_loads: By table, the loads it restores from a lake and the runs that wrote them.
        copy: The published copy, while a run reads it: as it was when the run began.
    """

    _known: ClassVar[dict[Path, Warehouse]] = {}
    is_committing: ClassVar[bool] = False  # from a commit to the end of its run: too late to stop

    def __init__(
        self, database: Path, published: Path, reports: Path | None, **settings: Any
    ) -> None:
        self.database = database
        self.published = published
        self.reports = reports
        self.changes: list[Change] = []
        self.tables: set[str] = set()
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
    def has_changed(self) -> bool:
        """Whether the run in hand deleted or inserted a row that it keeps."""
        return bool(self.changed_tables)

    @property
    def changed_tables(self) -> list[str]:
        """The tables of which the run in hand deleted or inserted a row, in order."""
        return list(
            dict.fromkeys(
                change.table_name
                for change in self.changes
                if change.rows_deleted or change.rows_inserted
            )
        )

    @property
    def in_run(self) -> bool:
        """Whether a run's transaction is open in this process."""
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
        self.tables = set(self.columns)
        self.due = {}
        self.rewritten_loads = defaultdict(set)
        self.offers = []
        self.restored_loads = {}
        self.number = self._next_number()

    def _next_number(self) -> int:
        """The number of the run in hand: one more than that of the last run that wrote a table."""
        if "table_state" not in self.tables:
            return 1
        row = self.writer.con.execute("SELECT max(version) FROM table_state").fetchone()
        return (row[0] if row and row[0] else 0) + 1

    def begin_reading(self) -> None:
        """Open the published copy for a run that writes no table: it keeps no other waiting.

        The next publication puts a new file in its place, so the run sees one state of gold only.

        Raises:
            LingokidsError: There is no copy, or it cannot be read.
        """
        self.close()
        self.copy = Backend.from_connection(open_copy(self.published))

    def commit(self) -> None:
        """Make everything the run did visible at once."""
        Warehouse.is_committing = True
        try:
            self.writer.con.execute("COMMIT")
        except duckdb.Error as error:  # an I/O error comes as one of the transaction
            raise LingokidsError(f"The commit failed: {out_of_room(error)}") from error

    def close(self) -> None:
        """End the run: what is not committed is rolled back, and the file is let go."""
        Warehouse.is_committing = False
        if self._writer is not None:
            self._writer.con.close()
            self._writer = None
        if self.copy is not None:
            self.copy.con.close()
            self.copy = None

    def last_load(self) -> int | None:
        """The number of the last load in the ledger, as the run sees it; None if there is none."""
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
        try:
            duckdb.connect(str(self.database), read_only=True).close()
        except duckdb.Error as error:
            return _cannot_open(self.database, error, cure="Read it when that one ends.")
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
        while True:
            try:
                return duckdb.connect(str(self.database), config=self._settings)
            except duckdb.IOException as error:
                if "lock" not in str(error) or time.monotonic() > give_up_at:
                    raise LingokidsError(_cannot_open(self.database, error)) from error
            except duckdb.Error as error:
                raise LingokidsError(_cannot_open(self.database, error)) from error
            time.sleep(_LOCK_RETRY_SECONDS)


class ReadingBackend(Backend):
    """An Ibis backend that opens the file, read-only, for one call at a time."""

    def __init__(self, database: Path, published: Path) -> None:
        super().__init__()
        self._database = database
        self._published = published
        self._opened = 0

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        if not self._opened:
            self.con = _connect_for_reading(self._database, self._published)
            self._memtables.clear()  # they were registered with a connection that is gone
            self._post_connect()
        self._opened += 1
        try:
            yield
        finally:
            self._opened -= 1
            if not self._opened:
                self.con.close()

    def raw_sql(self, query: Any, **kwargs: Any) -> Any:
        """Refused where its result would outlive the connection."""
        if not self._opened:
            raise LingokidsError(
                "The warehouse is opened for one result at a time: use .execute() or .to_pyarrow() "
                "on a table, or open the file with duckdb.connect(…, read_only=True)."
            )
        return super().raw_sql(query, **kwargs)

    def to_pyarrow_batches(self, expr: ir.Expr, /, **kwargs: Any) -> Any:
        """Batches of the result, which is read whole before the file is let go.

        As a stream, DuckDB 1.5 gives no row of some unions of many large groups, and never ends.
        """
        chunk_size = kwargs.pop("chunk_size", 1_000_000)
        return self.to_pyarrow(expr.as_table(), **kwargs).to_reader(max_chunksize=chunk_size)


def _while_open(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: ReadingBackend, *args: Any, **kwargs: Any) -> Any:
        with self._open():
            return method(self, *args, **kwargs)

    return call


for _name in (
    *("table", "list_tables", "list_catalogs", "list_databases", "get_schema"),
    *("_get_schema_using_query", "execute", "to_pyarrow"),
    *("to_parquet", "to_csv", "to_json", "to_xlsx"),
):
    setattr(ReadingBackend, _name, _while_open(getattr(Backend, _name)))


def _connect_for_reading(database: Path, published: Path) -> duckdb.DuckDBPyConnection:
    if not database.exists():
        raise LingokidsError(f"{database.name} is not there yet: uv run kedro run makes it.")
    try:
        return duckdb.connect(str(database), read_only=True)
    except duckdb.Error as error:
        if published.exists():
            return duckdb.connect(str(published), read_only=True)
        raise LingokidsError(_cannot_open(database, error)) from error


_RUN_AGAIN = "Wait until it ends, or stop it, and run again. Nothing was changed."


def out_of_room(error: duckdb.Error) -> str:
    """What to do when the engine ran out of memory or could not write a file."""
    cause = str(error).splitlines()[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            "the engine ran out of memory: raise warehouse.memory_limit in "
            f"conf/base/globals.yml, or free disk space. ({cause})"
        )
    return (
        f"a file could not be written or read ({cause}): free disk space and run again. Every "
        "table is as it was."
    )


def _cannot_open(database: Path, error: duckdb.Error, cure: str = _RUN_AGAIN) -> str:
    if holder := re.search(r"held in (.*?) \(PID (\d+)\)", str(error)):
        process = f" (PID {holder[2]}, {Path(holder[1]).name})"
        return f"{database.name} is in use by another process{process}. {cure}"
    if "lock" in str(error):
        return f"{database.name} is in use by another process. {cure}"
    return f"{database} cannot be opened as a DuckDB file: {str(error).splitlines()[0]}"
