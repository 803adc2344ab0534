"""The type, meaning, unit and rules of every column, defined once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from lingokids.schema.rules import WARN, AcceptedValues, InRange, Matches, Rule

#: Exact milliseconds, so that sums do not depend on the order of addition.
SECONDS = "decimal(12, 3)"
TOTAL_SECONDS = "decimal(18, 3)"
INSTANT = "timestamp(6)"

Personal = Literal["identifier", "quasi-identifier", "free text", "none"]
IDENTIFIER: Personal = "identifier"
QUASI_IDENTIFIER: Personal = "quasi-identifier"
FREE_TEXT: Personal = "free text"
NONE: Personal = "none"
_NUMBERS = ("int", "float", "decimal", "boolean")
#: What takes the place of a value that is not shown.
MASK = "…"


@dataclass(frozen=True)
class Column:
    """A column, the same in every table that has it.

    Attributes:
        type: Ibis type.
        rules: From the column's name to a rule on its values.
        personal: What it says of a person: ``identifier`` (names one person, device or event),
            ``quasi-identifier`` (does so together with others), ``free text`` (may hold anything
            that was delivered), or ``none``. None: not said, see ``classification``.
    """

    type: str
    meaning: str
    unit: str = ""
    rules: tuple[Callable[[str], Rule], ...] = ()
    personal: Personal | None = None

    @property
    def classification(self) -> Personal:
        """What it says of a person; where that is not said, a number nothing, others anything."""
        if self.personal is not None:
            return self.personal
        return NONE if self.type.startswith(_NUMBERS) else FREE_TEXT

    @property
    def is_masked(self) -> bool:
        """Whether its values are kept out of pages, logs and previews."""
        return self.classification in (IDENTIFIER, FREE_TEXT)

    @property
    def comment(self) -> str:
        """The column's comment in the warehouse."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


COUNTED = (partial(InRange, at_least=0),)
RANKED = (partial(InRange, at_least=1),)
SHARE = (partial(InRange, at_least=0, at_most=1),)


def _one_of(*values: str) -> tuple[Callable[[str], Rule], ...]:
    return (partial(AcceptedValues, values=values),)


