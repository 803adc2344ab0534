"""Suppression of small groups in an answer, primary and secondary.

Primary: a group of fewer than ``smallest_group`` distinct users is hidden. Secondary: a total,
which is another question, less the groups shown would reveal it. So among the groups of one total
(they differ in one dimension) the next smallest is hidden too, where only small ones are hidden or
only one: what the total reveals is then at least ``smallest_group`` users and two groups.

Limits: answers for different spans, different lists of values or different dimensions can still be
subtracted from each other. Suppression keeps small groups out of reports; it does not stop someone
who is looking for a person and may ask any number of questions.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import ibis
from ibis import _

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: Hiding a group may leave it the only hidden one of another total, so the dimensions take turns.
STEPS = 12

#: The same for user counts: every two more steps double the time of the query.
USER_COUNT_STEPS = 4

#: The ``smallest_group`` that hides nothing.
SHOW_ALL = 1


def hide_small_groups(
    groups: ir.Table,
    keys: tuple[str, ...],
    smallest_group: int,
    *,
    within: tuple[str, ...] = (),
    user_counts: tuple[str, ...] = (),
) -> ir.Table:
    """Add ``is_hidden``: the groups under primary or secondary suppression.

    Args:
        groups: One row per group: ``keys`` and ``users``, the number of distinct users.
        keys: The columns that identify a group; never NULL.
        smallest_group: The least number of users that is shown.
        within: Columns that identify the answer, where ``groups`` has several.
        user_counts: Columns that count a subset of a group's users, such as new ones. They only
            hide more: a question with more metrics never shows a group that one with fewer hides.
    """
    keys = tuple(sorted(keys))  # the same groups, however the question orders them
    marked = groups.mutate(is_hidden=_.users < smallest_group)
    if smallest_group == SHOW_ALL:
        return marked
    totals = [(*within, *(other for other in keys if other != key)) for key in keys]
    steps = max(STEPS, len(totals)) if len(totals) > 1 else len(totals)
    in_turn = list(itertools.islice(itertools.cycle(totals), steps))
    for total in in_turn:
        marked = _hide_next_smallest(marked, total, keys, smallest_group)
    if not user_counts:
        return marked
    marked = marked.mutate(is_hidden=_.is_hidden | are_too_few(marked, user_counts, smallest_group))
    for total in in_turn[:USER_COUNT_STEPS]:
        marked = _hide_user_counts(user_counts, marked, total, keys, smallest_group)
    return marked


def has_small(
    groups: ir.Table, smallest_group: int, user_counts: tuple[str, ...] = ()
) -> ir.BooleanScalar:
    """Whether any group is too small to be shown, by its users or its user counts.

    If none is, none is hidden, and neither is a sum of groups: each of its counts is 0, or at least
    that of its largest group.
    """
    too_few = are_too_few(groups, ("users", *user_counts), smallest_group)
    return too_few.any().fill_null(False)


def are_too_few(groups: ir.Table, counts: tuple[str, ...], smallest_group: int) -> ir.BooleanColumn:
    """Whether any of a group's counts is too small to be shown."""
    return ibis.or_(*(is_small(groups[name], smallest_group) for name in counts))


def is_small(count: ir.IntegerValue, smallest_group: int) -> ir.BooleanValue:
    """Whether a count is at least 1, but too small to be shown."""
    return (count > 0) & (count < smallest_group)


def needs_secondary_suppression(
    hidden: ir.IntegerValue, most_users: ir.IntegerValue, smallest_group: int
) -> ir.BooleanValue:
    """Whether a total reveals the groups that are hidden beside it.

    Args:
        hidden: How many of its groups are hidden.
        most_users: The users of the largest of them.
        smallest_group: The least number of users that is shown.
    """
    return (hidden == 1) | ((hidden > 1) & (most_users < smallest_group))


def _hide_next_smallest(
    marked: ir.Table, total: tuple[str, ...], keys: tuple[str, ...], smallest_group: int
) -> ir.Table:
    """Hide the smallest shown group of each total that reveals hidden ones.

    Args:
        total: The columns that groups with one total share.
    """
    rank = ibis.row_number().over(group_by=total, order_by=["is_hidden", "users", *keys])
    hidden = marked.is_hidden.cast("int64").sum().over(group_by=total)
    most_users = ibis.ifelse(marked.is_hidden, marked.users, 0).max().over(group_by=total)
    is_next = needs_secondary_suppression(hidden, most_users, smallest_group) & (rank == 0)
    # a column of its own first: windows are computed before they are combined
    return marked.mutate(is_next=is_next).mutate(is_hidden=_.is_hidden | _.is_next).drop("is_next")


def _hide_user_counts(
    user_counts: tuple[str, ...],
    marked: ir.Table,
    total: tuple[str, ...],
    keys: tuple[str, ...],
    smallest_group: int,
) -> ir.Table:
    """Hide more groups of each total whose hidden user counts add up to a small one.

    The smallest shown ones that count anyone, until the sum is small no longer.
    """
    is_next_of = {}
    for name in user_counts:
        counted = marked[name]
        in_total = ibis.window(group_by=total)
        shown_before = ibis.window(
            group_by=total,
            order_by=["is_hidden", (counted == 0).cast("int64"), counted, *keys],
            rows=(None, -1),
        )
        hidden = ibis.ifelse(marked.is_hidden, counted, 0).sum().over(in_total)
        with_those_before = hidden + counted.sum().over(shown_before).fill_null(0)
        is_next = is_small(hidden, smallest_group) & (with_those_before < smallest_group)
        is_next_of[f"is_next_{name}"] = is_next & (counted > 0) & ~marked.is_hidden
    found = marked.mutate(**is_next_of)
    is_hidden = ibis.or_(found.is_hidden, *(found[name] for name in is_next_of))
    return found.mutate(is_hidden=is_hidden).drop(*is_next_of)
