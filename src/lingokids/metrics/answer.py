"""The query that answers a question, in Ibis, over one gold table.

Here: grouping, counting and choosing rows. Elsewhere: what may be asked (``question``), what a
metric is (``definitions``), which groups are not shown (``small_groups``).

Every answer comes from ``user_activity_daily``, the finest gold table: it alone has the activity
beside all slices, and the users, so that head counts and small groups are exact for any
combination of dimensions and any period.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids.metrics.definitions import GRAINS, METRICS, UNKNOWN, HeadCount, Measure, Rate
from lingokids.metrics.small_groups import hide_small_groups, is_betrayed

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.metrics.question import Question


def answer(user_activity_daily: ir.Table, question: Question, *, smallest_group: int) -> ir.Table:
    """Answer a question: only groups that may be shown, in order.

    Grain: one row per period and combination of the dimensions asked for.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        question: What is asked.
        smallest_group: The parameter: groups of fewer users are not shown.

    Returns:
        The period (named as its grain, by its first day), the dimensions, the metrics.
    """
    return choose_rows(work_out(user_activity_daily, question, smallest_group), question)


def work_out(user_activity_daily: ir.Table, question: Question, smallest_group: int) -> ir.Table:
    """Work out every group that the question names, hidden ones too.

    A dimension that is filtered is worked out for all its values first, so that a group is hidden
    in ``where`` if and only if it is hidden in ``by``. Several values together are hidden where
    those of them that are hidden alone could be worked out.

    Grain: one row per period and combination of the dimensions asked for.

    Returns:
        The period, the dimensions, the metrics (NULL where hidden), ``is_hidden``.
    """
    keys = (*question.period, *question.by)
    filtered = tuple(name for name in question.where if name not in question.by)
    days = _in_span(user_activity_daily, question).mutate(
        activity_name=_.activity_name.fill_null(UNKNOWN)
    )
    days = days.mutate(**{name: GRAINS[name].first_day(days["date"]) for name in question.period})
    cells = measure(days, (*keys, *filtered), question.metrics)
    judged = hide_small_groups(cells, naming(*keys, *filtered), smallest_group)
    judged = _named(judged, question)
    if any(len(question.where[name]) > 1 for name in filtered):
        together = measure(_named(days, question), keys, question.metrics)
        judged = _judge_together(together, judged, keys, smallest_group)
    return judged.select(
        *keys,
        **{name: ibis.cases((~judged.is_hidden, judged[name])) for name in question.metrics},
        is_hidden=judged.is_hidden,
    )


def naming(*keys: str) -> tuple[str, ...]:
    """The keys that tell one group from another: an activity's title only repeats its id.

    As a dimension of its own it would make each activity a line of one, which hides no other.
    """
    return tuple(key for key in keys if key != "activity_name" or "activity_id" not in keys)


def _named(rows: ir.Table, question: Question) -> ir.Table:
    """The rows with the values that the question names."""
    for name, values in question.where.items():
        rows = rows.filter(_[name].isin(values))
    return rows


def _judge_together(
    groups: ir.Table, judged: ir.Table, keys: tuple[str, ...], smallest_group: int
) -> ir.Table:
    """Hide the groups of several values that would give away one of them, or are small."""
    parts = (judged.group_by(keys) if keys else judged).aggregate(
        is_betrayed=is_betrayed(
            _.is_hidden.cast("int64").sum(),
            ibis.ifelse(_.is_hidden, _.users, 0).max(),
            smallest_group,
        )
    )
    both = groups.inner_join(parts, keys) if keys else groups.cross_join(parts)
    return both.mutate(is_hidden=_.is_betrayed | (_.users < smallest_group))


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


def _in_span(days: ir.Table, question: Question) -> ir.Table:
    if question.since is not None:
        days = days.filter(_["date"] >= ibis.literal(question.since))
    if question.until is not None:
        days = days.filter(_["date"] < ibis.literal(question.until))
    return days


def measure(days: ir.Table, keys: tuple[str, ...], names: tuple[str, ...]) -> ir.Table:
    """Add up what the metrics are made of, count the users, and take the rates last.

    Grain: one row per combination of ``keys`` that a user stands behind.

    Args:
        days: ``USER_ACTIVITY_DAILY`` with the columns of ``keys``.
        keys: What a group is; none: all in one.
        names: The metrics.
    """
    rates = [metric for name in names if isinstance(metric := METRICS[name], Rate)]
    parts = {*names, *(part for rate in rates for part in (rate.numerator, rate.denominator))}
    added_up = {
        name: metric.of_days
        for name, metric in METRICS.items()
        if name in parts and isinstance(metric, Measure | HeadCount)
    }
    grouped = days.group_by(keys) if keys else days
    # without keys there is one row even where there is nothing
    groups = grouped.aggregate(users=_.user_id.nunique(), **added_up).filter(_.users > 0)
    return groups.mutate(**{rate.name: rate.of_parts for rate in rates})
