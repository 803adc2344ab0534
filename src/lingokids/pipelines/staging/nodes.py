"""Staging: the last delivery of each event, user and activity.

Arrival order is total: landed_at, then object_key, then line_number, among the lines of objects as
they are now. The last delivery wins, whichever run took it in.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema

EVENT_OF_INTEREST = "activity_exit"
ARRIVAL_ORDER = ("landed_at", "object_key", "line_number")


def stage_events(bronze_events: ir.Table, time_zone: str) -> ir.Table:
    """Keep the last delivery of each event, if it is an activity exit.

    Grain: one row per ``event_id``; an event whose last delivery is of another name has none.

    Args:
        bronze_events: Every delivered line. An event may be delivered more than once.
        time_zone: The zone that days are counted in.

    Returns:
        ``STG_EVENTS``: durations in seconds, instants in UTC, absent values as NULL.
    """
    last = _last_deliveries(bronze_events, "event_id")
    exits = last.filter(_.event_name == EVENT_OF_INTEREST)
    dated = exits.mutate(date=schema.local_date(exits.occurred_at, time_zone))
    return dated.select(schema.STG_EVENTS.columns)


def stage_users(bronze_users: ir.Table) -> ir.Table:
    """Keep the last record of each user.

    Grain: one row per ``user_id``.

    Args:
        bronze_users: Every delivered record: a user's is delivered again, fuller, as they move on.

    Returns:
        ``STG_USERS``.
    """
    return _last_deliveries(bronze_users, "user_id").select(schema.STG_USERS.columns)


def stage_activities(bronze_activities: ir.Table) -> ir.Table:
    """Keep the last record of each activity.

    Grain: one row per ``activity_id``.

    Args:
        bronze_activities: Every delivered record: the catalogue is delivered again now and then.

    Returns:
        ``STG_ACTIVITIES``.
    """
    last = _last_deliveries(bronze_activities, "activity_id")
    return last.select(schema.STG_ACTIVITIES.columns)


def _last_deliveries(bronze: ir.Table, key: str) -> ir.Table:
    """The last delivery of each key.

    Only keys that were delivered more than once are put in order: a window over all rows would
    cost twice as much.
    """
    # what an object said in an earlier version is delivered no more
    lines = bronze.filter(_.is_current)
    repeated = lines.group_by(key).having(_.count() > 1).aggregate().select(key)
    deliveries_after = ibis.row_number().over(
        group_by=key, order_by=[ibis.desc(column) for column in ARRIVAL_ORDER]
    )
    in_order = lines.semi_join(repeated, key).mutate(deliveries_after=deliveries_after)
    last = in_order.filter(_.deliveries_after == 0).drop("deliveries_after")
    return ibis.union(lines.anti_join(repeated, key), last)
