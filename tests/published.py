"""What a reader finds in a lake, and a day's deliveries to publish."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

from builders import a_user_record, an_activity_record, an_event_record

BRONZE = (
    *("bronze_events", "bronze_users", "bronze_activities"),
    *("quarantined_lines", "ingested_objects", "rescued_values"),
)
GOLD = (
    *("activity_engagement_metrics", "activity_popularity_daily"),
    *("q1_completion_rate", "q2_price_tier_engagement", "q3_subscription_impact"),
)


def the_manifest(lake: Path) -> dict[str, Any]:
    return json.loads((lake / "manifest.json").read_text())


def the_files(lake: Path, table: str) -> list[str]:
    """The files of a table, each as the manifest says."""
    files = [file for file in the_manifest(lake)["files"] if file["table"] == table]
    for file in files:
        content = (lake / file["path"]).read_bytes()
        assert len(content) == file["bytes"]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
    return [str(lake / file["path"]) for file in files]


def the_rows(lake: Path, table: str) -> list[tuple[Any, ...]]:
    files = the_files(lake, table)
    if not files:
        return []
    return duckdb.sql(f"SELECT * FROM read_parquet({files}) ORDER BY ALL").fetchall()


def assert_published(project) -> None:
    """The lakes hold the rows of the tables, and no file that nobody names."""
    for name, tables in (("02_bronze", BRONZE), ("03_gold", GOLD)):
        lake = project.folder / name
        manifest = the_manifest(lake)
        assert set(manifest["tables"]) == set(tables)
        for table in tables:
            assert the_rows(lake, table) == project.table(table), table
        present = {str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file()}
        known = [*manifest["files"], *manifest["superseded"]]
        assert present <= {"manifest.json", *(file["path"] for file in known)}


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


def paths(project, lake: str) -> set[str]:
    return {file["path"] for file in the_manifest(project.folder / lake)["files"]}
