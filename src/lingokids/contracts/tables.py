"""The contract of every table, in the order in which the data flows."""

from __future__ import annotations

from lingokids.contracts.contract import Contract
from lingokids.contracts.raw import ACTIVITY_FIELDS, EVENT_FIELDS, USER_FIELDS, Field

DELIVERY = ("object_key", "etag", "line_number")
ARRIVAL = ("landed_at", "load_id")
LEFT_OVER = ("unknown_keys", "rescued")


def _delivered(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return (*DELIVERY, *(field.column for field in fields), *ARRIVAL)


def _required(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return (*(field.column for field in fields if field.required), *ARRIVAL)


RAW_OBJECTS = Contract(
    "raw_objects",
    "One row per raw object present when a run lists its source.",
    ("object_key", "etag"),
    ("object_key", "etag", "size_bytes", "landed_at"),
    ("size_bytes", "landed_at"),
)

NEW_OBJECTS = Contract(
    "new_objects",
    "One row per object version that the run takes in.",
    ("dataset", "object_key", "etag"),
    ("dataset", "object_key", "etag", "size_bytes", "landed_at", "load_id"),
    ("size_bytes", "landed_at", "load_id"),
)

LINE_COUNTS = Contract(
    "line_counts",
    "One row per object and batch read: how many lines came of it.",
    (),
    ("object_key", "etag", "lines", "blank", "kept", "quarantined"),
    ("object_key", "etag", "lines", "blank", "kept", "quarantined"),
)

INGESTED_OBJECTS = Contract(
    "ingested_objects",
    "The ledger: one row per raw object version taken in.",
    ("dataset", "object_key", "etag"),
    (
        *NEW_OBJECTS.columns[:3],
        *("size_bytes", "lines", "blank", "kept", "quarantined"),
        *ARRIVAL,
    ),
    ("size_bytes", "lines", "blank", "kept", "quarantined", *ARRIVAL),
)

BRONZE_EVENTS = Contract(
    "bronze_events",
    "One row per usable line of the events, typed, as delivered; nothing is dropped.",
    DELIVERY,
    _delivered(EVENT_FIELDS),
    _required(EVENT_FIELDS),
)

BRONZE_USERS = Contract(
    "bronze_users",
    "One row per usable line of the users, typed, as delivered; nothing is dropped.",
    DELIVERY,
    _delivered(USER_FIELDS),
    _required(USER_FIELDS),
)

BRONZE_ACTIVITIES = Contract(
    "bronze_activities",
    "One row per usable line of the activities, typed, as delivered; nothing is dropped.",
    DELIVERY,
    _delivered(ACTIVITY_FIELDS),
    _required(ACTIVITY_FIELDS),
)

QUARANTINED_LINES = Contract(
    "quarantined_lines",
    "One row per unusable line, with its text and the first rule it breaks.",
    ("dataset", *DELIVERY),
    ("dataset", *DELIVERY, "line_text", "reason", *ARRIVAL),
    ("line_text", "reason", *ARRIVAL),
)

REPLAYED_LINES = Contract(
    "replayed_lines",
    "One row per line that was unusable once and that a replay took into bronze.",
    ("dataset", *DELIVERY),
    ("dataset", *DELIVERY, "past_reason", "quarantined_by_load", *ARRIVAL),
    ("quarantined_by_load", *ARRIVAL),
)

UNREAD_LINES = Contract(
    "unread_lines",
    "One row per usable line with keys that no field reads.",
    ("dataset", *DELIVERY),
    ("dataset", *DELIVERY, *LEFT_OVER, *ARRIVAL),
    (*LEFT_OVER, *ARRIVAL),
)

RESCUED_VALUES = Contract(
    "rescued_values",
    "One row per usable line with keys that no field reads: what they hold.",
    ("dataset", *DELIVERY),
    ("dataset", *DELIVERY, "rescued", *ARRIVAL),
    ("rescued", *ARRIVAL),
)

UNKNOWN_KEYS = Contract(
    "unknown_keys",
    "One row per key that no field reads, JSON type and load: how many lines, the first of them.",
    ("dataset", "unknown_key", "json_type", "load_id"),
    (
        *("dataset", "unknown_key", "json_type"),
        *("lines_with_key", "usable_lines", "share_of_lines", *DELIVERY, *ARRIVAL),
    ),
    ("lines_with_key", "usable_lines", "share_of_lines", *DELIVERY, *ARRIVAL),
)

# What a replay works out: the tables end with its run.


def _rejudged(table_name: str, fields: tuple[Field, ...]) -> Contract:
    return Contract(
        table_name,
        "One row per line judged again, typed where it is usable, under its first load.",
        DELIVERY,
        (*_delivered(fields), *LEFT_OVER, "is_blank", "line_text", "reason", "past_reason"),
        ("is_blank", *ARRIVAL),
    )


REJUDGED_EVENTS = _rejudged("rejudged_events", EVENT_FIELDS)
REJUDGED_USERS = _rejudged("rejudged_users", USER_FIELDS)
REJUDGED_ACTIVITIES = _rejudged("rejudged_activities", ACTIVITY_FIELDS)

REREAD_OBJECTS = Contract(
    "reread_objects",
    "One row per object version that a replay read again; several if it came in batches.",
    (),
    ("object_key", "etag"),
    ("object_key", "etag"),
)

CHANGED_LINES = Contract(
    "changed_lines",
    "One row per line whose verdict a replay changes, under its first load.",
    ("dataset", *DELIVERY),
    ("dataset", *DELIVERY, "outcome", "line_text", "reason", "past_reason", *ARRIVAL),
    ("outcome", *ARRIVAL),
)

REPLAY_LOAD = Contract(
    "replay_load", "The number of the load that a replay makes, if any.", ("load_id",), ("load_id",)
)

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
    "One row per user and day that changed after the day was made as a whole: when it last did.",
    ("date", "user_id"),
    ("date", "user_id", "revision"),
    ("revision",),
)

REFLECTED = (*DAY_REVISIONS, "rules")

DUE_DAYS = Contract(
    "due_days",
    "One row per day whose gold rows the run rebuilds: all of them, or those that users changed.",
    ("date",),
    (*REFLECTED, "reflected_revision"),
    ("revision", "rules"),
)

DUE_USER_DAYS = Contract(
    "due_user_days",
    "One row per user and day whose gold rows the run rebuilds.",
    ("date", "user_id"),
    ("date", "user_id"),
)

GOLD_DAYS = Contract(
    "gold_days",
    "One row per day: the revision of the enriched day, and the rules, that gold reflects.",
    ("date",),
    REFLECTED,
    ("revision", "rules"),
)

ENGAGEMENT_GRAIN = (
    *("date", "country_code", "os_name", "os_version", "app_version"),
    *("subscription_status", "activity_type", "collection_id"),
)
MEASURES = ("activities_played", "activities_completed", "total_time_spent")

ACTIVITY_ENGAGEMENT_METRICS = Contract(
    "activity_engagement_metrics",
    "Engagement per day and slice of users, devices and activities.",
    ENGAGEMENT_GRAIN,
    (*ENGAGEMENT_GRAIN, *MEASURES, "completion_rate"),
    (*MEASURES, "completion_rate"),
)

ACTIVITY_POPULARITY_DAILY = Contract(
    "activity_popularity_daily",
    "Activities played on a day, ranked by count and by time.",
    ("date", "activity_id"),
    (
        *("date", "activity_id", "activity_name", "activity_type"),
        *(*MEASURES, "rank_by_count", "rank_by_time"),
    ),
    (*MEASURES, "rank_by_count", "rank_by_time"),
)

USER_ACTIVITY_GRAIN = (*ENGAGEMENT_GRAIN, "activity_id", "user_id")

USER_MEASURES = (*MEASURES, "capped_time_spent", "sessions")

USER_ACTIVITY_DAILY = Contract(
    "user_activity_daily",
    "What each user played on a day, per slice and activity: metrics of activity come from it.",
    USER_ACTIVITY_GRAIN,
    (*USER_ACTIVITY_GRAIN, "activity_name", *USER_MEASURES),
    USER_MEASURES,
)

DUE_JOURNEYS = Contract(
    "due_journeys",
    "One row per user whose journey the run works out anew.",
    ("user_id",),
    ("user_id",),
)

USER_JOURNEYS = Contract(
    "user_journeys",
    "One row per user with a record: how far he came, when he was active, what a subscription "
    "changed. Metrics of registration, retention and subscription come from it.",
    ("user_id",),
    (
        *("user_id", "country_code", "main_os_name"),
        *("active_days", "active_weeks", "compared_days", "completed_before", "completed_after"),
        *("registration_date", "trial_start_date", "subscription_start_date"),
        *("first_active_date", "last_active_date", "load_id"),
    ),
    (
        *("country_code", "main_os_name", "active_days", "active_weeks"),
        *("compared_days", "completed_before", "completed_after", "load_id"),
    ),
)

# The exercise has its own ids ('evt_001', 12345), hence text where the app has uuids.
_EXERCISE_IDS = (("event_id", "string"), ("user_id", "string"))

EXERCISE_ACTIVITIES = Contract(
    "activities",
    "One row per activity of the exercise.",
    ("activity_id",),
    ("activity_id", "activity_name", "theme", "price_tier"),
)

EXERCISE_EVENTS = Contract(
    "activity_events",
    "One row per event of the exercise.",
    ("event_id",),
    (
        *("event_id", "user_id", "activity_id", "event_type", "created_at"),
        *("duration_seconds", "completed"),
    ),
    types=_EXERCISE_IDS,
)

EXERCISE_SUBSCRIPTIONS = Contract(
    "subscriptions",
    "One row per subscription of the exercise.",
    ("user_id", "subscription_date"),
    ("user_id", "subscription_date", "platform", "price_usd"),
    types=_EXERCISE_IDS,
)

Q1_COMPLETION_RATE = Contract(
    "q1_completion_rate",
    "How many of the exits of each theme were completed.",
    ("theme",),
    ("theme", "activities_played", "activities_completed", "completion_percentage"),
)

Q2_PRICE_TIER_ENGAGEMENT = Contract(
    "q2_price_tier_engagement",
    "How much the activities of each price tier are played.",
    ("price_tier",),
    (
        *("price_tier", "users", *MEASURES),
        *("average_time_spent", "completion_percentage"),
    ),
)

Q3_SUBSCRIPTION_IMPACT = Contract(
    "q3_subscription_impact",
    "Exits completed per subscriber before and after subscribing, by platform.",
    ("platform",),
    (
        *("platform", "subscribers", "average_completed_before"),
        *("average_completed_after", "change_percentage"),
    ),
)
