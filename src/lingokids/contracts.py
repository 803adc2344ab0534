"""What each table promises: its grain, its columns, their types, units and meaning.

Here: one definition per column for the whole warehouse, one contract per table, and the
shape of the raw records. Elsewhere: what makes a raw line unusable (``quality``), how a
measure is computed (``metrics``), where a table is stored (``conf/base/catalog.yml``).

The names and meanings are those of the predecessor's warehouse, so its queries run as they
are; the rules behind them are in the README beside each pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ibis.expr.schema as sch
    import ibis.expr.types as ir

#: Milliseconds are kept exactly: sums do not depend on the order of adding.
SECONDS = "decimal(12, 3)"
TOTAL_SECONDS = "decimal(18, 3)"
INSTANT = "timestamp(6)"


@dataclass(frozen=True)
class Column:
    """One column: its Ibis type, what it means, and its unit where it has one."""

    type: str
    meaning: str
    unit: str = ""

    @property
    def comment(self) -> str:
        """The text stored beside the column in the warehouse."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


COLUMNS: dict[str, Column] = {
    # where a line comes from
    "dataset": Column("string", "raw dataset: events, users or activities"),
    "object_key": Column("string", "name of the raw object below its bucket or folder"),
    "etag": Column("string", "version of the raw object; a re-sent object has a new one"),
    "line_number": Column("int32", "line of the object, from 1; blank lines count"),
    "line_text": Column("string", "the line as delivered; only 1,024 characters if over 1 MiB"),
    "reason": Column("string", "the first rule the line breaks"),
    "landed_at": Column(INSTANT, "arrival time: last modification of the object", "UTC"),
    "load_id": Column("int32", "number of the ingestion run that took the line in"),
    # counts of an object
    "size_bytes": Column("int64", "size of the object as stored", "bytes"),
    "lines": Column("int64", "lines of the object, blank ones included"),
    "blank": Column("int64", "blank lines"),
    "kept": Column("int64", "lines that are usable and stand in bronze"),
    "quarantined": Column("int64", "lines that are unusable and stand in quarantined_lines"),
    # ids
    "event_id": Column("uuid", "id of the event"),
    "user_id": Column("uuid", "id of the user, the parent's account"),
    "child_id": Column("uuid", "id of the child's profile"),
    "children_ids": Column("array<uuid>", "ids of the children's profiles"),
    "activity_id": Column("string", "id of the activity"),
    "collection_id": Column("string", "playlist the activity was opened from"),
    # strings
    "event_name": Column("string", "name of the event, such as activity_exit"),
    "source": Column("string", "where in the app the activity was opened"),
    "device_id": Column("string", "id of the device"),
    "device_brand": Column("string", "brand of the device"),
    "device_model": Column("string", "model of the device"),
    "os_name": Column("string", "operating system, as delivered"),
    "os_version": Column("string", "version of the operating system"),
    "app_version": Column("string", "version of the app"),
    "app_build": Column("string", "build of the app"),
    "country_code": Column("string", "country of the user, ISO 3166 alpha-2, lower case"),
    "activity_name": Column("string", "title of the activity"),
    "activity_type": Column("string", "type of the activity, such as game or video"),
    "activity_subtype": Column("string", "subtype of the activity"),
    "subscription_status": Column(
        "string", "status of the user at the event: subscribed, trial, free, lapsed or unknown"
    ),
    # quantities
    "duration_seconds": Column(SECONDS, "time between opening and leaving the activity", "s"),
    "loading_time_seconds": Column(SECONDS, "time the activity took to load", "s"),
    "completed_flag": Column("boolean", "whether the activity was played to its end"),
    # days and instants
    "date": Column("date", "UTC day of occurred_at"),
    "occurred_at": Column(INSTANT, "event time", "UTC"),
    "registration_at": Column(INSTANT, "when the user registered", "UTC"),
    "trial_start_at": Column(INSTANT, "when the trial began", "UTC"),
    "trial_end_at": Column(INSTANT, "when the trial ended", "UTC"),
    "subscription_start_at": Column(INSTANT, "when the subscription began", "UTC"),
    "subscription_expire_at": Column(INSTANT, "when the subscription ends", "UTC"),
    # what the layers keep about each other
    "superseded_by_load": Column("int32", "the load whose staging superseded the delivery"),
    "changed_from": Column(
        INSTANT, "events before it keep their status; NULL: every event may change", "UTC"
    ),
    "changed_by_load": Column("int32", "the load that changed the record"),
    "revision": Column("int32", "rises by one whenever the rows of the day change"),
    # measures
    "activities_played": Column("int64", "activity exits"),
    "activities_completed": Column("int64", "activity exits played to the end"),
    "total_time_spent": Column(TOTAL_SECONDS, "sum of duration_seconds", "s"),
    "completion_rate": Column("float64", "activities_completed / activities_played, 0 to 1"),
    "rank_by_count": Column("int64", "1 is the most played activity of the day"),
    "rank_by_time": Column("int64", "1 is the activity with most time spent on the day"),
    # what runs did
    "run_id": Column("string", "when the run was asked for; runs sort by it"),
    "environment": Column("string", "the --env of the run"),
    "pipelines": Column("string", "the pipelines asked for"),
    "parameters": Column("string", "the parameters given with the run, as JSON"),
    "status": Column("string", "succeeded or failed"),
    "failure": Column("string", "the node that failed and why; NULL if none did"),
    "started_at": Column(INSTANT, "when the run began", "UTC"),
    "run_seconds": Column("float64", "how long it took", "s"),
    "step": Column("int32", "place in the run, from 1"),
    "node_name": Column("string", "the node that wrote"),
    "table_name": Column("string", "the table written"),
    "rows_deleted": Column("int64", "rows that went"),
    "rows_inserted": Column("int64", "rows that came"),
    # the exercise
    "theme": Column("string", "theme of the activity"),
    "price_tier": Column("string", "free or premium"),
    "platform": Column("string", "shop of the subscription"),
    "event_type": Column("string", "activity_enter or activity_exit"),
    "created_at": Column(INSTANT, "event time", "UTC"),
    "completed": Column("boolean", "whether the activity was played to its end"),
    "subscription_date": Column("date", "day the subscription began"),
    "price_usd": Column("decimal(12, 2)", "price of the subscription", "USD"),
    "completion_percentage": Column("decimal(5, 2)", "completed of played, rounded", "%"),
    "users": Column("int64", "different users"),
    "average_time_spent": Column("decimal(12, 2)", "time spent per exit, rounded", "s"),
    "subscribers": Column("int64", "users whose subscription began in the month"),
    "average_completed_before": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days before, rounded"
    ),
    "average_completed_after": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days after, rounded"
    ),
    "change_percentage": Column("decimal(12, 2)", "after against before, rounded", "%"),
}


