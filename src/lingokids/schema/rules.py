"""The kinds of data quality rules: their meaning, severity and tolerance.

Which rules a table has is in ``promises`` and ``columns``; ``checks`` runs them.

A NULL key fails uniqueness and foreign keys. A NULL value passes rules on values (range, accepted
values, pattern), because whether it may be NULL is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lingokids.errors import in_one_line

if TYPE_CHECKING:
    import ibis.expr.types as ir

ERROR, WARN, OFF = "error", "warn", "off"


class Words(NamedTuple):
    """A rule's name, unique within its table, and its meaning."""

    name: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What all rules have in common.

    Attributes:
        severity: ``error`` rolls the run back; ``warn`` is only logged.
        most_rows: Failing rows that are tolerated.
        most_share: Share of the checked rows that may fail.
        each_run: Checked in every run that changes the table; else on demand only.
        is_enforced: No run writes rows that break it: the engine, or ``Contract.validate`` when
            Kedro saves the table, refuses them. It is checked on demand only.
    """

    severity: str = ERROR
    most_rows: int = 0
    most_share: float = 0.0
    each_run: bool = True
    is_enforced: bool = False

    @property
    def name(self) -> str:
        """Its name, unique within its table."""
        return self._words().name

    @property
    def meaning(self) -> str:
        """What must be true, in words."""
        return self._words().meaning

    def _words(self) -> Words:
        raise NotImplementedError

    def in_words(self, row: Mapping[str, Any]) -> str:
        """A failing row for a message, where its key alone says too little."""
        return ""

    @property
    def tolerance(self) -> str:
        """The tolerance, in words."""
        parts = [f"{self.most_rows:,} rows"] if self.most_rows else []
        parts += [f"{self.most_share:.1%} of the rows"] if self.most_share else []
        return " and ".join(parts)

    def is_broken(self, rows_checked: int, rows_failed: int) -> bool:
        """Whether more rows fail than tolerated."""
        return rows_failed > max(self.most_rows, self.most_share * rows_checked)


@dataclass(frozen=True)
class SchemaKept(Rule):
    """The table exists and has the promised columns and types."""

    is_enforced: bool = True

    def _words(self) -> Words:
        return Words(
            "schema_kept", "the table and every promised column exist, with the promised types"
        )


@dataclass(frozen=True)
class NoOtherColumns(Rule):
    """The table has no unexpected columns."""

    is_enforced: bool = True

    def _words(self) -> Words:
        return Words("no_other_columns", "there are no unexpected columns")


@dataclass(frozen=True)
class NotNull(Rule):
    """A column is never NULL; with ``most_share``, seldom."""

    column: str

    def _words(self) -> Words:
        if self.most_share:
            return Words(f"{self.column}_seldom_null", f"{self.column} is known")
        return Words(f"{self.column}_not_null", f"{self.column} is never NULL")


@dataclass(frozen=True)
class Unique(Rule):
    """A column, or a combination of columns, is unique and never NULL."""

    columns: tuple[str, ...]

    def _words(self) -> Words:
        name = "grain" if self.columns[1:] else self.columns[0]
        return Words(f"{name}_unique", f"{', '.join(self.columns)} is unique")


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
    """A text matches a regular expression as a whole."""

    column: str
    pattern: str
    form: str

    def _words(self) -> Words:
        return Words(f"{self.column}_matches", f"{self.column} is {self.form}")


@dataclass(frozen=True)
class RowCondition(Rule):
    """An expression over the columns of a row is true, not NULL."""

    title: str
    promise: str
    expression: Callable[[ir.Table], ir.BooleanValue]

    def _words(self) -> Words:
        return Words(self.title, self.promise)


@dataclass(frozen=True)
class ForeignKey(Rule):
    """Every key exists in another table; a NULL key fails.

    Attributes:
        is_of_next: Whether the other table is made from this one: check only what it reflects, the
            current lines of loads up to the run that it was last made in.
    """

    columns: tuple[str, ...]
    table: str
    title: str
    is_of_next: bool = False

    def _words(self) -> Words:
        key = ", ".join(self.columns)
        only = ", if it reflects the load" if self.is_of_next else ""
        return Words(self.title, f"foreign key: every {key} exists in {self.table}{only}")


@dataclass(frozen=True)
class AddsUp(Rule):
    """A column's sums per group equal those of another table; no rows make 0.

    Attributes:
        by: The columns to group by, in both tables.
        of: The column to sum in the other table; None: count its rows.
        where: A column and a value: sum only the rows that have it.
    """

    column: str
    by: tuple[str, ...]
    table: str
    of: str | None = None
    where: tuple[str, str] | None = None

    def _words(self) -> Words:
        only = self.where[1] if self.where else ""
        other = f"the sum of {self.of}" if self.of else "the number of rows"
        return Words(
            f"{self.column}{f'_of_{only}' if only else ''}_adds_up",
            f"the sum of {self.column}{f' of {only}' if only else ''} equals {other} in "
            f"{self.table}, for every {', '.join(self.by)}",
        )


@dataclass(frozen=True)
class Recounted(Rule):
    """A column equals a count recomputed from another table; no rows make 0.

    Attributes:
        by: The columns to group by.
        promise: What is counted, in words.
        count: From this table and the other: the columns of ``by`` and ``expected``, to be summed.
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
    """A day's measure is no outlier among the days before it.

    An outlier has a robust z-score above the parameter ``checks.most_deviation``. A day is skipped
    if the table has fewer than ``least_days`` of the ``history_days`` before it.
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
            f"{self.of_day} per day: no outlier among the {self.history_days} days before",
        )


@dataclass(frozen=True)
class MostlyUsable(Rule):
    """Of the lines that a load brought, fewer than a share are unusable.

    Attributes:
        by: The columns whose lines are counted together; under ``least_lines`` they are skipped.
        limit: The parameter of ``checks`` that gives the share; empty: one line has to be usable.
        share: Its value, once parameters are read.
    """

    title: str
    by: tuple[str, ...]
    limit: str = ""
    share: float = 1.0
    least_lines: int = 100

    def _words(self) -> Words:
        share = (
            f"a smaller share than checks.{self.limit} is unusable, if there are "
            f"{self.least_lines} or more"
            if self.limit
            else "one at least is usable"
        )
        return Words(self.title, f"of the lines of a load, per {' and '.join(self.by)}, {share}")

    def in_words(self, row: Mapping[str, Any]) -> str:
        """The share, and a line of the most frequent reason."""
        if not row["lines"]:
            return f"{in_one_line(row['object_key'])} of the {row['dataset']} has no line"
        return (
            f"{row['unusable']:,} of {row['lines']:,} lines of the {row['dataset']}, most often "
            f"as line {row['line_number']:,} of {in_one_line(row['object_key'])}: {row['reason']}"
        )


@dataclass(frozen=True)
class KeysKnown(Rule):
    """Every key of a load is read by a field, or acknowledged and as frequent as before.

    Attributes:
        known: The JSON type of each ``dataset.key`` that is acknowledged, once parameters are read.
        most_change: By how much its share of the lines may differ from that in earlier loads.
        least_lines: A load of fewer lines says nothing about the share.
    """

    known: Mapping[str, str] = field(default_factory=dict)
    most_change: float = 0.1
    least_lines: int = 100
    severity: str = field(default=WARN, kw_only=True)

    def _words(self) -> Words:
        return Words(
            "keys_known",
            "every delivered key is read by a field of schema/raw.py, or acknowledged with its "
            "type in checks.known_keys and about as frequent as in the loads before",
        )

    def in_words(self, row: Mapping[str, Any]) -> str:
        """The key, its share, and where it is first."""
        return (
            f"{in_one_line(row['unknown_key'])} of {row['dataset']} ({row['json_type']}) in "
            f"{row['lines_with_key']:,} of {row['usable_lines']:,} lines "
            f"({row['share_of_lines']:.1%}), first in {in_one_line(row['object_key'])}, line "
            f"{row['line_number']:,}"
        )


@dataclass(frozen=True)
class Fresh(Rule):
    """The newest instant of each group is recent: at ``checks.now``, else by the clock."""

    column: str
    by: str
    hours: Mapping[str, float] = field(default_factory=dict)
    severity: str = field(default=WARN, kw_only=True)

    def overdue(self, newest: Mapping[str, object], now: datetime) -> list[str]:
        """The groups whose newest instant is too old, of a year that Python has not, or none."""
        return [
            group
            for group, hours in self.hours.items()
            if not isinstance(latest := newest.get(group), datetime)
            or now - latest > timedelta(hours=hours)
        ]

    def _words(self) -> Words:
        limits = ", ".join(f"{group} {hours:g} h" for group, hours in self.hours.items())
        return Words(
            "fresh", f"the newest {self.column} per {self.by} is at most this old: {limits}"
        )
