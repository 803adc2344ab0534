"""Answer a question from the rows of users: group, aggregate, sort and limit.

Nothing is hidden: such an answer is for those who may see the tables. What everyone may see has
been decided before anyone asks: see ``side_by_side``.

Every answer is computed from a gold table with one row per user, so that user counts are exact for
any combination of dimensions and any period: ``user_activity_daily``, which alone has the activity
beside all dimensions, or ``user_journeys``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids.metrics.definitions import parts_of
from lingokids.metrics.dimensions import GRAINS
from lingokids.metrics.kinds import Count, Metric, Rate

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.query.question import Question


def answer(table: ir.Table, question: Question) -> ir.Table:
    """Answer a question, with groups of few users in it: restricted, not to be shared.

    Grain: one row per period and combination of the dimensions in ``by``.

    Args:
        table: The gold table that ``question.subject.table_name`` names.
        question: What is asked.

    Returns:
        The period (a column named after the grain, with its first day), dimensions, metrics.
    """
    parts = parts_of(question.metrics)
    keys = (*question.period, *question.by)
    rows = with_values(_rows_in_span(table, question, parts), question)
    groups = add_rates(add_up(rows, keys, parts), parts)
    return choose_rows(groups.select(*keys, *question.metrics), question)


def in_span(rows: ir.Table, question: Question, day: ir.DateValue) -> ir.Table:
    """Apply ``since`` and ``until``."""
    if question.since is not None:
        rows = rows.filter(day >= ibis.literal(question.since))
    if question.until is not None:
        rows = rows.filter(day < ibis.literal(question.until))
    return rows


def with_values(rows: ir.Table, question: Question) -> ir.Table:
    """Apply ``where``."""
    for name, values in question.where.items():
        rows = rows.filter(_[name].cast("string").isin(values))
    return rows


def choose_rows(groups: ir.Table, question: Question) -> ir.Table:
    """Sort, and keep the ``top`` groups of each period and ``per``."""
    names = (*question.period, *question.by)
    if question.top is None:
        return groups.order_by(names) if names else groups
    within = (*question.period, *question.per)
    others = [name for name in names if name not in within]
    greatest_first = [ibis.desc(question.metrics[0]), *others]
    ranked = groups.mutate(rank=ibis.row_number().over(group_by=within, order_by=greatest_first))
    chosen = ranked.filter(_["rank"] < question.top).drop("rank")
    return chosen.order_by([*within, *greatest_first])


def _rows_in_span(table: ir.Table, question: Question, parts: dict[str, Metric]) -> ir.Table:
    """The subject's rows in the span, with the columns that the metrics need."""
    rows = question.subject.rows(table)
    needed = {metric.needs for metric in parts.values() if isinstance(metric, Count)}
    if "is_new" in needed:
        rows = rows.inner_join(
            rows.group_by("user_id").aggregate(first_date=_["date"].min()), "user_id"
        )
    rows = in_span(rows, question, rows["date"])
    rows = rows.mutate(**{name: GRAINS[name].first_day(rows["date"]) for name in question.period})
    if "is_new" in needed:
        rows = rows.mutate(is_new=_is_new(rows, question))
    if "days_of_period" in needed:
        rows = _with_days_of_period(rows, question)
    return rows


def _is_new(rows: ir.Table, question: Question) -> ir.BooleanValue:
    """Whether the user's first day with activity lies in the period and the span."""
    is_new = ibis.literal(True)
    for name in question.period:
        is_new = is_new & (rows.first_date >= rows[name])
    if question.since is not None:
        is_new = is_new & (rows.first_date >= ibis.literal(question.since))
    return is_new


def _with_days_of_period(rows: ir.Table, question: Question) -> ir.Table:
    """Add the number of days of the period with activity of anyone."""
    days = rows.group_by(question.period) if question.period else rows
    counted = days.aggregate(days_of_period=_["date"].nunique())
    return (
        rows.inner_join(counted, question.period) if question.period else rows.cross_join(counted)
    )


def add_up(rows: ir.Table, keys: tuple[str, ...], parts: dict[str, Metric]) -> ir.Table:
    """Aggregate the metrics that are no rates.

    Grain: one row per combination of ``keys`` with at least one row.

    Args:
        rows: Rows of the metrics' subject, with the columns of ``keys``.
        keys: Columns to group by; none: one group of all rows.
        parts: The metrics and their components: see ``definitions.parts_of``.

    Returns:
        The keys, and the metrics.
    """
    added_up = {
        name: metric.of_rows for name, metric in parts.items() if not isinstance(metric, Rate)
    }
    grouped = rows.group_by(keys) if keys else rows
    # without keys there is one row even where there is nothing
    return grouped.aggregate(rows_there=_.count(), **added_up).filter(_.rows_there > 0)


def add_rates(groups: ir.Table, parts: dict[str, Metric]) -> ir.Table:
    """Add the rates among ``parts`` to groups that have their components."""
    for metric in parts.values():
        if isinstance(metric, Rate):
            groups = groups.mutate(**{metric.name: metric.of_parts})
    return groups
