"""The query that answers a question, in Ibis, over one gold table.

Here: grouping, counting and choosing rows. Elsewhere: what may be asked (``question``), what a
metric is (``definitions``), which groups are not shown (``small_groups``).

Every answer comes from a gold table that has the users, so that head counts and small groups are
exact for any combination of dimensions and any period: ``user_activity_daily``, which alone has
the activity beside all slices, or ``user_journeys``. The question's metrics say which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids.metrics.definitions import parts_of
from lingokids.metrics.dimensions import GRAINS
from lingokids.metrics.kinds import Count, Metric, Rate, UserCount
from lingokids.query.small_groups import (
    are_too_few,
    hide_small_groups,
    is_small,
    needs_secondary_suppression,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.query.question import Question


def answer(table: ir.Table, question: Question, *, smallest_group: int) -> ir.Table:
    """Answer a question: only groups that may be shown, in order.

    Grain: one row per period and combination of the dimensions asked for.

    Args:
        table: The gold table that ``question.subject.table_name`` names.
        question: What is asked.
        smallest_group: The parameter: groups of fewer users are not shown.

    Returns:
        The period (named as its grain, by its first day), the dimensions, the metrics.
    """
    return choose_rows(compute_groups(table, question, smallest_group), question)


def compute_groups(table: ir.Table, question: Question, smallest_group: int) -> ir.Table:
    """Work out every group that the question names, hidden ones too.

    Grain: one row per period and combination of the dimensions asked for.

    Returns:
        The period, the dimensions, the metrics (NULL where hidden), ``is_hidden``.
    """
    return judge(cells_of(table, question), table, question, smallest_group)


def cells_of(table: ir.Table, question: Question) -> ir.Table:
    """The finest groups that decide what is hidden, none of them judged.

    A dimension that is filtered is worked out for all its values, so that a group is hidden in
    ``where`` if and only if it is hidden in ``by``.

    Grain: one row per period and combination of the dimensions asked for or filtered.
    """
    parts = parts_of(question.metrics)
    keys = (*question.period, *question.by, *_filtered(question))
    return measure(_rows_that_count(table, question, parts), keys, parts)


def judge(cells: ir.Table, table: ir.Table, question: Question, smallest_group: int) -> ir.Table:
    """Say which of the groups that the question names are hidden.

    Several values together are hidden where those of them that are hidden alone could be worked
    out.

    Grain: one row per period and combination of the dimensions asked for.

    Args:
        cells: ``cells_of`` the table.
        table: The gold table: several values together are added up from it.
        question: What is asked.
        smallest_group: Groups of fewer users are not shown.

    Returns:
        As ``compute_groups``.
    """
    keys = (*question.period, *question.by)
    filtered, user_counts = _filtered(question), user_counts_of(question)
    judged = hide_small_groups(
        cells, naming(*keys, *filtered), smallest_group, user_counts=user_counts
    )
    judged = _named(judged, question)
    if any(len(question.where[name]) > 1 for name in filtered):
        parts = parts_of(question.metrics)
        rows = _named(_rows_that_count(table, question, parts), question)
        together = measure(rows, keys, parts)
        judged = _judge_together(together, judged, keys, user_counts, smallest_group)
    return judged.select(
        *keys,
        **{name: ibis.cases((~judged.is_hidden, judged[name])) for name in question.metrics},
        is_hidden=judged.is_hidden,
    )


def _filtered(question: Question) -> tuple[str, ...]:
    """The dimensions that are filtered without being asked for."""
    return tuple(name for name in question.where if name not in question.by)


def user_counts_of(question: Question) -> tuple[str, ...]:
    """The columns of ``cells_of`` that count some of a group's users."""
    parts = parts_of(question.metrics)
    return tuple(name for name, part in parts.items() if isinstance(part, UserCount))


def naming(*keys: str) -> tuple[str, ...]:
    """The keys that tell one group from another: an activity's title only repeats its id.

    As a dimension of its own it would make each activity a line of one, which hides no other.
    """
    return tuple(key for key in keys if key != "activity_name" or "activity_id" not in keys)


def _named(rows: ir.Table, question: Question) -> ir.Table:
    """The rows with the values that the question names."""
    for name, values in question.where.items():
        rows = rows.filter(_[name].cast("string").isin(values))
    return rows


