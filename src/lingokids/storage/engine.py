"""What nodes, checks, records and hooks ask of a database.

Two engines answer, ``storage.duckdb`` and ``storage.spark``. No SQL, no connection and no error of
theirs comes through: another engine is another package with these methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from pathlib import Path

    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa

    from lingokids.incremental.links import Step
    from lingokids.schema import Contract, Delivery
    from lingokids.schema.parameters import Instants, Window
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.duckdb.history import History
    from lingokids.storage.raw.reading import Reading
    from lingokids.storage.raw.stores import RawObject


class Change(NamedTuple):
    """What one save did to a table.

    ``cpu_seconds`` count from the save before: reading objects and planning are of the next save.
    """

    table_name: str
    rows_deleted: int
    rows_inserted: int
    seconds: float
    cpu_seconds: float
    rows_read: int


class UnreadableError(LingokidsError):
    """A question names a column or a table that is not there.

    Attributes:
        cause: What the engine says.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"The tables cannot be checked: {cause}")


class Kept(Protocol):
    """What an engine must know of a table: its contract and its catalog entry."""

    contract: Contract
    unit: tuple[str, ...]
    silent: frozenset[str]
    units_a_slice: int | None
    has_versions: bool

    @property
    def table_name(self) -> str:
        """Its name in the warehouse."""


class Stored(Protocol):
    """One table of an engine."""

    def load(self) -> ir.Table:
        """The table, lazily: as the run sees it, else as it was last committed."""

    @property
    def faults(self) -> list[str]:
        """How the table that is there differs from its contract; nothing if it is not there."""

    def ensure(self) -> None:
        """Make the table, empty, if it is not there."""

    def clear(self) -> None:
        """Delete every row; a table with other columns is made by its contract."""

    def append(self, rows: ir.Table | list[dict[str, Any]]) -> int:
        """Add rows; returns how many."""

    def replace_all(self, rows: ir.Table) -> None:
        """Make these rows the table, unless it already holds just these."""

    def find_due(
        self,
        step: Step,
        rules: str,
        inputs: Mapping[str, Any],
        window: Window,
        *,
        rebuild: bool,
    ) -> dict[str, ir.Table]:
        """Work out which units the run makes; returns the inputs restricted to them.

        Args:
            step: How the table is kept.
            rules: What it is made by now; made by others, all of it is due.
            inputs: The stored tables that its node reads, by entry.
            window: The days an operator asks for besides what is due.
            rebuild: Whether all of it is asked for.
        """

    def replace_due(self, rows: ir.Table) -> None:
        """Replace the units due by these rows, and set the table's state."""

    def changed_rows(self) -> tuple[ir.Table, ir.Table | None]:
        """The rows to check after a save, and the units they are of.

        None for the units: all of them are, or the table has none.
        """

    def count(self) -> int:
        """The number of rows."""


class StoredLines(Stored, Protocol):
    """A bronze table, with the ledger, the quarantine and what no field reads."""

    def file(self, delivery: Delivery) -> None:
        """Add validated lines; earlier versions of their objects are no longer current."""

    def move(self, delivery: Delivery) -> None:
        """Move quarantined lines whose validation gives another result now."""

    def restore(self, rows: ir.Table) -> None:
        """Put rows back as they were, with their loads."""

    def forget(self, before: datetime) -> None:
        """Delete all that is of objects that landed before, as if they had not been delivered."""

    def expire_texts(self, now: datetime, age: timedelta | None) -> None:
        """Empty the text of its unusable lines, and the values of unknown keys, of old loads.

        Args:
            now: When the run in hand began.
            age: A load is as old as the run that took it in; a restored one, as its restore.
                None: no text expires.
        """


