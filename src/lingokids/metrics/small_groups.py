"""Who is too few to be shown: metrics about people are hidden for small groups.

Here: which rows of an answer are hidden. Elsewhere: how small is too small (the parameter
``smallest_group``), what a row is (``answer``).

A group is small if fewer than ``smallest_group`` different users stand behind it. Hiding it alone
would not do: the total, which is another question, less the groups that are shown would give it
away. So along each dimension a line of groups (the others held fast) that hides only small ones,
or only one, hides its next smallest too: what can be worked out from a total is then about
``smallest_group`` users or more, and about two groups or more.

What it does not do: answers to different spans of days, or to several lists of values, can still
be set against each other. It keeps small groups out of reports; it is no defence against someone
who is out to find a person and may ask what he likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: Hiding one group may leave another line with one hidden group: so often is it looked at again.
ROUNDS = 3


def hide_small_groups(groups: ir.Table, keys: tuple[str, ...], smallest_group: int) -> ir.Table:
    """Say which groups are not shown.

    Grain: as ``groups``.

    Args:
        groups: One row per group: ``keys`` and ``users``, the number of different users.
        keys: The columns that name a group; never NULL.
        smallest_group: The least number of users that is shown.

    Returns:
        The groups with ``is_hidden``.
    """
    judged = groups.mutate(is_hidden=_.users < smallest_group)
    for _round in range(ROUNDS if len(keys) > 1 else 1):
        for key in keys:
            line = tuple(other for other in keys if other != key)
            judged = _hide_one_more(judged, line, keys, smallest_group)
    return judged


def _hide_one_more(
    judged: ir.Table, line: tuple[str, ...], keys: tuple[str, ...], smallest_group: int
) -> ir.Table:
    """Hide the smallest shown group of each line whose hidden ones can be worked out."""
    counted = judged.mutate(
        hidden=_.is_hidden.cast("int64").sum().over(group_by=line),
        most_hidden=ibis.ifelse(_.is_hidden, _.users, 0).max().over(group_by=line),
        place=ibis.row_number().over(group_by=line, order_by=["is_hidden", "users", *keys]),
    )
    is_betrayed = (counted.hidden == 1) | (
        (counted.hidden > 1) & (counted.most_hidden < smallest_group)
    )
    return counted.mutate(is_hidden=_.is_hidden | (is_betrayed & (_.place == 0))).drop(
        "hidden", "most_hidden", "place"
    )
