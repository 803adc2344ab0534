"""Answer a question: group, aggregate, hide small groups, sort and limit.

Every answer is computed from a gold table with one row per user, so that user counts and small
groups are exact for any combination of dimensions and any period: ``user_activity_daily``, which
alone has the activity beside all dimensions, or ``user_journeys``.
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
    """Answer a question: the groups that may be shown, sorted.

    Grain: one row per period and combination of the dimensions in ``by``.

    Args:
        table: The gold table that ``question.subject.table_name`` names.
        question: What is asked.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        The period (a column named after the grain, with its first day), dimensions, metrics.
    """
    return choose_rows(compute_groups(table, question, smallest_group), question)


def compute_groups(table: ir.Table, question: Question, smallest_group: int) -> ir.Table:
    """Compute every group of the answer, hidden ones included.

    Grain: one row per period and combination of the dimensions in ``by``.

    Returns:
        The period, the dimensions, the metrics (NULL where hidden), ``is_hidden``.
    """
    return mark_hidden(cells_of(table, question), table, question, smallest_group)


def cells_of(table: ir.Table, question: Question) -> ir.Table:
    """Aggregate the finest groups that decide what is hidden.

    A filtered dimension keeps all its values, so that ``where`` hides exactly what ``by`` hides.

    Grain: one row per period and combination of the dimensions in ``by`` or ``where``.
    """
    parts = parts_of(question.metrics)
    keys = (*question.period, *question.by, *_filtered(question))
    return measure(_rows_in_span(table, question, parts), keys, parts)


def mark_hidden(
    cells: ir.Table, table: ir.Table, question: Question, smallest_group: int
) -> ir.Table:
    """Apply the suppression of small groups to the groups of the answer.

    A filter on several values adds them up: their sum is hidden where it would reveal one of them
    that is hidden on its own.

    Args:
        cells: ``cells_of`` the table.
        table: The gold table: filters on several values are aggregated from it.
        question: What is asked.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        As ``compute_groups``.
    """
    keys = (*question.period, *question.by)
    filtered, user_counts = _filtered(question), user_counts_of(question)
    marked = hide_small_groups(
        cells, naming(*keys, *filtered), smallest_group, user_counts=user_counts
    )
    marked = _matching(marked, question)
    if any(len(question.where[name]) > 1 for name in filtered):
        parts = parts_of(question.metrics)
        rows = _matching(_rows_in_span(table, question, parts), question)
        combined = measure(rows, keys, parts)
        marked = _mark_combined(combined, marked, keys, user_counts, smallest_group)
    return marked.select(
        *keys,
        **{name: ibis.cases((~marked.is_hidden, marked[name])) for name in question.metrics},
        is_hidden=marked.is_hidden,
    )


def _filtered(question: Question) -> tuple[str, ...]:
    """The dimensions in ``where`` that are not in ``by``."""
    return tuple(name for name in question.where if name not in question.by)


def user_counts_of(question: Question) -> tuple[str, ...]:
    """The columns of ``cells_of`` that count a subset of a group's users."""
    parts = parts_of(question.metrics)
    return tuple(name for name, part in parts.items() if isinstance(part, UserCount))


def naming(*keys: str) -> tuple[str, ...]:
    """The keys that identify a group: an activity's title only repeats its id.

    As a further dimension it would split each activity into one part, which protects nothing.
    """
    return tuple(key for key in keys if key != "activity_name" or "activity_id" not in keys)


def _matching(rows: ir.Table, question: Question) -> ir.Table:
    """Apply ``where``."""
    for name, values in question.where.items():
        rows = rows.filter(_[name].cast("string").isin(values))
    return rows


def _mark_combined(
    combined: ir.Table,
    marked: ir.Table,
    keys: tuple[str, ...],
    user_counts: tuple[str, ...],
    smallest_group: int,
) -> ir.Table:
    """Hide sums over several values that are small, or reveal one of them."""
    reveals = needs_secondary_suppression(
        marked.is_hidden.cast("int64").sum(),
        ibis.ifelse(marked.is_hidden, marked.users, 0).max(),
        smallest_group,
    )
    for name in user_counts:
        hidden = ibis.ifelse(marked.is_hidden, marked[name], 0).sum()
        reveals = reveals | is_small(hidden, smallest_group)
    parts = (marked.group_by(keys) if keys else marked).aggregate(reveals=reveals)
    both = combined.inner_join(parts, keys) if keys else combined.cross_join(parts)
    too_few = are_too_few(both, ("users", *user_counts), smallest_group)
    return both.mutate(is_hidden=both.reveals | too_few)


def choose_rows(groups: ir.Table, question: Question) -> ir.Table:
    """Drop hidden groups, sort, and keep the ``top`` ones of each period and ``per``."""
    shown = groups.filter(~_.is_hidden).drop("is_hidden")
    names = (*question.period, *question.by)
    if question.top is None:
        return shown.order_by(names) if names else shown
    within = (*question.period, *question.per)
    others = [name for name in names if name not in within]
    greatest_first = [ibis.desc(question.metrics[0]), *others]
    ranked = shown.mutate(rank=ibis.row_number().over(group_by=within, order_by=greatest_first))
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


def measure(rows: ir.Table, keys: tuple[str, ...], parts: dict[str, Metric]) -> ir.Table:
    """Aggregate the metrics and count the users of each group; compute rates last.

    Grain: one row per combination of ``keys`` with at least one user.

    Args:
        rows: Rows of the metrics' subject, with the columns of ``keys``.
        keys: Columns to group by; none: one group of all rows.
        parts: The metrics and their components: see ``definitions.parts_of``.

    Returns:
        The keys, the metrics, and ``users``.
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
    """Add the rates among ``parts`` to groups that have their components."""
    for metric in parts.values():
        if isinstance(metric, Rate):
            groups = groups.mutate(**{metric.name: metric.of_parts})
    return groups
