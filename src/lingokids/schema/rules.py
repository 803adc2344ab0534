"""The rules that a table can promise to keep, each of them a declaration of what must hold.

Here: which kinds of rules there are, their severity and what they tolerate. Elsewhere: which
table promises which (``promises``, and the definitions in ``columns``), how a rule is worked out
over rows, and when (``checks``).

NULL never satisfies a rule about identity or relation: a key that is NULL fails. It does satisfy
the rules about a value (range, accepted values, pattern), because whether a value may be absent
is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ibis.expr.types as ir

ERROR, WARN, OFF = "error", "warn", "off"


class Words(NamedTuple):
    """A rule's name within its table, and what must hold."""

    name: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every rule has.

    Attributes:
        severity: ``error`` rolls the run back; ``warn`` is logged and kept.
        most_rows: So many failing rows are tolerated.
        most_share: Such a share of the rows checked may fail.
        each_run: Whether it is checked in each run that changes its table, or on demand only.
    """

    severity: str = ERROR
    most_rows: int = 0
    most_share: float = 0.0
    each_run: bool = True

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return self._words().name

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return self._words().meaning

    def _words(self) -> Words:
        raise NotImplementedError

    @property
    def tolerance(self) -> str:
        """What is tolerated, in words."""
        parts = [f"{self.most_rows:,} rows"] if self.most_rows else []
        parts += [f"{self.most_share:.1%} of the rows"] if self.most_share else []
        return " and ".join(parts)

    def is_broken(self, rows_checked: int, rows_failed: int) -> bool:
        """Whether more rows fail than are tolerated."""
        return rows_failed > max(self.most_rows, self.most_share * rows_checked)


@dataclass(frozen=True)
class SchemaKept(Rule):
    """The table is stored, with the columns and types promised."""

    def _words(self) -> Words:
        return Words(
            "schema_kept", "the table is there, and every promised column with its promised type"
        )


@dataclass(frozen=True)
class NoOtherColumns(Rule):
    """The stored table has no columns besides."""

    def _words(self) -> Words:
        return Words("no_other_columns", "there is no column besides those promised")


@dataclass(frozen=True)
class NotNull(Rule):
    """A column has a value; with ``most_share``, seldom none."""

    column: str
    is_enforced: bool = False  # by the engine, when a row is written

    def _words(self) -> Words:
        if self.most_share:
            return Words(f"{self.column}_seldom_null", f"{self.column} is known")
        return Words(f"{self.column}_not_null", f"{self.column} is never NULL")


@dataclass(frozen=True)
class Unique(Rule):
    """A column, or a combination of columns, has each value once, and is never NULL."""

    columns: tuple[str, ...]

    def _words(self) -> Words:
        name = "grain" if self.columns[1:] else self.columns[0]
        return Words(f"{name}_unique", f"each {', '.join(self.columns)} stands once")


@dataclass(frozen=True)
class InRange(Rule):
    """A value lies between two bounds, both included; None: no bound."""

    column: str
    at_least: float | None = None
    at_most: float | None = None

    def _words(self) -> Words:
        bounds = [f"at least {self.at_least:,}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:,}"] if self.at_most is not None else []
        name = f"{self.column}_{'usual' if self.severity == WARN else 'in_range'}"
        return Words(name, f"{self.column} is {' and '.join(bounds)}")


@dataclass(frozen=True)
class AcceptedValues(Rule):
    """A value is one of a list."""

    column: str
    values: tuple[str, ...]

    def _words(self) -> Words:
        return Words(f"{self.column}_accepted", f"{self.column} is one of {', '.join(self.values)}")


@dataclass(frozen=True)
class Matches(Rule):
    """A text has a form, given as a regular expression of its whole."""

    column: str
    pattern: str
    form: str

    def _words(self) -> Words:
        return Words(f"{self.column}_matches", f"{self.column} is {self.form}")


@dataclass(frozen=True)
class RowCondition(Rule):
    """An expression across the columns of a row is true; NULL is not.

    ``in_words`` says what a failing row is, where its key alone would not tell enough.
    """

    title: str
    promise: str
    expression: Callable[[ir.Table], ir.BooleanValue]
    in_words: Callable[[Mapping[str, Any]], str] | None = None

    def _words(self) -> Words:
        return Words(self.title, self.promise)


@dataclass(frozen=True)
class ForeignKey(Rule):
    """A key stands in another table; a NULL key does not.

    Attributes:
        among: A column and a table, where not every row is judged: only those whose value of it
            stands there, such as rows of the loads that the other table reflects.
    """

    columns: tuple[str, ...]
    table: str
    title: str
    among: tuple[str, str] | None = None

    def _words(self) -> Words:
        judged = f", if its {self.among[0]} stands in {self.among[1]}" if self.among else ""
        return Words(self.title, f"each {', '.join(self.columns)} stands in {self.table}{judged}")


@dataclass(frozen=True)
class AddsUp(Rule):
    """The sum of a column over each unit is what another table has of it; no rows make 0.

    Attributes:
        by: The columns that name a unit, in both tables.
        of: The column that is added up in the other table; None: its rows are counted.
        where: A column and a value, where not every row is added up: only those that have it.
    """

    column: str
    by: tuple[str, ...]
    table: str
    of: str | None = None
    where: tuple[str, str] | None = None

    def _words(self) -> Words:
        of_what = f"_of_{self.where[1]}" if self.where else ""
        added = f"{self.column} of each {', '.join(self.by)}"
        return Words(
            f"{self.column}{of_what}_adds_up",
            f"{added}{f' of {self.where[1]}' if self.where else ''} add up to the "
            f"{self.of or 'rows'} of {self.table} on it",
        )


@dataclass(frozen=True)
class Recounted(Rule):
    """A column of each unit is what counting it again in another table gives; no rows make 0.

    Attributes:
        by: The columns that name a unit.
        promise: What is counted, in words.
        count: Of this table and the other: the columns of ``by``, and ``expected``, which is
            added up over the rows of a unit.
    """

    column: str
    by: tuple[str, ...]
    table: str
    promise: str
    count: Callable[[ir.Table, ir.Table], ir.Table]

    def _words(self) -> Words:
        return Words(f"{self.column}_recounted", f"{self.column} is {self.promise} ({self.table})")


@dataclass(frozen=True)
class Steady(Rule):
    """A measure of a day is not far from what the days before it were.

    Far is a robust z-score over the parameter ``checks.most_deviation``. A day is judged only
    if the table has ``least_days`` of the ``history_days`` before it.
    """

    title: str
    of_day: str
    measure: Callable[[ir.Table], ir.NumericValue]
    by: str = "date"
    history_days: int = 28
    least_days: int = 14
    severity: str = field(default=WARN, kw_only=True)

    def _words(self) -> Words:
        return Words(
            self.title,
            f"{self.of_day} of a day are near those of the {self.history_days} days before it",
        )


@dataclass(frozen=True)
class Fresh(Rule):
    """The newest instant of each group is not older than so many hours before the clock given."""

    column: str
    by: str
    hours: Mapping[str, float] = field(default_factory=dict)
    severity: str = field(default=WARN, kw_only=True)

    def _words(self) -> Words:
        limits = ", ".join(f"{group} {hours:g} h" for group, hours in self.hours.items())
        return Words("fresh", f"the newest {self.column} by {self.by} is not older than: {limits}")
