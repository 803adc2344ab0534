"""A rule as a lazy query: which rows fail it, and how many.

Rules of rows are counted together, in one pass over a table; rules of keys and days have a query
each. What NULL means to a rule is in ``schema.rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

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
    KeysKnown,
    Matches,
    MostlyUsable,
    NotNull,
    Recounted,
    RowCondition,
    Rule,
    Steady,
    Unique,
)

#: Rules that are counted in one pass over the rows.
OF_PASS = (NotNull, InRange, AcceptedValues, Matches, RowCondition, Unique)
#: Rules that have a query each: foreign keys, sums and shares.
OF_QUERY = (ForeignKey, AddsUp, Recounted, MostlyUsable, KeysKnown)


@dataclass(frozen=True)
class Scope:
    """The rows to check, and what they are compared with.

    Attributes:
        rows: The rows to check: those that the run changed, or all.
        table: All rows of the table.
        units: The days to check; None: those of ``rows``.
        load: The load of the run whose changes are checked; None: the newest there is.
        other: Another table, by name.
    """

    rows: ir.Table
    table: ir.Table
    units: ir.Table | None
    load: int | None
    other: Callable[[str], ir.Table]


# --- one pass over the rows ---------------------------------------------------------------


def one_pass(rules: Sequence[Rule], rows: ir.Table) -> ir.Table:
    """Count the rows, and those that fail each rule of rows or of uniqueness.

    Grain: one row: ``rows_checked`` and one count a rule, in order. A key counts if it is NULL or
    repeated.
    """
    counts = {
        f"rule_{place}": _surplus(rule, rows)
        if isinstance(rule, Unique)
        else fails(rule, rows).sum().fill_null(0)
        for place, rule in enumerate(rules)
    }
    return rows.aggregate(rows_checked=rows.count(), **counts)


def fails(rule: Rule, rows: ir.Table) -> ir.BooleanValue:
    """Whether a row fails a rule; NULL: it does not."""
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
    """At least 1 if a key is NULL or repeated, else 0.

    Combinations are counted by their hash, which is much cheaper. A collision raises a false
    alarm, which the exact query (``tally``) then corrects.
    """
    keys = [rows[column] for column in rule.columns]
    key = keys[0] if len(keys) == 1 else ibis.struct(dict(zip(rule.columns, keys, strict=True)))
    distinct = key.nunique() if len(keys) == 1 else key.hash().nunique()
    null_keys = _any_null(rows, rule.columns).sum().fill_null(0)
    return ibis.greatest(rows.count() - distinct, null_keys)


# --- rules of keys, relations and sums, a query each ----------------------------------------


def tally(rule: Rule, scope: Scope) -> ir.Table:
    """Count the rows (or groups) that a rule checks, and those that fail it.

    Grain: one row: rows_checked, rows_failed.
    """
    if isinstance(rule, AddsUp | Recounted):
        groups = _sums(rule, scope)
        return groups.aggregate(
            rows_checked=groups.count(), rows_failed=_differs(groups).sum().fill_null(0)
        )
    checked = _rows_to_check(rule, scope).count().as_scalar()
    if isinstance(rule, MostlyUsable):
        shares = _shares(rule, scope)
        return shares.aggregate(
            rows_checked=shares.count(), rows_failed=_.is_failing.sum().fill_null(0)
        )
    if isinstance(rule, Unique):
        repeated = _repeated(rule, scope.rows)
        return repeated.aggregate(rows_checked=checked, rows_failed=repeated.count())
    failed_rows = failing(rule, scope)
    return failed_rows.aggregate(rows_checked=checked, rows_failed=failed_rows.count())


def failing(rule: Rule, scope: Scope) -> ir.Table:
    """Rows (or groups) that fail a rule."""
    match rule:
        case Unique():
            return _repeated(rule, scope.rows)
        case ForeignKey():
            # a NULL key has no match, so it stays
            return _rows_to_check(rule, scope).anti_join(scope.other(rule.table), rule.columns)
        case AddsUp() | Recounted():
            return _sums(rule, scope).filter(_differs)
        case MostlyUsable():
            return _shares(rule, scope).filter(_.is_failing).drop("is_failing")
        case KeysKnown():
            return scope.rows.anti_join(_keys_as_before(rule, scope.table), _KEY_OF_LOAD)
    return scope.rows.filter(fails(rule, scope.rows))


def _rows_to_check(rule: Rule, scope: Scope) -> ir.Table:
    if not (isinstance(rule, ForeignKey) and rule.is_of_next):
        return scope.rows
    rows, state = scope.rows, scope.other(schema.TABLE_STATE.table_name)
    if "is_current" in rows.columns:
        rows = rows.filter(_.is_current)
    reflected = state.filter(_.table_name == rule.table).select(last_load="version")
    return rows.semi_join(reflected, rows.load_id <= reflected.last_load)


def _repeated(rule: Unique, rows: ir.Table) -> ir.Table:
    # unlike a join, a window treats NULLs as equal
    counted = rows.mutate(times_=rows.count().over(group_by=list(rule.columns)))
    return counted.filter((_.times_ > 1) | _any_null(counted, rule.columns)).drop("times_")


def _any_null(rows: ir.Table, columns: Sequence[str]) -> ir.BooleanValue:
    return ibis.or_(*(rows[column].isnull() for column in columns))


def _sums(rule: AddsUp | Recounted, scope: Scope) -> ir.Table:
    """The table's sum and the expected one, per group; no rows make 0.

    A union, because Ibis takes three times as long to compile a join.
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


