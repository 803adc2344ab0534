"""The contracts of silver: typed, deduplicated and enriched."""

from __future__ import annotations

from lingokids.schema.bronze import ARRIVAL, DELIVERY
from lingokids.schema.contract import Contract
from lingokids.schema.raw import ACTIVITY_FIELDS, USER_FIELDS

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