@dataclass(frozen=True)
class Contract:
    """The promise of one table.

    Attributes:
        table_name: Name in schema ``main``.
        meaning: What one row is, in one sentence.
        grain: The columns that identify a row.
        columns: Every column, in order: names of ``COLUMNS``, or a name and an Ibis type
            where the table's source uses a word of its own.
        required: Columns that are never NULL besides those of the grain.
    """

    table_name: str
    meaning: str
    grain: tuple[str, ...]
    columns: tuple[str, ...]
    required: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()

    @cached_property
    def schema(self) -> sch.Schema:
        """Names, Ibis types and nullability of the columns, in order."""
        import ibis

        own = dict(self.types)
        never_null = {*self.grain, *self.required}
        return ibis.schema(
            {
                name: ("!" if name in never_null else "") + own.get(name, COLUMNS[name].type)
                for name in self.columns
            }
        )

    def validate(self, data: ir.Table) -> ir.Table:
        """Return ``data`` unchanged if it has the columns and types promised.

        Kedro calls it when the table is loaded and saved (``validator:`` in the catalog).

        Raises:
            LingokidsError: A column is missing, unexpected, or of another type.
        """
        found = {name: dtype.copy(nullable=True) for name, dtype in data.schema().items()}
        promised = {name: dtype.copy(nullable=True) for name, dtype in self.schema.items()}
        faults = [
            f"{name} is {found[name]}, promised {promised[name]}"
            for name in promised
            if name in found and found[name] != promised[name]
        ]
        if missing := [name for name in promised if name not in found]:
            faults.append(f"missing {', '.join(missing)}")
        if unexpected := [name for name in found if name not in promised]:
            faults.append(f"unexpected {', '.join(unexpected)}")
        if faults:
            raise LingokidsError(
                f"{self.table_name}: {'; '.join(faults)}. Change the node, or the contract in "
                "contracts.py if the promise changed."
            )
        return data