def _differs(groups: ir.Table) -> ir.BooleanValue:
    return groups.found != groups.expected


# --- rules of what a load brought ------------------------------------------------------------


def _shares(rule: MostlyUsable, scope: Scope) -> ir.Table:
    """The lines of a load, counted; those sent again since, or of erased people, do not count.

    Grain: one row per group that has lines enough.
    """
    newest = _.load_id.max().over(group_by="dataset") if scope.load is None else scope.load
    objects = scope.rows.filter(_.is_current).mutate(newest=newest).filter(_.load_id == _.newest)
    of_object = ["dataset", "object_key", "load_id"]
    quarantined = scope.other(schema.QUARANTINED_LINES.table_name)
    refused = quarantined.filter(_.reason == schema.ERASED).group_by(of_object)
    refused = refused.aggregate(refused=_.lines_alike.sum())
    counted = objects.left_join(refused, of_object).mutate(refused=_.refused.fill_null(0))
    shares = counted.group_by(*rule.by, "load_id").aggregate(
        lines=(_.lines - _.blank - _.refused).sum(),
        unusable=(_.quarantined - _.refused).sum(),
        refused=_.refused.sum(),
    )
    shares = shares.filter((_.lines >= rule.least_lines) & ((_.lines > 0) | (_.refused == 0)))
    shares = shares.drop("refused")
    return shares.mutate(is_failing=_.unusable >= rule.share * _.lines)


_KEY = ("dataset", "unknown_key", "json_type")
_KEY_OF_LOAD = (*_KEY, "load_id")


def _keys_as_before(rule: KeysKnown, unknown_keys: ir.Table) -> ir.Table:
    """The keys that are acknowledged, with their type or null, and about as frequent as before."""
    name = _.dataset.concat(".", _.unknown_key, " ", _.json_type)
    acknowledged = [f"{key} {of}" for key, type_ in rule.known.items() for of in (type_, "null")]
    known = unknown_keys.filter(name.isin(acknowledged))
    so_far = ibis.window(group_by=_KEY, order_by="load_id", preceding=None, following=0)
    lines_before = _.usable_lines.sum().over(so_far) - _.usable_lines
    with_key_before = _.lines_with_key.sum().over(so_far) - _.lines_with_key
    usual = with_key_before / lines_before.nullif(0)
    change = (_.share_of_lines - _.usual).abs()
    return known.mutate(usual=usual).filter(
        _.usual.isnull() | (_.usable_lines < rule.least_lines) | (change <= rule.most_change)
    )


# --- rules of days against days -------------------------------------------------------------


def daily(rules: Sequence[Steady], table: ir.Table) -> ir.Table:
    """Compute the measures of each day.

    Grain: one row per day: the day, and one number a rule, in order.
    """
    measures = {
        f"rule_{place}": rule.measure(table).cast("float64") for place, rule in enumerate(rules)
    }
    return table.group_by(day=table[rules[0].by]).aggregate(**measures)


def with_history(rules: Sequence[Steady], table: ir.Table, days: set[date]) -> ir.Table:
    """The rows of some days and of those they are compared with."""
    if not days:
        return table.limit(0)
    longest = max(rule.history_days for rule in rules)
    first = date.fromordinal(max(min(days).toordinal() - longest, 1))
    return table.filter(table[rules[0].by].between(first, max(days)))


def newest(rule: Fresh, table: ir.Table) -> ir.Table:
    """The newest instant of each group."""
    return table.group_by(group=table[rule.by]).aggregate(newest=table[rule.column].max())


# --- the source of a failing row ----------------------------------------------------------------


def with_source(failed: ir.Table, other: Callable[[str], ir.Table]) -> ir.Table:
    """The first failing rows, with the raw object and line they came from.

    The row of an event came from its last delivery, a share of unusable lines from the first line
    of the most frequent reason.
    """
    some = failed.limit(MOST_EXAMPLES)
    if "unusable" in some.columns:
        return _with_reason(some, other(schema.QUARANTINED_LINES.table_name))
    event = ("event_id", "landed_at", "load_id")
    if set(schema.DELIVERY) <= set(some.columns) or not set(event) <= set(some.columns):
        return some
    lines = (
        other("bronze_events").semi_join(some, event).select(*event, "object_key", "line_number")
    )
    return some.left_join(lines, event).select(*some.columns, "object_key", "line_number")


def _with_reason(shares: ir.Table, quarantined_lines: ir.Table) -> ir.Table:
    by = [name for name in ("dataset", "object_key", "load_id") if name in shares.columns]
    lines = quarantined_lines.filter(_.reason != schema.ERASED).semi_join(shares, by)
    lines = lines.mutate(times=_.lines_alike.sum().over(group_by=[*by, "reason"]))
    order = [ibis.desc("times"), *(ibis.asc(name) for name in ("object_key", "line_number"))]
    lines = lines.mutate(place=ibis.row_number().over(group_by=by, order_by=order))
    first = lines.filter(_.place == 0).select({*by, "object_key", "line_number", "reason"})
    return shares.left_join(first, by).drop(*(f"{name}_right" for name in by))