class Engine(Protocol):
    """Where the tables of an environment are kept, and the run in hand that writes them.

    Attributes:
        name: What a sentence calls it.
        number: The number of the run in hand.
        changes: What the run in hand has done so far, in order.
        bytes_read: Of raw objects, by the run in hand.
        reports: The folder of pages about runs; None: none are written.
        origin: The environment and the raw places that the tables are of, by name.
        hidden_column: The column of rows that nodes do not see: the run that last changed one.
    """

    number: int
    changes: list[Change]
    bytes_read: int
    reports: Path | None
    origin: dict[str, str]
    hidden_column: str

    @property
    def name(self) -> str:
        """See above."""

    def examine(self) -> str:
        """What it runs on.

        Raises:
            LingokidsError: It would not start.
        """

    @property
    def tables(self) -> set[str]:
        """The names of the tables there are, as the run in hand sees them."""

    @property
    def changed_tables(self) -> list[str]:
        """The tables of which the run in hand deleted or inserted a row, in order."""

    @property
    def in_run(self) -> bool:
        """Whether a run's transaction is open in this process."""

    def fetch(self) -> None:
        """Bring what this machine has of records up to what runs elsewhere committed."""

    # --- a run ---

    def begin(self) -> None:
        """Begin a run: all that it writes is one transaction.

        Raises:
            LingokidsError: Another process writes, or the tables cannot be opened.
        """

    def begin_reading(self, *, gold_alone: bool) -> None:
        """Begin a run that writes no table; one that reads gold alone keeps no other waiting.

        Raises:
            LingokidsError: What is to be read is not there, or cannot be read.
        """

    def commit(self) -> None:
        """Make everything the run did visible at once."""

    def close(self) -> None:
        """End the run: what is not committed is rolled back."""

    def sentence_of(self, error: BaseException) -> str | None:
        """What an error of the engine itself means to who runs; None: it was not expected."""
        return None

    def publish(self, gold: Iterable[str], time_zone: str, *, is_whole: bool) -> None:
        """Bring what readers read up to the run in hand, after its commit, if it is not.

        Args:
            gold: The tables that are copied.
            time_zone: The zone that the run counted days in.
            is_whole: Whether it made every table.
        """

    def leave_no_trace(self) -> None:
        """Have no file hold what was deleted, after the commit; and note that none does.

        Raises:
            LingokidsError: Some do still. Tables are as they were committed.
        """

    # --- tables ---

    def stored(self, table: Kept) -> Stored:
        """One of its tables."""

    def stored_lines(self, table: BronzeDataset) -> StoredLines:
        """A bronze table, with what belongs to it."""

    def has(self, table_name: str) -> bool:
        """Whether there is such a table, or a run would make it."""

    def schema_of(self, table_name: str) -> ibis.Schema:
        """The columns that are stored."""

    def empty(self, columns: ibis.Schema) -> ir.Table:
        """No rows of these columns."""

    def rows(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """The answer to a question, row by row.

        Raises:
            UnreadableError: A table or column of it is not there.
        """

    def reading_through(self) -> AbstractContextManager[None]:
        """While whole tables are read once: little of what was read is kept for later."""

    def batches(self, rows: ir.Table) -> pa.RecordBatchReader:
        """The rows, a batch at a time, as they are read: nothing else is asked meanwhile."""

    # --- state and records ---

    def prepare_rebuild(self, bronze: list[BronzeDataset], instants: Instants) -> None:
        """Bring bronze of another version up to its contracts, before a rebuild."""

    def forget_rules(self, table_names: Iterable[str]) -> None:
        """Make tables due as a whole."""

    def prune_marks(self, steps: Iterable[Step]) -> None:
        """Forget which rows left, where every reader of their table reflects it."""

    def units_written(self) -> list[dict[str, Any]]:
        """The loads and days of tables that the run wrote: ``RUN_UNITS`` without its run."""

    def last_load(self) -> int | None:
        """The number of the last load in the ledger; None if there is none."""

    def last_run(self) -> str | None:
        """The greatest id of a recorded run; None if there is none."""

    def failed_before(self) -> str | None:
        """The pipelines of the last recorded run, if it failed."""

    def history(self) -> History:
        """What is recorded, as the run in hand sees it."""

    def runs_since(self, run_id: str | None) -> list[str] | None:
        """The runs that changed something after a run, in order.

        All there are for no run; None for one that is not known here.
        """

    # --- raw lines ---

    def known_objects(self, dataset: str) -> ir.Table:
        """The versions of objects that the ledger takes for those there are: key, ETag, landing."""

    def read_objects(
        self, reading: Reading, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Iterator[Delivery]:
        """Read objects once, and parse and validate their lines, in batches.

        Args:
            reading: How.
            due: The objects.
            pass_over: Told of each that is gone or has changed.
        """

    def validate_texts(
        self, dataset: str, lines: ir.Table, validate: Callable[[ir.Table], ir.Table]
    ) -> ir.Table:
        """Parse and validate lines that are text in a table, lazily."""
