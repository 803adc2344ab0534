"""The door to the engine: all that nodes, checks, records and hooks ask of whatever keeps tables.

One engine stands behind it today, ``storage.duckdb``. No SQL, no connection and no error of it
comes through: another engine is another package with these methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import ibis
    import ibis.expr.types as ir

    from lingokids.incremental.links import Step
    from lingokids.schema import Contract, Delivery
    from lingokids.schema.parameters import Window


class Change(NamedTuple):
    """What one save did to a table."""

    table_name: str
    rows_deleted: int
    rows_inserted: int
    seconds: float


class UnreadableError(LingokidsError):
    """The engine does not understand a question: a column or a table of it is not there.

    Attributes:
        cause: What the engine says.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"The tables cannot be checked: {cause}")


class Kept(Protocol):
    """What an engine must know of a table: its contract, and how its catalog entry keeps it."""

    table_name: str
    contract: Contract
    unit: tuple[str, ...]
    silent: frozenset[str]
    units_a_slice: int | None
    has_versions: bool


class Stored(Protocol):
    """One table of an engine."""

    def load(self) -> ir.Table:
        """The table, lazily: during a run as the run sees it, else as it was last committed."""

    def ensure(self) -> None:
        """Make the table, empty, if it is not there."""

    def clear(self) -> None:
        """Delete every row; a table of another version is made as its contract has it now."""

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
        """Replace the units found due by these rows, and note which runs the table reflects."""

    def changed_rows(self) -> tuple[ir.Table, ir.Table | None]:
        """The rows to check after a save, and the units they are of; None: all, or no units."""

    def count(self) -> int:
        """The number of rows."""


class StoredLines(Stored, Protocol):
    """A bronze table, with the ledger, the quarantine and what no field reads."""

    def file(self, delivery: Delivery) -> None:
        """Add validated lines; earlier versions of their objects are no longer current."""

    def move(self, delivery: Delivery) -> None:
        """Move quarantined lines whose verdict is another one now."""

    def restore(self, rows: ir.Table) -> None:
        """Put rows back as they were, with their loads."""


class Engine(Protocol):
    """Where the tables of an environment are kept.

    Attributes:
        name: What a sentence calls it.
        tables: The names of the tables there are, as the run in hand sees them.
        number: The number of the run in hand.
        changes: What the run in hand has done so far, in order.
        reports: The folder of pages about runs; None: none are written.
    """

    name: str
    tables: set[str]
    number: int
    changes: list[Change]
    reports: Path | None

    def begin(self) -> None:
        """Begin a run: all that it writes is one transaction."""

    def commit(self) -> None:
        """Make everything the run did visible at once."""

    def close(self) -> None:
        """End the run: what is not committed is rolled back."""

    def stored(self, table: Kept) -> Stored:
        """One of its tables."""

    def rows(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """The answer to a question, row by row.

        Raises:
            UnreadableError: A table or column of it is not there.
        """

    def schema_of(self, table_name: str) -> ibis.Schema:
        """The columns that are stored."""

    def units_written(self) -> list[dict[str, Any]]:
        """The loads and days of tables that the run wrote: ``RUN_UNITS`` without its run."""

    def prepare_rebuild(self, lines: Iterable[Kept]) -> None:
        """Bring bronze of another version up to its contracts, before the rest is rebuilt."""

    def reading_lines(
        self, dataset: str, validate: Callable[[ir.Table], ir.Table]
    ) -> AbstractContextManager[Any]:
        """Hand batches of raw lines over, parse and validate them."""

    def publish(self, names: Iterable[str]) -> None:
        """After a commit: give these tables to readers who must never wait."""
