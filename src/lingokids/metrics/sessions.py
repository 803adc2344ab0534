"""How long an activity counts, and where a session begins.

Here: the two rules, as columns of the events. Elsewhere: what is added up of them
(``definitions``), how long and how far apart (the parameters ``duration_cap_seconds`` and
``session_gap_minutes``).

A session is a run of activities of one user (not child) on one UTC day, each opened no more than
the gap after the one before was left. It is counted where it begins, so sessions are additive:
over days, and over slices by that of the activity that began them. It ends at midnight, UTC, so
that a late event concerns its own day alone.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema


def with_sessions(
    events: ir.Table, duration_cap_seconds: int, session_gap_minutes: int
) -> ir.Table:
    """Say of each event how long it counts, and whether it begins a session.

    Grain: as ``events``.

    Args:
        events: One row per event, whole days of a user.
        duration_cap_seconds: An activity counts for so long at most, and was opened no longer
            ago: one that was left in the background for hours begins a session.
        session_gap_minutes: A longer pause ends a session.

    Returns:
        The events with ``capped_seconds`` and ``begins_session``. Events of one instant follow
        each other by event_id.
    """
    capped = ibis.least(events.duration_seconds.fill_null(0), duration_cap_seconds)
    left_before = events.occurred_at.lag().over(
        group_by=[events.user_id, events["date"]], order_by=[events.occurred_at, events.event_id]
    )
    timed = events.mutate(capped_seconds=capped.cast(schema.SECONDS), left_before=left_before)
    opened_at = timed.occurred_at - (timed.capped_seconds * 1_000).cast("int64").as_interval("ms")
    ends_at = timed.left_before + ibis.interval(minutes=session_gap_minutes)
    begins = timed.left_before.isnull() | (opened_at > ends_at)
    return timed.mutate(begins_session=begins).drop(_.left_before)
