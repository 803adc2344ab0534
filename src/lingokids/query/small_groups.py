"""Who is too few to be shown: metrics about people are hidden for small groups.

Here: which rows of an answer are hidden. Elsewhere: how small is too small (the parameter
``smallest_group``), what a row is (``answer``).

A group is small if fewer than ``smallest_group`` different users stand behind it. Hiding it alone
would not do: the total, which is another question, less the groups that are shown would give it
away. So along each dimension a line of groups (the others held fast) that hides only small ones,
or only one, hides its next smallest too: what can be worked out from a total is then about
``smallest_group`` users or more, and about two groups or more.

What it does not do: answers to different spans of days, to several lists of values, or to splits by
different dimensions can still be set against each other. It keeps small groups out of reports; it
is no defence against someone who is out to find a person and may ask what he likes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import ibis
from ibis import _

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: Hiding one group may leave a line along another dimension with one hidden group, so the
#: dimensions take turns, so many times in all.
STEPS = 12

#: The same for head counts: each two steps more double what the engine takes to answer.
USER_COUNT_STEPS = 4

#: The ``smallest_group`` by which every group is shown.
SHOW_ALL = 1


def hide_small_groups(
    groups: ir.Table,
    keys: tuple[str, ...],
    smallest_group: int,
    *,
    within: tuple[str, ...] = (),
    user_counts: tuple[str, ...] = (),
) -> ir.Table:
    """Say which groups are not shown.

    Grain: as ``groups``.

    Args:
        groups: One row per group: ``keys`` and ``users``, the number of different users.
        keys: The columns that name a group; never NULL.
        smallest_group: The least number of users that is shown.
        within: Columns that say which answer a group belongs to, where there are several: each is
            judged for itself.
        user_counts: Columns that count some of a group's users, such as those who are new. What
            they hide comes on top of what the users hide, never instead of it: so a question for
            more metrics shows no group that one for fewer does not.

    Returns:
        The groups with ``is_hidden``.
    """
    keys = tuple(sorted(keys))  # the same groups, however the question orders them
    judged = groups.mutate(is_hidden=_.users < smallest_group)
    if smallest_group == SHOW_ALL:
        return judged
    lines = [(*within, *(other for other in keys if other != key)) for key in keys]
    steps = max(STEPS, len(lines)) if len(lines) > 1 else len(lines)
    in_turn = list(itertools.islice(itertools.cycle(lines), steps))
    for line in in_turn:
        judged = _hide_one_more(judged, line, keys, smallest_group)
    if not user_counts:
        return judged
    judged = judged.mutate(is_hidden=_.is_hidden | are_too_few(judged, user_counts, smallest_group))
    for line in in_turn[:USER_COUNT_STEPS]:
        judged = _hide_user_counts(user_counts, judged, line, keys, smallest_group)
    return judged


def has_small(
    groups: ir.Table, smallest_group: int, user_counts: tuple[str, ...] = ()
) -> ir.BooleanScalar:
    """Whether any group is too small to be shown, by its users or by some of them.

    Where none is, none is hidden, and no union of groups is too small either: of each count it has
    none, or as many as its greatest group.
    """
    too_few = are_too_few(groups, ("users", *user_counts), smallest_group)
    return too_few.any().fill_null(False)


def are_too_few(groups: ir.Table, counts: tuple[str, ...], smallest_group: int) -> ir.BooleanColumn:
    """Whether any of a group's counts of users is too small to be shown."""
    return ibis.or_(*(is_small(groups[name], smallest_group) for name in counts))


def is_small(count: ir.IntegerValue, smallest_group: int) -> ir.BooleanValue:
    """Whether so many users are some, but too few to be shown."""
    return (count > 0) & (count < smallest_group)


def needs_secondary_suppression(
    hidden: ir.IntegerValue, most_users: ir.IntegerValue, smallest_group: int
) -> ir.BooleanValue:
    """Whether groups that are hidden beside a total could be worked out from it.

    Args:
        hidden: How many groups are hidden.
        most_users: The users of the greatest of them.
        smallest_group: The least number of users that is shown.
    """
    return (hidden == 1) | ((hidden > 1) & (most_users < smallest_group))


def _hide_one_more(
    judged: ir.Table, line: tuple[str, ...], keys: tuple[str, ...], smallest_group: int
) -> ir.Table:
    """Hide the smallest shown group of each line whose hidden ones can be worked out."""
    place = ibis.row_number().over(group_by=line, order_by=["is_hidden", "users", *keys])
    hidden = judged.is_hidden.cast("int64").sum().over(group_by=line)
    most_users = ibis.ifelse(judged.is_hidden, judged.users, 0).max().over(group_by=line)
    is_next = needs_secondary_suppression(hidden, most_users, smallest_group) & (place == 0)
    # a column of its own first: windows are worked out before they are combined
    return judged.mutate(is_next=is_next).mutate(is_hidden=_.is_hidden | _.is_next).drop("is_next")


def _hide_user_counts(
    user_counts: tuple[str, ...],
    judged: ir.Table,
    line: tuple[str, ...],
    keys: tuple[str, ...],
    smallest_group: int,
) -> ir.Table:
    """Hide more groups of each line whose hidden head counts add up to a small one.

    They are the smallest that are shown and have someone to count, until it is small no longer.
    """
    next_of = {}
    for name in user_counts:
        counted = judged[name]
        in_line = ibis.window(group_by=line)
        shown_before = ibis.window(
            group_by=line,
            order_by=["is_hidden", (counted == 0).cast("int64"), counted, *keys],
            rows=(None, -1),
        )
        hidden = ibis.ifelse(judged.is_hidden, counted, 0).sum().over(in_line)
        with_those_before = hidden + counted.sum().over(shown_before).fill_null(0)
        is_next = is_small(hidden, smallest_group) & (with_those_before < smallest_group)
        next_of[f"is_next_{name}"] = is_next & (counted > 0) & ~judged.is_hidden
    found = judged.mutate(**next_of)
    is_hidden = ibis.or_(found.is_hidden, *(found[name] for name in next_of))
    return found.mutate(is_hidden=is_hidden).drop(*next_of)
