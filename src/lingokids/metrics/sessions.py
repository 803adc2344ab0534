"""Sessionization of events, and the cap on their duration.

A session is a sequence of activities of one user (not child) on one day, each opened no more
than ``session_gap_minutes`` after the previous one was left. It counts for the day and slice of its
first activity, so sessions are additive. It ends at midnight, so that a late event concerns
only its own day.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema


def with_sessions(
    events: ir.Table, duration_cap_seconds: int, session_gap_minutes: int
) -> ir.Table:
    """Add ``capped_seconds`` and ``begins_session`` to events.

    Events at the same instant are ordered by event_id.

    Args:
        events: One row per event, with whole days of each user.
        duration_cap_seconds: The longest duration that counts. It also bounds when an activity was
            opened: one left in the background for hours begins a session.
        session_gap_minutes: A longer pause ends a session.
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
