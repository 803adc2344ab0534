"""Staging: deliveries become one row per event, user and activity: the last delivery of each.

Here: which delivery is the last, and what its arrival changes. Elsewhere: typing
(``quality``, done at ingestion), joining (the enrichment pipeline).

Arrival order is total: landed_at, then object_key, line_number and etag. The last delivery
wins, whichever run took it in, and an event whose last delivery is not an activity exit has no
row.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema
from lingokids.incremental import windows

EVENT_OF_INTEREST = "activity_exit"
ARRIVAL_ORDER = ("landed_at", "object_key", "line_number", "etag")


def find_unstaged_loads(
    ingested_objects: ir.Table, replayed_lines: ir.Table, known_staged_loads: ir.Table
) -> ir.Table:
    """Find the loads in bronze that staging does not reflect yet.

    Grain: one row per load.
    """
    loads = windows.loads_of(ingested_objects, replayed_lines)
    return windows.find_new_loads(loads, known_staged_loads)


def find_earlier_deliveries(bronze_events: ir.Table, unstaged_loads: ir.Table) -> ir.Table:
    """Find what earlier loads delivered of the events that the loads being staged deliver again.

    Grain: one row per delivery. This is the one look at the whole of bronze, and a lookup of the
    new ids: its rows are few, however long the history.

    Args:
        bronze_events: Every delivery.
        unstaged_loads: The loads being staged: later than all that are staged.
    """
    first_load = unstaged_loads.load_id.min().as_scalar()
    new = bronze_events.semi_join(unstaged_loads, "load_id")
    old = bronze_events.filter(bronze_events.load_id < first_load)
    return old.semi_join(new, "event_id").select(schema.EVENT_DELIVERIES.columns)


def find_superseded_deliveries(
    bronze_events: ir.Table, earlier_deliveries: ir.Table, unstaged_loads: ir.Table
) -> ir.Table:
    """Find the deliveries of events that stop being, or never were, the last one.

    Grain: one row per delivery. Each is found once: by the staging that superseded it.

    Args:
        bronze_events: Every delivery.
        earlier_deliveries: Those of earlier loads, of events delivered again.
        unstaged_loads: The loads whose deliveries are new to staging.

    Returns:
        ``SUPERSEDED_DELIVERIES``: the new deliveries that are not the last of their event, and
        the old last one where a new delivery follows it. The load that superseded one is the
        first that had both it and a later one, whichever runs staged them.
    """
    new = bronze_events.semi_join(unstaged_loads, "load_id").select(earlier_deliveries.columns)
    repeated = new.group_by("event_id").having(_.count() > 1).aggregate().select("event_id")
    redelivered = ibis.union(repeated, earlier_deliveries.select("event_id"), distinct=True)
    deliveries = ibis.union(
        new.semi_join(redelivered, "event_id").mutate(is_new=True),
        earlier_deliveries.mutate(is_new=False),
    )
    arrival = [ibis.asc(column) for column in ARRIVAL_ORDER]
    later = ibis.window(group_by="event_id", order_by=arrival, rows=(1, None))
    later_of_its_age = ibis.window(
        group_by=["event_id", "is_new"], order_by=arrival, rows=(1, None)
    )
    ranked = deliveries.mutate(
        next_load=_.load_id.min().over(later),
        next_load_of_its_age=_.load_id.min().over(later_of_its_age),
    )
    superseded = ranked.filter(_.next_load.notnull() & (_.is_new | _.next_load_of_its_age.isnull()))
    return superseded.mutate(
        date=_.occurred_at.date(), superseded_by_load=ibis.greatest(_.load_id, _.next_load)
    ).select(schema.SUPERSEDED_DELIVERIES.columns)


def stage_events(
    bronze_events: ir.Table, superseded_deliveries: ir.Table, staged_loads: ir.Table
) -> ir.Table:
    """Keep the last delivery of each event, if it is an activity exit.

    Grain: one row per ``event_id``.

    Args:
        bronze_events: Every delivery. An event may be delivered more than once.
        superseded_deliveries: Deliveries that are not the last of their event.
        staged_loads: The loads whose deliveries are compared with those of the others.

    Returns:
        ``STG_EVENTS``: durations in seconds, instants in UTC, absent values as NULL. It is a
        view: a second copy of every event would be a quarter of the warehouse.
    """
    staged = bronze_events.semi_join(staged_loads, "load_id")
    last = staged.anti_join(superseded_deliveries, schema.DELIVERY)
    exits = last.filter(_.event_name == EVENT_OF_INTEREST).mutate(date=_.occurred_at.date())
    return exits.select(schema.STG_EVENTS.columns)


def find_last_users(
    bronze_users: ir.Table, known_users: ir.Table, unstaged_loads: ir.Table
) -> ir.Table:
    """Find the users whose last record the loads brought.

    Grain: one row per ``user_id``, with that record.

    Args:
        bronze_users: Every delivery.
        known_users: ``STG_USERS`` before this run: a record that arrived later stays.
        unstaged_loads: The loads being staged.
    """
    return _last_records(bronze_users, known_users, unstaged_loads, "user_id")


def find_last_activities(
    bronze_activities: ir.Table, known_activities: ir.Table, unstaged_loads: ir.Table
) -> ir.Table:
    """Find the activities whose last record the loads brought.

    Grain: one row per ``activity_id``, with that record.

    Args:
        bronze_activities: Every delivery.
        known_activities: ``STG_ACTIVITIES`` before this run: a record that arrived later stays.
        unstaged_loads: The loads being staged.
    """
    return _last_records(bronze_activities, known_activities, unstaged_loads, "activity_id")


def stage_users(
    last_users: ir.Table, known_users: ir.Table, unstaged_loads: ir.Table
) -> tuple[ir.Table, ir.Table]:
    """Keep the last record of each user, and note whose record says something new.

    Args:
        last_users: The users whose last record is new.
        known_users: ``STG_USERS`` before this run.
        unstaged_loads: The loads being staged.

    Returns:
        ``CHANGED_USERS``, one row per user whose country or milestones changed, or who is new:
        no event before ``changed_from`` is enriched otherwise than before; it is NULL where any
        may be (a new user, another country). And ``STG_USERS``, one row per ``user_id``.
    """
    both = last_users.left_join(known_users, "user_id", rname=_KNOWN)
    is_new = both["user_id_known"].isnull()
    changed = both.select(
        "user_id",
        changed_from=ibis.cases(
            (is_new | _differs(both, "country_code"), ibis.null(schema.INSTANT)),
            else_=_earliest_change(both),
        ),
    ).filter(_.changed_from.isnull() | (_.changed_from < _NEVER))
    return _by_newest_load(changed, unstaged_loads), last_users


def stage_activities(
    last_activities: ir.Table, known_activities: ir.Table, unstaged_loads: ir.Table
) -> tuple[ir.Table, ir.Table]:
    """Keep the last record of each activity, and note whose record says something new.

    Args:
        last_activities: The activities whose last record is new.
        known_activities: ``STG_ACTIVITIES`` before this run.
        unstaged_loads: The loads being staged.

    Returns:
        ``CHANGED_ACTIVITIES``, one row per activity that is new or whose name, type or subtype
        changed; and ``STG_ACTIVITIES``, one row per ``activity_id``.
    """
    both = last_activities.left_join(known_activities, "activity_id", rname=_KNOWN)
    described = ("activity_name", "activity_type", "activity_subtype")
    is_changed = ibis.or_(
        both["activity_id_known"].isnull(), *(_differs(both, column) for column in described)
    )
    changed = both.filter(is_changed).select("activity_id")
    return _by_newest_load(changed, unstaged_loads), last_activities


def record_staged_loads(unstaged_loads: ir.Table) -> ir.Table:
    """Enter the loads into the record of what staging reflects.

    Grain: one row per load.
    """
    return unstaged_loads


_KNOWN = "{name}_known"
_NEVER = ibis.timestamp("9999-12-31 00:00:00").cast(schema.INSTANT)


def _last_records(
    bronze: ir.Table, known: ir.Table, unstaged_loads: ir.Table, key: str
) -> ir.Table:
    """The last record of each key that the loads brought, unless the one known arrived later."""
    columns = known.columns
    new = bronze.semi_join(unstaged_loads, "load_id").select(columns)
    old = known.semi_join(new, key).select(columns)
    deliveries_after = ibis.row_number().over(
        group_by=key, order_by=[ibis.desc(column) for column in ARRIVAL_ORDER]
    )
    last = (
        ibis.union(new.mutate(is_new=True), old.mutate(is_new=False))
        .mutate(deliveries_after=deliveries_after)
        .filter(_.deliveries_after == 0)
    )
    return last.filter(_.is_new).select(columns)


def _differs(both: ir.Table, column: str) -> ir.BooleanValue:
    return ~both[column].identical_to(both[f"{column}_known"])


def _earliest_change(both: ir.Table) -> ir.TimestampValue:
    """The first instant at which the subscription status may differ; ``_NEVER`` if at none.

    It is the earlier of the old and the new value of the earliest milestone that changed. A
    trial without an end is no trial, so gaining or losing the end counts from the trial's start.
    """

    def earlier(column: str) -> ir.TimestampValue:
        new, old = both[column], both[f"{column}_known"]
        return ibis.least(ibis.coalesce(new, old), ibis.coalesce(old, new))

    trial_end_is_missing = both.trial_end_at.isnull() | both.trial_end_at_known.isnull()
    changes = {
        "trial_start_at": earlier("trial_start_at"),
        "trial_end_at": ibis.ifelse(
            trial_end_is_missing, earlier("trial_start_at"), earlier("trial_end_at")
        ),
        "subscription_start_at": earlier("subscription_start_at"),
        "subscription_expire_at": earlier("subscription_expire_at"),
    }
    return ibis.least(
        *(
            ibis.ifelse(_differs(both, column), since.fill_null(_NEVER), _NEVER)
            for column, since in changes.items()
        )
    )


def _by_newest_load(changed: ir.Table, unstaged_loads: ir.Table) -> ir.Table:
    newest = unstaged_loads.aggregate(changed_by_load=_.load_id.max())
    return changed.cross_join(newest)
