"""One definition per column for the whole warehouse: its type, meaning and unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lingokids.schema.rules import WARN, AcceptedValues, InRange, Matches, Rule

#: Milliseconds are kept exactly: sums do not depend on the order of adding.
SECONDS = "decimal(12, 3)"
TOTAL_SECONDS = "decimal(18, 3)"
INSTANT = "timestamp(6)"


@dataclass(frozen=True)
class Column:
    """One column: its Ibis type, what it means, its unit, and which values it may have.

    Attributes:
        type: Ibis type.
        meaning: What it means.
        unit: Its unit, where it has one.
        rules: What its values keep to in every table: each makes a rule of the column's name.
    """

    type: str
    meaning: str
    unit: str = ""
    rules: tuple[Callable[[str], Rule], ...] = ()

    @property
    def comment(self) -> str:
        """The text stored beside the column in the warehouse."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


COUNTED = (partial(InRange, at_least=0),)
RANKED = (partial(InRange, at_least=1),)
SHARE = (partial(InRange, at_least=0, at_most=1),)


def _one_of(*values: str) -> tuple[Callable[[str], Rule], ...]:
    return (partial(AcceptedValues, values=values),)


#: A duration over a day is an app left in the background: seldom, and no fault of a load.
PLAYED = (*COUNTED, partial(InRange, at_most=86_400, severity=WARN, most_share=0.01))
COUNTRY = partial(
    Matches,
    pattern="[a-z]{2}|unknown",
    form="two lower-case letters, or unknown",
    severity=WARN,
    most_share=0.01,
)

