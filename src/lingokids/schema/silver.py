"""The contracts of silver: typed, deduplicated and enriched, and what of it changed."""

from __future__ import annotations

from lingokids.schema.bronze import ARRIVAL, DELIVERY
from lingokids.schema.contract import Contract
from lingokids.schema.raw import ACTIVITY_FIELDS, USER_FIELDS

EVENT_DELIVERIES = Contract(
    "event_deliveries",
    "One row per delivery of an event, with what orders deliveries.",
    DELIVERY,
    (*DELIVERY, "event_id", "occurred_at", *ARRIVAL),
    ("event_id", "occurred_at", *ARRIVAL),
)

SUPERSEDED_DELIVERIES = Contract(
    "superseded_deliveries",
    "One row per delivery of an event that a later delivery of it replaces.",
    DELIVERY,
    (*DELIVERY, "event_id", "date", "load_id", "superseded_by_load"),
    ("event_id", "date", "load_id", "superseded_by_load"),
)

STG_EVENTS = Contract(
    "stg_events",
    "One row per event: the last delivery of each activity exit.",
    ("event_id",),
    (
        *("event_id", "user_id", "child_id", "activity_id", "event_name", "source"),
        *("duration_seconds", "completed_flag", "collection_id", "loading_time_seconds"),
        *("device_id", "device_brand", "device_model"),
        *("os_name", "os_version", "app_version", "app_build"),
        *("occurred_at", "date", *ARRIVAL),
    ),
    ("user_id", "activity_id", "event_name", "occurred_at", "date", *ARRIVAL),
)

STG_USERS = Contract(
    "stg_users",
    "One row per user: the last delivery of the record.",
    ("user_id",),
    (*(field.column for field in USER_FIELDS), *DELIVERY, *ARRIVAL),
    (*DELIVERY, *ARRIVAL),
)

STG_ACTIVITIES = Contract(
    "stg_activities",
    "One row per activity: the last delivery of the record.",
    ("activity_id",),
    (*(field.column for field in ACTIVITY_FIELDS), *DELIVERY, *ARRIVAL),
    (*DELIVERY, *ARRIVAL),
)

CHANGED_USERS = Contract(
    "changed_users",
    "One row per user and load that changed what the record says.",
    ("user_id", "changed_by_load"),
    ("user_id", "changed_from", "changed_by_load"),
)

CHANGED_ACTIVITIES = Contract(
    "changed_activities",
    "One row per activity and load that changed what the record says.",
    ("activity_id", "changed_by_load"),
    ("activity_id", "changed_by_load"),
)

STAGED_LOADS = Contract(
    "staged_loads", "One row per load that silver's staging reflects.", ("load_id",), ("load_id",)
)

ENRICHED_EVENTS = Contract(
    "intermediate_activity_events_enriched",
    "One row per event, with the country, activity and subscription status it happened under.",
    ("event_id",),
    (
        *STG_EVENTS.columns[:-4],
        *("country_code", "activity_name", "activity_type", "activity_subtype"),
        "subscription_status",
        *STG_EVENTS.columns[-4:],
    ),
    (*STG_EVENTS.required, "subscription_status"),
)

OUTDATED_EVENTS = Contract(
    "outdated_events",
    "One row per enriched row that the run replaces, as it was staged.",
    ("event_id",),
    (*STG_EVENTS.columns, "is_replaced"),
    (*STG_EVENTS.required, "is_replaced"),
)

ENRICHED_LOADS = Contract(
    "enriched_loads",
    "One row per load that the enriched events reflect.",
    ("load_id",),
    ("load_id",),
)

DAY_REVISIONS = ("date", "revision")

ENRICHED_DAYS = Contract(
    "enriched_days",
    "One row per day with or once with events: how often its enriched rows changed.",
    ("date",),
    (*DAY_REVISIONS, "whole_revision"),
    ("revision", "whole_revision"),
)

CHANGED_USER_DAYS = Contract(
    "changed_user_days",
    "One row per user and day that changed while the rest of the day did not: when it last did.",
    ("date", "user_id"),
    ("date", "user_id", "revision"),
    ("revision",),
)
