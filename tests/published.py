"""What a reader finds in a lake, and a day's deliveries to publish.

The logs are read here by the letter of the format, without the library that wrote them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.datatypes as dt

from builders import a_user_record, an_activity_record, an_event_record
from lingokids.schema import CONTRACTS

BRONZE = (
    *("bronze_events", "bronze_users", "bronze_activities"),
    *("quarantined_lines", "ingested_objects", "rescued_values"),
)
GOLD = (
    *("activity_engagement_metrics", "activity_popularity_daily"),
    *("q1_completion_rate", "q2_price_tier_engagement", "q3_subscription_impact"),
)


def the_pointer(lake: Path) -> dict[str, Any]:
    return json.loads((lake / "publication.json").read_text())


def versions(lake: Path) -> dict[str, int]:
    """The versions of one publication."""
    return {name: table["version"] for name, table in the_pointer(lake)["tables"].items()}


def newest(lake: Path, table: str) -> int:
    """The version that a reader has who does not know the pointer."""
    return max(int(path.stem) for path in (lake / table / "_delta_log").glob("[0-9]*.json"))


def log_of(lake: Path, table: str, version: int) -> list[dict[str, Any]]:
    """What was written into a table's log, up to a version."""
    entries = []
    for number in range(version + 1):
        text = (lake / table / "_delta_log" / f"{number:020}.json").read_text()
        entries += [json.loads(line) for line in text.splitlines() if line]
    return entries


def the_files(lake: Path, table: str, version: int | None = None) -> list[str]:
    """The files of a version; of the one that the pointer names."""
    version = versions(lake)[table] if version is None else version
    files: dict[str, None] = {}
    for entry in log_of(lake, table, version):
        if "remove" in entry:
            files.pop(entry["remove"]["path"], None)
        if "add" in entry:
            files[entry["add"]["path"]] = None
    return [str(lake / table / path) for path in files]


def the_rows(lake: Path, table: str, version: int | None = None) -> list[tuple[Any, ...]]:
    """The rows of a version, with the types of the warehouse."""
    files = the_files(lake, table, version)
    if not files:
        return []
    columns = ", ".join(
        f"{_as_stored(name, dtype)} AS {name}"
        for name, dtype in CONTRACTS[table].nullable_schema.items()
    )
    return duckdb.sql(f"SELECT {columns} FROM read_parquet({files}) ORDER BY ALL").fetchall()


def _as_stored(name: str, dtype: dt.DataType) -> str:
    if dtype.is_timestamp():
        return f"timezone('UTC', {name})"
    is_list = dtype.is_array() and dtype.value_type.is_uuid()
    return f"{name}::UUID[]" if is_list else f"{name}::UUID" if dtype.is_uuid() else name


def assert_published(project) -> None:
    """The lakes hold the rows of the tables, for those who know the pointer and for others."""
    for name, tables in (("02_bronze", BRONZE), ("03_gold", GOLD)):
        lake = project.folder / name
        assert set(versions(lake)) == set(tables)
        for table in tables:
            assert versions(lake)[table] == newest(lake, table), table
            assert the_rows(lake, table) == project.table(table), table


def deliver_a_day(
    project, day: int, *more: dict[str, Any], month: int = 1, landed_at: str | None = None
) -> None:
    """A day's events, a broken line, a user and an activity that change."""
    occurred = f"2021-{month:02}-{day:02} 10:00:00.000"
    landed = landed_at or f"2021-{month + 1:02}-{day:02} 00:00:00"
    number = 100 * month + day
    events = [an_event_record(number, occurred_at=occurred), *more]
    project.deliver("events", f"{number}.jsonl", events, landed)
    project.deliver("events", f"{number}-broken.jsonl", b"{\n", landed)
    user = a_user_record(country_code=["es", "fr"][day % 2])
    project.deliver("users", f"{number}.jsonl", [user], landed)
    activity = an_activity_record(name=f"Fish {day}")
    project.deliver("activities", f"{number}.jsonl", [activity], landed)


def publish_a_day(project) -> None:
    """Take in and publish the fifth of January."""
    deliver_a_day(project, 5)
    project.run()
