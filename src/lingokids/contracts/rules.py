"""The rules that a table can promise to keep, each of them a declaration of what must hold.

Here: which kinds of rules there are, their severity and what they tolerate. Elsewhere: which
table promises which (``promises``, and the definitions in ``columns``), how a rule is worked out
over rows (``checks``), when that is done (``inspections``).

NULL never satisfies a rule about identity or relation: a key that is NULL fails. It does satisfy
the rules about a value (range, accepted values, pattern), because whether a value may be absent
is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir

ERROR, WARN, OFF = "error", "warn", "off"


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
        raise NotImplementedError

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
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
    """The stored table has the columns and types promised."""

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return "schema_kept"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return "every promised column is there, with its promised type"


@dataclass(frozen=True)
class NoOtherColumns(Rule):
    """The stored table has no columns besides."""

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return "no_other_columns"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return "there is no column besides those promised"


@dataclass(frozen=True)
class NotNull(Rule):
    """A column has a value; with ``most_share``, seldom none."""

    column: str
    is_enforced: bool = False  # by the engine, when a row is written

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.column}_not_null" if not self.most_share else f"{self.column}_seldom_null"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"{self.column} is never NULL" if not self.most_share else f"{self.column} is known"


@dataclass(frozen=True)
class Unique(Rule):
    """A column, or a combination of columns, has each value once, and is never NULL."""

    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.columns[0]}_unique" if len(self.columns) == 1 else "grain_unique"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"each {', '.join(self.columns)} stands once"


@dataclass(frozen=True)
class InRange(Rule):
    """A value lies between two bounds, both included; None: no bound."""

    column: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.column}_{'usual' if self.severity == WARN else 'in_range'}"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        bounds = [f"at least {self.at_least:,}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:,}"] if self.at_most is not None else []
        return f"{self.column} is {' and '.join(bounds)}"


@dataclass(frozen=True)
class Accepted(Rule):
    """A value is one of a list."""

    column: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.column}_accepted"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"{self.column} is one of {', '.join(self.values)}"


@dataclass(frozen=True)
class Matches(Rule):
    """A text has a form, given as a regular expression of its whole."""

    column: str
    pattern: str
    form: str

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.column}_matches"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"{self.column} is {self.form}"


@dataclass(frozen=True)
class Holds(Rule):
    """An expression across the columns of a row is true; NULL is not.

    ``in_words`` says what a failing row is, where its key alone would not tell enough.
    """

    title: str
    promise: str
    expression: Callable[[ir.Table], ir.BooleanValue]
    in_words: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return self.title

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return self.promise


@dataclass(frozen=True)
class Refers(Rule):
    """A key stands in another table; a NULL key does not."""

    columns: tuple[str, ...]
    table: str
    title: str

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return self.title

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"each {', '.join(self.columns)} stands in {self.table}"


@dataclass(frozen=True)
class AddsUp(Rule):
    """The sum of a column over each unit is the number of rows that another table has of it."""

    column: str
    by: str
    table: str

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return f"{self.column}_adds_up"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"{self.column} of each {self.by} add up to the rows of {self.table} on it"


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

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return self.title

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        return f"{self.of_day} of a day are near those of the {self.history_days} days before it"


@dataclass(frozen=True)
class Fresh(Rule):
    """The newest instant of each group is not older than so many hours before the clock given."""

    column: str
    by: str
    hours: Mapping[str, float] = field(default_factory=dict)
    severity: str = field(default=WARN, kw_only=True)

    @property
    def name(self) -> str:
        """The rule's name within its table."""
        return "fresh"

    @property
    def meaning(self) -> str:
        """What must hold, in words."""
        limits = ", ".join(f"{group} {hours:g} h" for group, hours in self.hours.items())
        return f"the newest {self.column} by {self.by} is not older than: {limits}"


def described(rule: Rule) -> dict[str, Any]:
    """A rule as text, for pages and exports."""
    return {
        "rule": rule.name,
        "meaning": rule.meaning,
        "severity": rule.severity,
        "tolerates": rule.tolerance,
    }