#: Longer than a day is an app left in the background: rare, and no defect of a load.
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
        personal=NONE,
    ),
    "object_key": Column("string", "path of the raw object in its bucket or folder", personal=NONE),
    "etag": Column(
        "string", "version of the raw object; new when the object is sent again", personal=NONE
    ),
    "line_number": Column("int32", "line number in the object, from 1", rules=RANKED),
    "line_text": Column(
        "string",
        "the line as delivered, 1,024 characters of it if over 1 MiB; empty once it has expired",
        personal=FREE_TEXT,
    ),
    "reason": Column("string", "the first validation rule that the line breaks", personal=NONE),
    "lines_alike": Column(
        "int64",
        "lines that the row counts: itself, and lines of its object with the same text and reason "
        "that are not kept, because so many are",
        rules=RANKED,
    ),
    "past_reason": Column(
        "string",
        "reason the line was in quarantine before a replay; NULL: never was",
        personal=NONE,
    ),
    "is_current": Column("boolean", "whether the object still has this version, as far as listed"),
    "landed_at": Column(
        INSTANT, "arrival time: when the object was last modified", "UTC", personal=NONE
    ),
    "load_id": Column(
        "int32", "number of the run that ingested or replayed the line", rules=RANKED
    ),
    # keys of delivered lines without a field
    "unknown_keys": Column(
        "array<struct<key: string, json_type: string>>",
        "keys that no field of schema/raw.py reads, and the JSON types of their values",
        personal=NONE,
    ),
    "rescued": Column(
        "string",
        "keys without a field and their values, as JSON; {} once they have expired",
        personal=FREE_TEXT,
    ),
    "unknown_key": Column("string", "path of the key in the line, joined by dots", personal=NONE),
    "json_type": Column(
        "string",
        "JSON type of its values",
        rules=_one_of("text", "number", "boolean", "object", "array", "null"),
        personal=NONE,
    ),
    "lines_with_key": Column("int64", "usable lines of the load that have the key", rules=RANKED),
    "usable_lines": Column("int64", "usable lines of the dataset in the load", rules=RANKED),
    "share_of_lines": Column("float64", "lines_with_key / usable_lines, 0 to 1", rules=SHARE),
    # line counts of an object
    "size_bytes": Column("int64", "size of the object as stored", "bytes", rules=COUNTED),
    "lines": Column("int64", "all lines of the object", rules=COUNTED),
    "blank": Column("int64", "blank lines", rules=COUNTED),
    "kept": Column("int64", "usable lines, kept in bronze", rules=COUNTED),
    "quarantined": Column("int64", "unusable lines, counted in quarantined_lines", rules=COUNTED),
    # ids
    "event_id": Column("uuid", "id of the event", personal=IDENTIFIER),
    "user_id": Column("uuid", "id of the user, the parent's account", personal=IDENTIFIER),
    "child_id": Column("uuid", "id of the child's profile", personal=IDENTIFIER),
    "children_ids": Column("array<uuid>", "ids of the children's profiles", personal=IDENTIFIER),
    "activity_id": Column("string", "id of the activity", personal=NONE),
    "collection_id": Column("string", "playlist the activity was opened from", personal=NONE),
    # strings
    "event_name": Column("string", "name of the event, such as activity_exit", personal=NONE),
    "source": Column("string", "where in the app the activity was opened", personal=NONE),
    "device_id": Column("string", "id of the device", personal=IDENTIFIER),
    "device_brand": Column("string", "brand of the device", personal=QUASI_IDENTIFIER),
    "device_model": Column("string", "model of the device", personal=QUASI_IDENTIFIER),
    "main_os_name": Column(
        "string",
        "operating system with most of the user's activity exits",
        personal=QUASI_IDENTIFIER,
    ),
    "os_name": Column("string", "operating system, as delivered", personal=QUASI_IDENTIFIER),
    "os_version": Column("string", "version of the operating system", personal=QUASI_IDENTIFIER),
    "app_version": Column("string", "version of the app", personal=QUASI_IDENTIFIER),
    "app_build": Column("string", "build of the app", personal=QUASI_IDENTIFIER),
    "country_code": Column(
        "string",
        "country of the user, ISO 3166 alpha-2, lower case",
        rules=(COUNTRY,),
        personal=QUASI_IDENTIFIER,
    ),
    "activity_name": Column("string", "title of the activity", personal=NONE),
    "activity_type": Column("string", "type of the activity, such as game or video", personal=NONE),
    "activity_subtype": Column("string", "subtype of the activity", personal=NONE),
    "subscription_status": Column(
        "string",
        "status of the user at the event: subscribed, trial, free, lapsed or unknown",
        rules=_one_of("subscribed", "trial", "free", "lapsed", "unknown"),
        personal=QUASI_IDENTIFIER,
    ),
    # quantities
    "duration_seconds": Column(
        SECONDS, "time between opening and leaving the activity", "s", rules=PLAYED
    ),
    "loading_time_seconds": Column(SECONDS, "time the activity took to load", "s", rules=COUNTED),
    "completed_flag": Column("boolean", "whether the activity was played to its end"),
    # days and instants
    "date": Column(
        "date", "day of occurred_at in the reporting time zone", personal=QUASI_IDENTIFIER
    ),
    "occurred_at": Column(INSTANT, "event time", "UTC", personal=QUASI_IDENTIFIER),
    "registration_at": Column(
        INSTANT, "when the user registered", "UTC", personal=QUASI_IDENTIFIER
    ),
    "trial_start_at": Column(INSTANT, "when the trial began", "UTC", personal=QUASI_IDENTIFIER),
    "trial_end_at": Column(INSTANT, "when the trial ended", "UTC", personal=QUASI_IDENTIFIER),
    "subscription_start_at": Column(
        INSTANT, "when the subscription began", "UTC", personal=QUASI_IDENTIFIER
    ),
    "subscription_expire_at": Column(
        INSTANT, "when the subscription ends", "UTC", personal=QUASI_IDENTIFIER
    ),
    # state of incremental tables
    "version": Column("int32", "number of the last run that changed it", rules=RANKED),
    "rules": Column(
        "string", "parameters and expression the table was built with; NULL: unknown", personal=NONE
    ),
    "unit": Column(
        "string", "the unit that a row left: its columns and values, as JSON", personal=IDENTIFIER
    ),
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
    "sessions": Column("int64", "sessions that began in the row", rules=COUNTED),
    "completion_rate": Column(
        "float64", "activities_completed / activities_played, 0 to 1", rules=SHARE
    ),
    "rank_by_count": Column("int64", "1 is the most played activity of the day", rules=RANKED),
    "rank_by_time": Column(
        "int64", "1 is the activity with most time spent on the day", rules=RANKED
    ),
    # user journeys
    "registration_date": Column(
        "date", "day of registration_at in the reporting time zone", personal=QUASI_IDENTIFIER
    ),
    "trial_start_date": Column(
        "date", "day of trial_start_at in the reporting time zone", personal=QUASI_IDENTIFIER
    ),
    "subscription_start_date": Column(
        "date", "day of subscription_start_at in the reporting time zone", personal=QUASI_IDENTIFIER
    ),
    "first_active_date": Column(
        "date", "first day with an activity exit; NULL: none", personal=QUASI_IDENTIFIER
    ),
    "last_active_date": Column(
        "date", "last day with an activity exit; NULL: none", personal=QUASI_IDENTIFIER
    ),
    "active_days": Column("int64", "number of days with an activity exit", rules=COUNTED),
    "active_weeks": Column(
        "array<int64>",
        "ISO weeks with an activity exit, counted from the week of registration (0), sorted",
        personal=QUASI_IDENTIFIER,
    ),
    "compared_days": Column(
        "int32", "length in days of the periods before and after subscription_start_date"
    ),
    "completed_before": Column(
        "int64", "exits completed in the compared_days before", rules=COUNTED
    ),
    "completed_after": Column("int64", "exits completed in the compared_days after", rules=COUNTED),
    # what runs did
    "run_id": Column(
        "string",
        "when the run was asked for, or later than the run before it; runs sort by it",
        personal=NONE,
    ),
    "environment": Column("string", "the --env of the run", personal=NONE),
    "pipelines": Column("string", "the pipelines asked for", personal=NONE),
    "parameters": Column("string", "the parameters given with the run, as JSON", personal=NONE),
    "status": Column(
        "string",
        "succeeded, failed, or unchanged: nothing was new after a failure",
        rules=_one_of("succeeded", "failed", "unchanged"),
        personal=NONE,
    ),
    "failure": Column("string", "the node that failed and why; NULL if none did", personal=NONE),
    "started_at": Column(INSTANT, "when the run began", "UTC", personal=NONE),
    "run_seconds": Column("float64", "duration of the run", "s", rules=COUNTED),
    "cpu_seconds": Column(
        "float64", "CPU time of the process meanwhile; of a step: since the one before", "s"
    ),
    "peak_memory_bytes": Column("int64", "most memory that the process held", "bytes"),
    "bytes_read": Column("int64", "size of the raw objects read", "bytes"),
    "step": Column("int32", "position in the run, from 1"),
    "node_name": Column("string", "node that wrote the table", personal=NONE),
    "table_name": Column("string", "name of the table", personal=NONE),
    "rows_read": Column("int64", "rows, or raw lines, that were read to make these"),
    "rows_deleted": Column("int64", "deleted rows", rules=COUNTED),
    "rows_inserted": Column("int64", "inserted rows", rules=COUNTED),
    # check results
    "rule": Column("string", "rule of the table's contract", personal=NONE),
    "severity": Column(
        "string",
        "error rolls the run back; warn does not",
        rules=_one_of("error", "warn"),
        personal=NONE,
    ),
    "verdict": Column(
        "string",
        "held, warned, failed, or skipped (nothing to check)",
        rules=_one_of("held", "warned", "failed", "skipped"),
        personal=NONE,
    ),
    "rows_checked": Column("int64", "checked rows; for rules about days: days", rules=COUNTED),
    "rows_failed": Column("int64", "rows (or days) that fail the rule", rules=COUNTED),
    "check_seconds": Column(
        "float64", "duration of the check; rules checked in one pass share it", "s"
    ),
    "failure_number": Column("int32", "position among the stored failing rows of the rule, from 1"),
    "row_key": Column("string", "grain of the failing row, as JSON", personal=FREE_TEXT),
    "row_values": Column("string", "the failing row, as JSON", personal=FREE_TEXT),
    # the exercise
    "theme": Column("string", "theme of the activity", personal=NONE),
    "price_tier": Column("string", "free or premium", personal=NONE),
    "platform": Column("string", "app store of the subscription", personal=QUASI_IDENTIFIER),
    "event_type": Column("string", "activity_enter or activity_exit", personal=NONE),
    "created_at": Column(INSTANT, "event time", "UTC", personal=QUASI_IDENTIFIER),
    "completed": Column("boolean", "whether the activity was played to its end"),
    "subscription_date": Column("date", "day the subscription began", personal=QUASI_IDENTIFIER),
    "price_usd": Column("decimal(12, 2)", "price of the subscription", "USD"),
    "completion_percentage": Column("decimal(5, 2)", "completed of played, rounded", "%"),
    "users": Column("int64", "number of distinct users", rules=COUNTED),
    "average_time_spent": Column("decimal(12, 2)", "time per exit, rounded", "s"),
    "subscribers": Column("int64", "users whose subscription began in the month", rules=COUNTED),
    "average_completed_before": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days before, rounded"
    ),
    "average_completed_after": Column(
        "decimal(12, 2)", "exits completed per user in the 7 days after, rounded"
    ),
    "change_percentage": Column("decimal(12, 2)", "change from before to after, rounded", "%"),
}


#: A uuid, or what may be an address: names of keys that no field reads may be either.
_TELLING = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}|\S+@\S+")


def masked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose identifiers and free text are masked, by the names of its columns.

    So is what looks like an identifier in a key's name. What no column of that name is defined
    for is a number of a check or of a program.
    """
    shown = {
        name: MASK if value is not None and name in COLUMNS and COLUMNS[name].is_masked else value
        for name, value in row.items()
    }
    if key := shown.get("unknown_key"):
        shown["unknown_key"] = _TELLING.sub(MASK, key)
    return shown