def _judge_together(
    groups: ir.Table,
    judged: ir.Table,
    keys: tuple[str, ...],
    user_counts: tuple[str, ...],
    smallest_group: int,
) -> ir.Table:
    """Hide the groups of several values that would give away one of them, or are small."""
    betrayed = needs_secondary_suppression(
        judged.is_hidden.cast("int64").sum(),
        ibis.ifelse(judged.is_hidden, judged.users, 0).max(),
        smallest_group,
    )
    for name in user_counts:
        hidden = ibis.ifelse(judged.is_hidden, judged[name], 0).sum()
        betrayed = betrayed | is_small(hidden, smallest_group)
    parts = (judged.group_by(keys) if keys else judged).aggregate(
        needs_secondary_suppression=betrayed
    )
    both = groups.inner_join(parts, keys) if keys else groups.cross_join(parts)
    too_few = are_too_few(both, ("users", *user_counts), smallest_group)
    return both.mutate(is_hidden=both.needs_secondary_suppression | too_few)


def choose_rows(groups: ir.Table, question: Question) -> ir.Table:
    """Keep the rows that are shown, the greatest first if ``top`` is asked for.

    Grain: as ``groups``, less those that are hidden or not among the top.
    """
    shown = groups.filter(~_.is_hidden).drop("is_hidden")
    names = (*question.period, *question.by)
    if question.top is None:
        return shown.order_by(names) if names else shown
    within = (*question.period, *question.per)
    others = [name for name in names if name not in within]
    greatest_first = [ibis.desc(question.metrics[0]), *others]
    placed = shown.mutate(place=ibis.row_number().over(group_by=within, order_by=greatest_first))
    chosen = placed.filter(_.place < question.top).drop("place")
    return chosen.order_by([*within, *greatest_first])


def _rows_that_count(table: ir.Table, question: Question, parts: dict[str, Metric]) -> ir.Table:
    """The rows of the subject in the span, with their period and what else the metrics need."""
    rows = question.subject.rows(table)
    needed = {metric.needs for metric in parts.values() if isinstance(metric, Count)}
    if "is_new" in needed:
        rows = rows.inner_join(
            rows.group_by("user_id").aggregate(first_date=_["date"].min()), "user_id"
        )
    if question.since is not None:
        rows = rows.filter(_["date"] >= ibis.literal(question.since))
    if question.until is not None:
        rows = rows.filter(_["date"] < ibis.literal(question.until))
    rows = rows.mutate(**{name: GRAINS[name].first_day(rows["date"]) for name in question.period})
    if "is_new" in needed:
        rows = rows.mutate(is_new=_is_new(rows, question))
    if "days_of_period" in needed:
        rows = _with_days_of_period(rows, question)
    return rows


def _is_new(rows: ir.Table, question: Question) -> ir.BooleanValue:
    """Whether the user's first day of all lies in the period, as far as the span has it."""
    is_new = ibis.literal(True)
    for name in question.period:
        is_new = is_new & (rows.first_date >= rows[name])
    if question.since is not None:
        is_new = is_new & (rows.first_date >= ibis.literal(question.since))
    return is_new


def _with_days_of_period(rows: ir.Table, question: Question) -> ir.Table:
    """How many different days of the period there are, whoever was active on them."""
    days = rows.group_by(question.period) if question.period else rows
    counted = days.aggregate(days_of_period=_["date"].nunique())
    return (
        rows.inner_join(counted, question.period) if question.period else rows.cross_join(counted)
    )


def measure(rows: ir.Table, keys: tuple[str, ...], parts: dict[str, Metric]) -> ir.Table:
    """Add up what the metrics are made of, count the users, and take the rates last.

    Grain: one row per combination of ``keys`` that a user stands behind.

    Args:
        rows: Rows of the metrics' subject, with the columns of ``keys``.
        keys: What a group is; none: all in one.
        parts: The metrics and what they are made of: see ``definitions.parts_of``.

    Returns:
        The keys, the metrics, and ``users``, those of the group.
    """
    return add_rates(add_up(rows, keys, parts), parts)


def add_up(rows: ir.Table, keys: tuple[str, ...], parts: dict[str, Metric]) -> ir.Table:
    """``measure`` without the rates."""
    added_up = {
        name: metric.of_rows for name, metric in parts.items() if not isinstance(metric, Rate)
    }
    grouped = rows.group_by(keys) if keys else rows
    # without keys there is one row even where there is nothing
    return grouped.aggregate(users=_.user_id.nunique(), **added_up).filter(_.users > 0)


def add_rates(groups: ir.Table, parts: dict[str, Metric]) -> ir.Table:
    """The groups with those of ``parts`` that are rates of others."""
    for metric in parts.values():
        if isinstance(metric, Rate):
            groups = groups.mutate(**{metric.name: metric.of_parts})
    return groups
