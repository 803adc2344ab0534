"""The script's raw records: their fields, and the SQL that types and validates their lines."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Field(NamedTuple):
    """A field of a raw record: its column, its path in the record, its type."""

    column: str
    path: str
    type: str = "VARCHAR"
    required: bool = False


SECONDS = "DECIMAL(12,3)"
FIELDS = {
    "events": (
        Field("event_id", "event_id", "UUID", required=True),
        Field("event_name", "name", required=True),
        Field("occurred_at", "occurred_at", "TIMESTAMP", required=True),
        Field("user_id", "user_id", "UUID", required=True),
        Field("activity_id", "data.activity_id", required=True),
        Field("child_id", "child_id", "UUID"),
        Field("source", "data.source"),
        Field("duration_seconds", "data.duration", SECONDS),
        Field("completed_flag", "data.completed", "BOOLEAN"),
        Field("collection_id", "data.collection_id"),
        Field("loading_time_seconds", "data.loading_time", SECONDS),
        Field("device_id", "context.device.device_id"),
        Field("device_brand", "context.device.brand"),
        Field("device_model", "context.device.model"),
        Field("os_name", "context.os.name"),
        Field("os_version", "context.os.version"),
        Field("app_version", "context.app.version"),
        Field("app_build", "context.app.build"),
    ),
    "users": (
        Field("user_id", "user_id", "UUID", required=True),
        Field("children_ids", "children_ids", "UUID[]"),
        Field("country_code", "country_code"),
        Field("registration_at", "registration_at", "TIMESTAMP"),
        Field("trial_start_at", "trial_start_at", "TIMESTAMP"),
        Field("trial_end_at", "trial_end_at", "TIMESTAMP"),
        Field("subscription_start_at", "subscription_start_at", "TIMESTAMP"),
        Field("subscription_expire_at", "subscription_expire_at", "TIMESTAMP"),
    ),
    "activities": (
        Field("activity_id", "activity_id", required=True),
        Field("activity_name", "name"),
        Field("activity_type", "type"),
        Field("activity_subtype", "subtype"),
    ),
}
PROMISED = {
    "UUID": "a uuid",
    "UUID[]": "a list of uuids",
    "TIMESTAMP": "an instant",
    SECONDS: "a number of 0 or more",
    "BOOLEAN": "true or false",
}


def typed(dataset: str, lines: str) -> str:
    """Parse and type lines; a missing or wrong value is NULL."""
    columns = ", ".join(f"{_typed(field)} AS {field.column}" for field in FIELDS[dataset])
    return f"""
        SELECT *, {columns} FROM (
            SELECT *, CASE WHEN json_valid(line)
                THEN json_transform(line, '{_shape(FIELDS[dataset])}') END AS record
            FROM {lines}
        )"""


def is_valid(dataset: str) -> str:
    """Whether a typed line has every required value, and no wrong one."""
    checked = [f for f in FIELDS[dataset] if f.required or f.type in PROMISED]
    return " AND ".join(_is_valid(field) for field in checked)


def reason(dataset: str) -> str:
    """Why a line is not valid: the first rule that it breaks."""
    fields = FIELDS[dataset]
    missing = [(_is_absent(f), f"{f.path} is missing") for f in fields if f.required]
    wrong = [
        (f"NOT coalesce({_is_valid(f)}, false)", f"{f.path} is not {PROMISED[f.type]}")
        for f in fields
        if f.type in PROMISED
    ]
    rules = [
        (
            "starts_with(ltrim(line, E' \\t\\r\\n'), '[')",
            "a JSON array: write one record a line, as jq -c .[] does",
        ),
        (
            r"NOT json_valid(line) AND regexp_matches(line, '[\[{,]\s*$|^\s*[\]}]\s*$')",
            "not JSON but a piece of it: write one record a line, as jq -c .[] or jq -c . does",
        ),
        ("NOT json_valid(line)", "not JSON"),
        ("json_type(line) <> 'OBJECT'", "not a JSON object"),
        *missing,
        *wrong,
    ]
    cases = " ".join(f"WHEN {rule} THEN '{broken}'" for rule, broken in rules)
    return f"CASE {cases} END"


def _typed(field: Field) -> str:
    value = f"record.{field.path}"
    if field.type == "VARCHAR":
        return f"nullif({value}, '')"
    if field.type == "BOOLEAN":
        return f"CASE {value} WHEN 'true' THEN true WHEN 'false' THEN false END"
    if field.type == "TIMESTAMP":  # the usual form has no room for an offset, and is cheap
        return (
            f"CASE WHEN strlen({value}) = 23 AND ({value})[20] = '.' "
            f"THEN TRY_CAST({value} AS TIMESTAMP) WHEN strlen({value}) >= 10 "
            f"THEN TRY_CAST({value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
        )
    return f"TRY_CAST({value} AS {field.type})"


def _is_absent(field: Field) -> str:
    return f"coalesce(record.{field.path}, '') = ''"


def _is_valid(field: Field) -> str:
    condition = f"{field.column} IS NOT NULL"
    if field.type == SECONDS:
        condition = f"{field.column} >= 0"
    elif field.type == "UUID[]":
        condition = f"list_count({field.column}) = len({field.column})"
    return condition if field.required else f"({condition} OR {_is_absent(field)})"


def _shape(fields: tuple[Field, ...]) -> str:
    shape: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.path.split(".")
        level = shape
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = "VARCHAR"
    return json.dumps(shape)
