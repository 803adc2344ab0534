"""Suppression of small groups in one answer about all there is, primary and secondary.

Across several answers, and over time: ``side_by_side``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

if TYPE_CHECKING:
    import ibis.expr.types as ir


def hide_small_groups(
    groups: ir.Table, key: str, smallest_group: int, largest_share: float
) -> ir.Table:
    """Keep the groups that may be shown.

    Hidden are groups of few users, and those of which one user has most. A total less the groups
    shown would reveal them, so where only small ones are hidden, or only one, the next smallest is
    hidden too.

    Args:
        groups: One row per group: ``key``; ``users``, the number of distinct users;
            ``largest_part``, the largest share, 0 to 1, that one user has of anything summed.
        key: The column that identifies a group; never NULL.
        smallest_group: The least number of users that is shown.
        largest_share: The largest share of one user that is shown.
    """
    is_small = (groups.users < smallest_group) | (groups.largest_part > largest_share)
    marked = groups.mutate(is_hidden=is_small.fill_null(False))
    hidden = marked.is_hidden.cast("int64").sum().over()
    most_users = ibis.ifelse(marked.is_hidden, marked.users, 0).max().over()
    rank = ibis.row_number().over(order_by=["is_hidden", "users", key])
    reveals = (hidden == 1) | ((hidden > 1) & (most_users < smallest_group))
    # a column of its own first: windows are computed before they are combined
    marked = marked.mutate(is_next=reveals & (rank == 0))
    return marked.filter(~(_.is_hidden | _.is_next)).order_by(key)
