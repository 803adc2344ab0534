"""Enrichment: each staged event with the country, activity and subscription it happened under.

Here: which events are enriched anew, the join, and the business rule of the subscription
status. Elsewhere: which record of a user or activity is the last (the staging pipeline).
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema
from lingokids.incremental import windows
from lingokids.schema import parameters

MILESTONES = (
    *("trial_start_at", "trial_end_at"),
    *("subscription_start_at", "subscription_expire_at"),
)
DESCRIPTION = ("activity_name", "activity_type", "activity_subtype")

#: What names a row: an event has one; its day and load let the engine find it quickly.
ROW = ("date", "event_id", "load_id")


def find_unenriched_loads(staged_loads: ir.Table, known_enriched_loads: ir.Table) -> ir.Table:
    """Find the loads in silver that the enriched events do not reflect yet.

    Grain: one row per load.
    """
    return windows.find_new_loads(staged_loads, known_enriched_loads)


def find_outdated_events(
    known_enriched: ir.Table,
    stg_users: ir.Table,
    stg_activities: ir.Table,
    superseded_deliveries: ir.Table,
    changed_users: ir.Table,
    changed_activities: ir.Table,
    unenriched_loads: ir.Table,
    window: dict[str, Any],
) -> ir.Table:
    """Find the enriched rows that are no longer right.

    Grain: one row per outdated row of the enriched events: of it, what was staged, and whether
    another row takes its place (the event's later delivery, or the staged event of a window).

    Args:
        known_enriched: ``ENRICHED_EVENTS`` before this run.
        stg_users: The users as they are now.
        stg_activities: The activities as they are now.
        superseded_deliveries: Deliveries that stopped being the last of their event.
        changed_users: Users whose country or milestones changed, and since when.
        changed_activities: Activities whose description changed.
        unenriched_loads: The loads whose changes count.
        window: The ``window`` parameters: rows of its days count as outdated.
    """
    superseded = superseded_deliveries.semi_join(
        unenriched_loads, superseded_deliveries.superseded_by_load == unenriched_loads.load_id
    )
    outdated = [
        _named(superseded, is_replaced=True),
        _outdated_by_users(known_enriched, stg_users, changed_users, unenriched_loads),
        _outdated_by_activities(
            known_enriched, stg_activities, changed_activities, unenriched_loads
        ),
    ]
    asked = windows.parse_window(window)
    if not asked.is_open:
        in_window = known_enriched.filter(asked.covers(_.date))
        outdated.append(_named(in_window, is_replaced=True))
    by_row = ibis.union(*outdated).group_by(ROW).aggregate(is_replaced=_.is_replaced.any())
    return known_enriched.inner_join(by_row, ROW).select(schema.OUTDATED_EVENTS.columns)


def enrich_events(
    stg_events: ir.Table,
    stg_users: ir.Table,
    stg_activities: ir.Table,
    outdated_events: ir.Table,
    unenriched_loads: ir.Table,
    window: dict[str, Any],
) -> ir.Table:
    """Join the events that are due with their user and activity.

    Grain: one row per ``event_id``.

    Args:
        stg_events: The staged events.
        stg_users: The users. An event of a user whose record has not arrived has no country
            and the status ``unknown``.
        stg_activities: The activities. An event of one not in the catalogue has NULLs.
        outdated_events: Rows to be enriched anew, unless others take their place.
        unenriched_loads: The loads whose events are enriched for the first time.
        window: The ``window`` parameters: events of its days are enriched anew.

    Returns:
        ``ENRICHED_EVENTS``.
    """
    due = _due_events(stg_events, unenriched_loads, window)
    due = ibis.union(due, outdated_events.filter(~_.is_replaced).select(due.columns))
    users = stg_users.select("user_id", "country_code", *MILESTONES, is_known_user=True)
    activities = stg_activities.select("activity_id", *DESCRIPTION)
    joined = due.left_join(users, "user_id").left_join(activities, "activity_id")
    return joined.mutate(subscription_status=subscription_status(joined)).select(
        schema.ENRICHED_EVENTS.columns
    )


def mark_enriched_days(
    stg_events: ir.Table,
    outdated_events: ir.Table,
    unenriched_loads: ir.Table,
    known_enriched_days: ir.Table,
    window: dict[str, Any],
    rebuild: str | None,
) -> ir.Table:
    """Raise the revision of each day whose enriched rows this run changes.

    Grain: one row per day that gains, loses or changes a row. A new day, and one that is rebuilt
    on purpose, is made as a whole; of any other the users that change are noted
    (``mark_changed_user_days``).

    Args:
        stg_events: The staged events.
        outdated_events: The rows that go: a day that only loses rows changes too.
        unenriched_loads: The loads whose events are enriched for the first time.
        known_enriched_days: ``ENRICHED_DAYS`` before this run.
        window: The ``window`` parameters: its days change on purpose.
        rebuild: The ``rebuild`` parameter: if given, every day changes, even one without events.
    """
    due = _due_events(stg_events, unenriched_loads, window)
    days = ibis.union(due.select("date"), outdated_events.select("date"), distinct=True)
    is_rebuilt = windows.parse_window(window).covers(_["date"])
    if parameters.parse_rebuild(rebuild):
        days = ibis.union(days, known_enriched_days.select("date"), distinct=True)
        is_rebuilt = ibis.literal(True)
    known = known_enriched_days.select(
        "date", known_revision="revision", known_whole="whole_revision"
    )
    marked = days.left_join(known, "date").select(
        "known_whole",
        date=days["date"],
        revision=(_.known_revision.fill_null(0) + 1).cast("int32"),
    )
    return marked.select(
        "date",
        "revision",
        whole_revision=ibis.ifelse(is_rebuilt | _.known_whole.isnull(), _.revision, _.known_whole),
    )


def mark_changed_user_days(
    stg_events: ir.Table,
    outdated_events: ir.Table,
    unenriched_loads: ir.Table,
    enriched_days: ir.Table,
    window: dict[str, Any],
) -> ir.Table:
    """Note the users whose enriched rows this run changes on days that it does not make as a whole.

    Grain: one row per date and user_id that gains, loses or changes a row.

    Args:
        stg_events: The staged events.
        outdated_events: The rows that go.
        unenriched_loads: The loads whose events are enriched for the first time.
        enriched_days: ``ENRICHED_DAYS``, with this run's revisions.
        window: The ``window`` parameters: its days are made as a whole.

    Returns:
        ``CHANGED_USER_DAYS``: marts bring these users of an older day up to date, not the day.
    """
    due = _due_events(stg_events, unenriched_loads, window)
    in_part = enriched_days.filter(_.revision > _.whole_revision).select("date", "revision")
    changed = ibis.union(
        due.select("date", "user_id"), outdated_events.select("date", "user_id"), distinct=True
    )
    return changed.inner_join(in_part, "date").select(schema.CHANGED_USER_DAYS.columns)


def record_enriched_loads(unenriched_loads: ir.Table) -> ir.Table:
    """Enter the loads into the record of what the enriched events reflect.

    Grain: one row per load.
    """
    return unenriched_loads


def subscription_status(events: ir.Table) -> ir.StringValue:
    """The user's status at the moment of the event: the first that holds.

    The ends are included. A subscription without an end is open; a trial without an end is none.
    Source: DESIGN, "Meanings"; the predecessor's rule.

    Args:
        events: occurred_at, beside the milestones of the user's latest record and
            ``is_known_user``, NULL where no record has arrived.
    """
    moment = events.occurred_at
    subscribed = (moment >= events.subscription_start_at) & (
        events.subscription_expire_at.isnull() | (moment <= events.subscription_expire_at)
    )
    in_trial = (moment >= events.trial_start_at) & (moment <= events.trial_end_at)
    before_trial = events.trial_start_at.isnull() | (moment < events.trial_start_at)
    return ibis.cases(
        (events.is_known_user.isnull(), "unknown"),
        (subscribed, "subscribed"),
        (in_trial, "trial"),
        (before_trial, "free"),
        else_="lapsed",
    )


def _due_events(
    stg_events: ir.Table, unenriched_loads: ir.Table, window: dict[str, Any]
) -> ir.Table:
    """The staged events of new loads, and the older ones of the days asked for."""
    new = stg_events.semi_join(unenriched_loads, "load_id")
    asked = windows.parse_window(window)
    if asked.is_open:
        return new
    old = stg_events.anti_join(unenriched_loads, "load_id")
    return ibis.union(new, old.filter(asked.covers(_.date)))


def _named(rows: ir.Table, *, is_replaced: bool) -> ir.Table:
    return rows.select(*ROW, is_replaced=ibis.literal(is_replaced))


def _outdated_by_users(
    known_enriched: ir.Table, stg_users: ir.Table, changed_users: ir.Table, loads: ir.Table
) -> ir.Table:
    """Rows whose country or status the user's record now says otherwise."""
    since = (
        changed_users.semi_join(loads, changed_users.changed_by_load == loads.load_id)
        .group_by("user_id")
        .aggregate(
            changed_from=ibis.ifelse(
                _.changed_from.isnull().any(), ibis.null(schema.INSTANT), _.changed_from.min()
            )
        )
    )
    records = since.inner_join(
        stg_users.select("user_id", *MILESTONES, country_code_now=_.country_code), "user_id"
    ).mutate(is_known_user=True)
    concerned = known_enriched.select(
        *ROW, "user_id", "occurred_at", "country_code", "subscription_status"
    ).inner_join(records, "user_id")
    concerned = concerned.filter(
        concerned.changed_from.isnull() | (concerned.occurred_at >= concerned.changed_from)
    )
    is_outdated = ~concerned.country_code.identical_to(concerned.country_code_now) | (
        concerned.subscription_status != subscription_status(concerned)
    )
    return _named(concerned.filter(is_outdated), is_replaced=False)


def _outdated_by_activities(
    known_enriched: ir.Table,
    stg_activities: ir.Table,
    changed_activities: ir.Table,
    loads: ir.Table,
) -> ir.Table:
    """Rows whose activity is now described otherwise."""
    changed = changed_activities.semi_join(
        loads, changed_activities.changed_by_load == loads.load_id
    )
    records = stg_activities.semi_join(changed, "activity_id").select(
        "activity_id", **{f"{column}_now": column for column in DESCRIPTION}
    )
    concerned = known_enriched.select(*ROW, "activity_id", *DESCRIPTION).inner_join(
        records, "activity_id"
    )
    is_outdated = ibis.or_(
        *(~concerned[column].identical_to(concerned[f"{column}_now"]) for column in DESCRIPTION)
    )
    return _named(concerned.filter(is_outdated), is_replaced=False)
