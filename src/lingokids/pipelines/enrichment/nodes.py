"""Enrichment: events with their country, activity and subscription status."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from lingokids import schema

MILESTONES = (
    *("trial_start_at", "trial_end_at"),
    *("subscription_start_at", "subscription_expire_at"),
)
DESCRIPTION = ("activity_name", "activity_type", "activity_subtype")


def enrich_events(stg_events: ir.Table, stg_users: ir.Table, stg_activities: ir.Table) -> ir.Table:
    """Join the events with their user and activity.

    Grain: one row per ``event_id``.

    Args:
        stg_events: The staged events.
        stg_users: The users. An event of a user whose record has not arrived has no country
            and the status ``unknown``.
        stg_activities: The activities. An event of one not in the catalogue has NULLs.

    Returns:
        ``ENRICHED_EVENTS``.
    """
    users = stg_users.select("user_id", "country_code", *MILESTONES, is_known_user=True)
    activities = stg_activities.select("activity_id", *DESCRIPTION)
    joined = stg_events.left_join(users, "user_id").left_join(activities, "activity_id")
    return joined.mutate(subscription_status=subscription_status(joined)).select(
        schema.ENRICHED_EVENTS.columns
    )


def subscription_status(events: ir.Table) -> ir.StringValue:
    """The user's status at the moment of the event: the first that holds.

    The ends are included. A subscription without an end is open; a trial without an end is none.
    It is the predecessor's rule.

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
