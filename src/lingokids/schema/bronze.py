"""The contracts of bronze: what is delivered, and what of it could not be used or read."""

from __future__ import annotations

from lingokids.schema.contract import Contract
from lingokids.schema.raw import ACTIVITY_FIELDS, EVENT_FIELDS, USER_FIELDS, Field

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