COLUMNS: dict[str, Column] = {
    # where a line comes from
    "dataset": Column(
        "string",
        "raw dataset: events, users or activities",
        rules=_one_of("events", "users", "activities"),
    ),
    "object_key": Column("string", "name of the raw object below its bucket or folder"),
    "etag": Column("string", "version of the raw object; a re-sent object has a new one"),
    "line_number": Column("int32", "line of the object, from 1; blank lines count", rules=RANKED),
    "line_text": Column("string", "the line as delivered; only 1,024 characters if over 1 MiB"),
    "reason": Column("string", "the first rule the line breaks"),
    "past_reason": Column(
        "string", "why the line was in quarantine until a replay; NULL: it was not"
    ),
    "is_current": Column("boolean", "whether the object still has this version, as far as listed"),
    "outcome": Column("string", "what a replay made of it: usable, unusable, blank or gone"),
    "is_blank": Column("boolean", "whether the line is blank"),
    "landed_at": Column(INSTANT, "arrival time: last modification of the object", "UTC"),
    "load_id": Column(
        "int32", "number of the ingestion or replay that took the line in", rules=RANKED
    ),
    # what a delivered line has besides its fields
    "unknown_keys": Column(
        "array<struct<key: string, json_type: string>>",
        "keys that no field of schema/raw.py reads, with the JSON types of their values",
    ),
    "rescued": Column("string", "the values of keys without a field, each in its place, as JSON"),
    "unknown_key": Column("string", "the key, after the keys of the objects it stands in, by dots"),
    "json_type": Column(
        "string",
        "type of its values",
        rules=_one_of("text", "number", "boolean", "object", "array", "null"),
    ),
    "lines_with_key": Column("int64", "usable lines of the load that have it", rules=RANKED),
    "usable_lines": Column("int64", "usable lines of the dataset in the load", rules=RANKED),
    "share_of_lines": Column("float64", "lines_with_key / usable_lines, 0 to 1", rules=SHARE),
    # counts of an object
    "size_bytes": Column("int64", "size of the object as stored", "bytes", rules=COUNTED),
    "lines": Column("int64", "lines of the object, blank ones included", rules=COUNTED),
    "blank": Column("int64", "blank lines", rules=COUNTED),
    "kept": Column("int64", "lines that are usable and stand in bronze", rules=COUNTED),
    "quarantined": Column(
        "int64", "lines that are unusable and stand in quarantined_lines", rules=COUNTED
    ),
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
    "main_os_name": Column("string", "operating system that the user left most activities on"),
    "os_name": Column("string", "operating system, as delivered"),
    "os_version": Column("string", "version of the operating system"),
    "app_version": Column("string", "version of the app"),
    "app_build": Column("string", "build of the app"),
    "country_code": Column(
        "string", "country of the user, ISO 3166 alpha-2, lower case", rules=(COUNTRY,)
    ),
    "activity_name": Column("string", "title of the activity"),
    "activity_type": Column("string", "type of the activity, such as game or video"),
    "activity_subtype": Column("string", "subtype of the activity"),
    "subscription_status": Column(
        "string",
        "status of the user at the event: subscribed, trial, free, lapsed or unknown",
        rules=_one_of("subscribed", "trial", "free", "lapsed", "unknown"),
    ),
    # quantities
    "duration_seconds": Column(
        SECONDS, "time between opening and leaving the activity", "s", rules=PLAYED
    ),
    "loading_time_seconds": Column(SECONDS, "time the activity took to load", "s", rules=COUNTED),
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
    "version": Column("int32", "number of the run that last changed it", rules=RANKED),
    "rules": Column("string", "parameters and expression that it is made by; NULL: not known"),
    "unit": Column("string", "values of the columns that its readers know it by, as JSON"),
    # measures
    "activities_played": Column("int64", "activity exits", rules=COUNTED),
    "activities_completed": Column("int64", "activity exits played to the end", rules=COUNTED),
    "total_time_spent": Column(TOTAL_SECONDS, "sum of duration_seconds", "s", rules=COUNTED),
    "capped_time_spent": Column(
        TOTAL_SECONDS,
        "sum of duration_seconds, each at most duration_cap_seconds",
        "s",
        rules=COUNTED,
    ),
    "sessions": Column("int64", "sessions that began with an activity of the row", rules=COUNTED),
    "completion_rate": Column(
        "float64", "activities_completed / activities_played, 0 to 1", rules=SHARE
    ),
    "rank_by_count": Column("int64", "1 is the most played activity of the day", rules=RANKED),
    "rank_by_time": Column(
        "int64", "1 is the activity with most time spent on the day", rules=RANKED
    ),
    # the way of a user
    "registration_date": Column("date", "UTC day of registration_at"),
    "trial_start_date": Column("date", "UTC day of trial_start_at"),
    "subscription_start_date": Column("date", "UTC day of subscription_start_at"),
    "first_active_date": Column("date", "first day with an activity exit; NULL: there is none"),
    "last_active_date": Column("date", "last day with an activity exit; NULL: there is none"),
    "active_days": Column("int64", "different days with an activity exit", rules=COUNTED),
    "active_weeks": Column(
        "array<int64>",
        "weeks with an activity exit, sorted: 0 is the ISO week of registration, 1 the next",
    ),
    "compared_days": Column(
        "int32", "days before and after subscription_start_date whose exits are counted"
    ),
    "completed_before": Column(
        "int64", "exits completed in the compared_days before it", rules=COUNTED
    ),
    "completed_after": Column(
        "int64", "exits completed in the compared_days after it", rules=COUNTED
    ),
    # what runs did
    "run_id": Column("string", "when the run was asked for; runs sort by it"),
    "environment": Column("string", "the --env of the run"),
    "pipelines": Column("string", "the pipelines asked for"),
    "parameters": Column("string", "the parameters given with the run, as JSON"),
    "status": Column("string", "succeeded or failed", rules=_one_of("succeeded", "failed")),
    "failure": Column("string", "the node that failed and why; NULL if none did"),
    "started_at": Column(INSTANT, "when the run began", "UTC"),
    "run_seconds": Column("float64", "how long it took", "s", rules=COUNTED),
    "step": Column("int32", "place in the run, from 1"),
    "node_name": Column("string", "the node that wrote"),
    "table_name": Column("string", "the table written"),
    "rows_deleted": Column("int64", "rows that went", rules=COUNTED),
    "rows_inserted": Column("int64", "rows that came", rules=COUNTED),
    # what checks found
    "rule": Column("string", "the rule of the table's contract"),
    "severity": Column(
        "string", "error: the run is rolled back; warn: it is not", rules=_one_of("error", "warn")
    ),
    "verdict": Column(
        "string",
        "held, warned, or failed; skipped: nothing to judge by",
        rules=_one_of("held", "warned", "failed", "skipped"),
    ),
    "rows_checked": Column("int64", "rows judged; days, where the rule is of days", rules=COUNTED),
    "rows_failed": Column("int64", "rows that fail the rule", rules=COUNTED),
    "check_seconds": Column(
        "float64", "how long it took; rules of one pass over a table share its time", "s"
    ),
    "failure_number": Column("int32", "place among the stored failing rows of a rule, from 1"),
    "row_key": Column("string", "the failing row's grain, as JSON"),
    "row_values": Column("string", "the failing row, as JSON"),
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
    "users": Column("int64", "different users", rules=COUNTED),
    "average_time_spent": Column("decimal(12, 2)", "time spent per exit, rounded", "s"),
    "subscribers": Column("int64", "users whose subscription began in the month", rules=COUNTED),
    "average_completed_before": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days before, rounded"
    ),
    "average_completed_after": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days after, rounded"
    ),
    "change_percentage": Column("decimal(12, 2)", "after against before, rounded", "%"),
}
