"""A rule as a query: which rows fail it, and how many of all.

Here: rules of rows, which one pass over a table counts together, and rules of keys and days,
which have a query each. Every expression is lazy Ibis. Elsewhere: running it (``inspection``).

A condition that is NULL counts as neither true nor false in SQL, so each rule says which it is:
see ``schema.rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema
from lingokids.checks.results import MOST_EXAMPLES
from lingokids.schema import (
    AcceptedValues,
    AddsUp,
    ForeignKey,
    Fresh,
    InRange,
    Matches,
    NotNull,
    Recounted,
    RowCondition,
    Rule,
    Steady,
    Unique,
)

#: The rules that one pass over the rows counts.
OF_PASS = (NotNull, InRange, AcceptedValues, Matches, RowCondition, Unique)
#: The rules that have a query each: relations and sums.
OF_QUERY = (ForeignKey, AddsUp, Recounted)


@dataclass(frozen=True)
class Scope:
    """The rows that rules are checked on.

    Attributes:
        rows: The rows to judge: those the run changed, or all.
        table: All rows of the table.
        earlier: The rows that were there before and may have the same keys; None: there are none.
        units: The days whose rows are judged, where the run says so; None: those of ``rows``.
        other: Another table, by name.
    """

    rows: ir.Table
    table: ir.Table
    earlier: ir.Table | None
    units: ir.Table | None
    other: Callable[[str], ir.Table]


# --- one pass over the rows ---------------------------------------------------------------


def one_pass(rules: Sequence[Rule], rows: ir.Table) -> ir.Table:
    """Count the rows, and those that fail each rule of rows or of keys.

    Grain: one row: ``rows_checked`` and one count a rule, in order. A key that is NULL or
    repeated among ``rows`` counts; one repeated elsewhere does not (``repeated_earlier``).
    """
    counts = {
        f"rule_{place}": _surplus(rule, rows)
        if isinstance(rule, Unique)
        else fails(rule, rows).sum().fill_null(0)
        for place, rule in enumerate(rules)
    }
    return rows.aggregate(rows_checked=rows.count(), **counts)


def fails(rule: Rule, rows: ir.Table) -> ir.BooleanValue:
    """Whether a row fails a rule of rows; NULL is no."""
    match rule:
        case NotNull():
            return rows[rule.column].isnull()
        case InRange():
            value = rows[rule.column]
            outside = [] if rule.at_least is None else [value < rule.at_least]
            outside += [] if rule.at_most is None else [value > rule.at_most]
            return ibis.or_(*outside)
        case AcceptedValues():
            return rows[rule.column].notin(rule.values)
        case Matches():
            return ~rows[rule.column].re_search(f"^({rule.pattern})$")
        case RowCondition():
            return ~rule.expression(rows).fill_null(False)
    raise TypeError(f"{rule.name} is not a rule of rows")


def _surplus(rule: Unique, rows: ir.Table) -> ir.IntegerValue:
    """At least 1 if a key is NULL or stands twice, else 0.

    A combination is counted by its hash, which is much cheaper. Two combinations of one hash
    would raise a false alarm, which the exact query behind it (``failing``) then calms.
    """
    keys = [rows[column] for column in rule.columns]
    key = keys[0] if len(keys) == 1 else ibis.struct(dict(zip(rule.columns, keys, strict=True)))
    distinct = key.nunique() if len(keys) == 1 else key.hash().nunique()
    null_keys = _any_null(rows, rule.columns).sum().fill_null(0)
    return ibis.greatest(rows.count() - distinct, null_keys)


def repeated_earlier(rule: Unique, scope: Scope) -> ir.Table:
    """Count the earlier rows that have the key of a row to judge.

    Grain: one row.
    """
    if scope.earlier is None:
        raise ValueError("there are no earlier rows")
    repeated = scope.earlier.semi_join(scope.rows, rule.columns)
    return repeated.aggregate(rows_failed=repeated.count())


# --- rules of keys, relations and sums, a query each ----------------------------------------


def tally(rule: Rule, scope: Scope) -> ir.Table:
    """Count what a rule of keys or days judges, and what fails it.

    Grain: one row: rows_checked, rows_failed.
    """
    if isinstance(rule, AddsUp | Recounted):
        units = _sums(rule, scope)
        return units.aggregate(
            rows_checked=units.count(), rows_failed=_differs(units).sum().fill_null(0)
        )
    judged = _judged(rule, scope).count().as_scalar()
    if isinstance(rule, Unique):
        repeated = _repeated(rule, scope)
        failed = repeated.is_judged_.sum().fill_null(0)
        return repeated.aggregate(rows_checked=judged, rows_failed=failed)
    failed_rows = failing(rule, scope)
    return failed_rows.aggregate(rows_checked=judged, rows_failed=failed_rows.count())


def failing(rule: Rule, scope: Scope) -> ir.Table:
    """The rows, or units, that fail a rule; with a repeated key, the earlier rows that have it."""
    match rule:
        case Unique():
            return _repeated(rule, scope).drop("is_judged_")
        case ForeignKey():
            # a NULL key has no match, so it stays
            return _judged(rule, scope).anti_join(scope.other(rule.table), rule.columns)
        case AddsUp() | Recounted():
            return _sums(rule, scope).filter(_differs)
    return scope.rows.filter(fails(rule, scope.rows))


def _judged(rule: Rule, scope: Scope) -> ir.Table:
    if isinstance(rule, ForeignKey) and rule.among is not None:
        column, table = rule.among
        return scope.rows.semi_join(scope.other(table), column)
    return scope.rows


def _repeated(rule: Unique, scope: Scope) -> ir.Table:
    suspects = scope.rows.mutate(is_judged_=True)
    if scope.earlier is not None:
        earlier = scope.earlier.semi_join(scope.rows, rule.columns).mutate(is_judged_=False)
        suspects = ibis.union(suspects, earlier)
    # a window takes NULLs for equals, as a join would not
    counted = suspects.mutate(times_=suspects.count().over(group_by=list(rule.columns)))
    return counted.filter((_.times_ > 1) | _any_null(counted, rule.columns)).drop("times_")


def _any_null(rows: ir.Table, columns: Sequence[str]) -> ir.BooleanValue:
    return ibis.or_(*(rows[column].isnull() for column in columns))


def _sums(rule: AddsUp | Recounted, scope: Scope) -> ir.Table:
    """Per unit: the sum that the table has, and the one that the other makes; no rows make 0.

    One union, because joins take Ibis three times as long to compile.
    """
    table, other = scope.table, scope.other(rule.table)
    exact = table[rule.column].type()
    nothing = ibis.literal(0, exact)
    if isinstance(rule, Recounted):
        there = rule.count(table, other)
        expected = there.expected.cast(exact)
    else:
        there = other
        expected = ibis.literal(1, exact) if rule.of is None else other[rule.of].cast(exact)
        if rule.where is not None:
            table = table.filter(table[rule.where[0]] == rule.where[1])
    both = ibis.union(
        table.select(*rule.by, found=rule.column, expected=nothing),
        there.select(*rule.by, found=nothing, expected=expected),
    )
    if scope.units is not None:
        day = rule.by[0]
        both = both.filter(both[day].isin(scope.units[day]))
    return both.group_by(rule.by).aggregate(found=_.found.sum(), expected=_.expected.sum())


def _differs(units: ir.Table) -> ir.BooleanValue:
    return units.found != units.expected


# --- rules of days against days -------------------------------------------------------------


def daily(rules: Sequence[Steady], table: ir.Table) -> ir.Table:
    """The measures of each day.

    Grain: one row per day: the day, and one number a rule, in order.
    """
    measures = {
        f"rule_{place}": rule.measure(table).cast("float64") for place, rule in enumerate(rules)
    }
    return table.group_by(day=table[rules[0].by]).aggregate(**measures)


def with_history(rules: Sequence[Steady], table: ir.Table, judged: set[date]) -> ir.Table:
    """The rows of the days judged and of those they are compared with: not all of history."""
    if not judged:
        return table.limit(0)
    longest = timedelta(days=max(rule.history_days for rule in rules))
    day = table[rules[0].by]
    return table.filter(day.between(min(judged) - longest, max(judged)))


def newest(rule: Fresh, table: ir.Table) -> ir.Table:
    """The newest instant of each group.

    Grain: one row per group: the group, the instant.
    """
    return table.group_by(group=table[rule.by]).aggregate(newest=table[rule.column].max())


# --- where a failing row comes from -----------------------------------------------------------


def with_source(failed: ir.Table, other: Callable[[str], ir.Table]) -> ir.Table:
    """The first failing rows, with object_key and line_number of their line where there is one.

    A row of an event comes from its last delivery: the one that no other supersedes.
    """
    some = failed.limit(MOST_EXAMPLES)
    event = ("event_id", "landed_at", "load_id")
    if set(schema.DELIVERY) <= set(some.columns) or not set(event) <= set(some.columns):
        return some
    lines = (
        other("bronze_events").semi_join(some, event).select(*event, "object_key", "line_number")
    )
    return some.left_join(lines, event).select(*some.columns, "object_key", "line_number")
