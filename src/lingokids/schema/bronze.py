"""The contracts of bronze: delivered lines, unusable lines, unknown keys."""

from __future__ import annotations

from lingokids.schema.contract import Contract
from lingokids.schema.raw import ACTIVITY_FIELDS, EVENT_FIELDS, USER_FIELDS, Field

DELIVERY = ("object_key", "etag", "line_number")
ARRIVAL = ("landed_at", "load_id")
#: What identifies a line: a key may be sent again with the content that it had two versions ago.
LINE = ("object_key", "load_id", "line_number")
#: So many lines of an object with the same text and reason are kept in quarantine.
MOST_ALIKE = 1_000
LEFT_OVER = ("unknown_keys", "rescued")


def _delivered(fields: tuple[Field, ...]) -> tuple[str, ...]:
    columns = (field.column for field in fields)
    return (*DELIVERY, *columns, "past_reason", "is_current", *ARRIVAL)


def _required(fields: tuple[Field, ...]) -> tuple[str, ...]:
    required = (field.column for field in fields if field.required)
    return ("etag", *required, "is_current", *ARRIVAL)


RAW_OBJECTS = Contract(
    "raw_objects",
    "One row per raw object present when a run lists its source.",
    ("object_key", "etag"),
    ("object_key", "etag", "size_bytes", "landed_at"),
    ("size_bytes", "landed_at"),
)

INGESTED_OBJECTS = Contract(
    "ingested_objects",
    "The ledger: one row per raw object version taken in.",
    ("dataset", "object_key", "load_id"),
    (
        *("dataset", "object_key", "etag", "size_bytes"),
        *("lines", "blank", "kept", "quarantined", "is_current", *ARRIVAL),
    ),
    ("etag", "size_bytes", "lines", "blank", "kept", "quarantined", "is_current", *ARRIVAL),
)

BRONZE_EVENTS = Contract(
    "bronze_events",
    "One row per usable line of the events, typed, as delivered; nothing is dropped.",
    LINE,
    _delivered(EVENT_FIELDS),
    _required(EVENT_FIELDS),
)

BRONZE_USERS = Contract(
    "bronze_users",
    "One row per usable line of the users, typed, as delivered; nothing is dropped.",
    LINE,
    _delivered(USER_FIELDS),
    _required(USER_FIELDS),
)

BRONZE_ACTIVITIES = Contract(
    "bronze_activities",
    "One row per usable line of the activities, typed, as delivered; nothing is dropped.",
    LINE,
    _delivered(ACTIVITY_FIELDS),
    _required(ACTIVITY_FIELDS),
)

QUARANTINED_LINES = Contract(
    "quarantined_lines",
    "One row per unusable line, with its text and the first rule it breaks. Of lines alike in an "
    "object the first 1,000 are kept, and the others counted.",
    ("dataset", *LINE),
    ("dataset", *DELIVERY, "line_text", "reason", "lines_alike", *ARRIVAL),
    ("etag", "line_text", "reason", "lines_alike", *ARRIVAL),
)

RESCUED_VALUES = Contract(
    "rescued_values",
    "One row per usable line with keys that no field reads: which, and what they hold.",
    ("dataset", *LINE),
    ("dataset", *DELIVERY, *LEFT_OVER, *ARRIVAL),
    ("etag", *LEFT_OVER, *ARRIVAL),
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

#: Tables that no node makes: each bronze table is written with them.
BESIDE_BRONZE = (INGESTED_OBJECTS, QUARANTINED_LINES, RESCUED_VALUES)