# --- raw records ----------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One value of a raw JSON record: the column it becomes and its path in the record."""

    column: str
    path: str
    required: bool = False

    @property
    def type(self) -> str:
        """Ibis type of the column."""
        return COLUMNS[self.column].type


EVENT_FIELDS = (
    Field("event_id", "event_id", required=True),
    Field("event_name", "name", required=True),
    Field("occurred_at", "occurred_at", required=True),
    Field("user_id", "user_id", required=True),
    Field("activity_id", "data.activity_id", required=True),
    Field("child_id", "child_id"),
    Field("source", "data.source"),
    Field("duration_seconds", "data.duration"),
    Field("completed_flag", "data.completed"),
    Field("collection_id", "data.collection_id"),
    Field("loading_time_seconds", "data.loading_time"),
    Field("device_id", "context.device.device_id"),
    Field("device_brand", "context.device.brand"),
    Field("device_model", "context.device.model"),
    Field("os_name", "context.os.name"),
    Field("os_version", "context.os.version"),
    Field("app_version", "context.app.version"),
    Field("app_build", "context.app.build"),
)

USER_FIELDS = (
    Field("user_id", "user_id", required=True),
    Field("children_ids", "children_ids"),
    Field("country_code", "country_code"),
    Field("registration_at", "registration_at"),
    Field("trial_start_at", "trial_start_at"),
    Field("trial_end_at", "trial_end_at"),
    Field("subscription_start_at", "subscription_start_at"),
    Field("subscription_expire_at", "subscription_expire_at"),
)

ACTIVITY_FIELDS = (
    Field("activity_id", "activity_id", required=True),
    Field("activity_name", "name"),
    Field("activity_type", "type"),
    Field("activity_subtype", "subtype"),
)


class RawSource(Protocol):
    """What a raw dataset hands to a node: its listing, and its lines on demand."""

    def listing(self) -> ir.Table:
        """One row per object present: ``RAW_OBJECTS``."""

    def read(
        self, objects: ir.Table, judge: Callable[[ir.Table], ir.Table]
    ) -> Iterator[tuple[ir.Table, ir.Table]]:
        """Read ``objects`` once, in batches of bounded size.

        Args:
            objects: Rows of ``NEW_OBJECTS``.
            judge: Types the lines of a batch and says which are unusable (``quality``).

        Yields:
            The judged lines of a batch, and the objects it has lines of (an object of no
            lines included): object_key, etag.
        """


# --- tables ---------------------------------------------------------------------------

DELIVERY = ("object_key", "etag", "line_number")
ARRIVAL = ("landed_at", "load_id")


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

EVENT_ROWS = Contract(
    "event_rows",
    "One row per silver row that the run replaces.",
    ("date", "event_id", "load_id"),
    ("date", "event_id", "load_id"),
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
    DAY_REVISIONS,
    ("revision",),
)

DUE_DAYS = Contract(
    "due_days", "One row per day whose gold rows the run rebuilds.", ("date",), DAY_REVISIONS
)

GOLD_DAYS = Contract(
    "gold_days",
    "One row per day: the revision of the enriched day that gold reflects.",
    ("date",),
    DAY_REVISIONS,
    ("revision",),
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

# --- what runs did ----------------------------------------------------------------------

RUNS = Contract(
    "runs",
    "One row per run that changed something or failed.",
    ("run_id",),
    (
        *("run_id", "environment", "pipelines", "parameters", "status", "failure"),
        *("started_at", "run_seconds", "rows_deleted", "rows_inserted"),
    ),
    ("environment", "pipelines", "parameters", "status", "started_at", "run_seconds"),
)

RUN_STEPS = Contract(
    "run_steps",
    "One row per table and step of a recorded run, in order.",
    ("run_id", "step"),
    ("run_id", "step", "node_name", "table_name", "rows_deleted", "rows_inserted", "run_seconds"),
    ("node_name", "table_name", "rows_deleted", "rows_inserted", "run_seconds"),
)

RUN_DAYS = Contract(
    "run_days",
    "One row per day whose gold rows a recorded run rebuilt.",
    ("run_id", "date"),
    ("run_id", "date"),
)
