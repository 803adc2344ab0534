"""The contracts of gold: measures, journeys and answers."""

from __future__ import annotations

from lingokids.schema.contract import Contract

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

USER_JOURNEYS = Contract(
    "user_journeys",
    "One row per user with a record: how far they came, when they were active, what a "
    "subscription changed. Metrics of registration, retention and subscription come from it.",
    ("user_id",),
    (
        *("user_id", "country_code", "main_os_name"),
        *("active_days", "active_weeks", "compared_days", "completed_before", "completed_after"),
        *("registration_date", "trial_start_date", "subscription_start_date"),
        *("first_active_date", "last_active_date"),
    ),
    (
        *("country_code", "main_os_name", "active_days", "active_weeks"),
        *("compared_days", "completed_before", "completed_after"),
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
    ("user_id", "subscription_date", "platform"),
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
