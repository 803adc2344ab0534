"""What is published: every row, no more files than are owed, and never half of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record

BRONZE = ("bronze_events", "bronze_users", "bronze_activities", "quarantined_lines")
BRONZE = (*BRONZE, "ingested_objects")
GOLD = ("activity_engagement_metrics", "activity_popularity_daily", "q1_completion_rate")
GOLD = (*GOLD, "q2_price_tier_engagement", "q3_subscription_impact")


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
        assert present == {"manifest.json", *(file["path"] for file in known)}


def deliver_a_day(project, day: int, *more: dict[str, Any], month: int = 1) -> None:
    """A day's events, a broken line, a user and an activity that change."""
    occurred = f"2021-{month:02}-{day:02} 10:00:00.000"
    landed = f"2021-{month + 1:02}-{day:02} 00:00:00"
    number = 100 * month + day
    events = [an_event_record(number, occurred_at=occurred), *more]
    project.deliver("events", f"{number}.jsonl", events, landed)
    project.deliver("events", f"{number}-broken.jsonl", b"{\n", landed)
    user = a_user_record(country_code=["es", "fr"][day % 2])
    project.deliver("users", f"{number}.jsonl", [user], landed)
    activity = an_activity_record(name=f"Fish {day}")
    project.deliver("activities", f"{number}.jsonl", [activity], landed)


def paths(project, lake: str) -> set[str]:
    return {file["path"] for file in the_manifest(project.folder / lake)["files"]}


def test_bronze_and_gold_are_published_row_for_row(sample_project):
    assert_published(sample_project)


def test_each_run_publishes_what_changed_and_leaves_the_other_files(project):
    deliver_a_day(project, 5)
    deliver_a_day(project, 6, month=3)
    project.run()
    assert_published(project)
    bronze, gold = paths(project, "02_bronze"), paths(project, "03_gold")

    late = an_event_record(77, occurred_at="2021-01-09 10:00:00.000")
    project.deliver("events", "late.jsonl", [late], "2021-04-08 00:00:00")
    project.run()

    assert_published(project)
    new = paths(project, "02_bronze") - bronze
    assert bronze < paths(project, "02_bronze")
    assert {path.partition("-load-")[0] for path in new} == {
        "bronze_events/2021-04/2021-04-08",
        "ingested_objects/2021-04/2021-04-08",
    }
    assert all("-load-2-" in path for path in new)
    assert {path.rpartition("-")[0] for path in paths(project, "03_gold") - gold} == {
        "activity_engagement_metrics/2021-01/2021-01-09",
        "activity_popularity_daily/2021-01/2021-01-09",
    }
    assert gold < paths(project, "03_gold")


def test_a_corrected_day_replaces_the_file_it_is_in(project):
    deliver_a_day(project, 5)
    deliver_a_day(project, 6)
    project.run()
    before = paths(project, "03_gold")

    project.deliver("events", "late.jsonl", [an_event_record(77)], "2021-04-08 00:00:00")
    project.run()

    assert_published(project)
    assert {path.rpartition("-")[0] for path in before - paths(project, "03_gold")} == {
        "activity_engagement_metrics/2021-01/2021-01-05_2021-01-06",
        "activity_popularity_daily/2021-01/2021-01-05_2021-01-06",
    }


def test_a_run_with_nothing_new_publishes_nothing(project):
    deliver_a_day(project, 5)
    project.run()
    files = sorted(path for path in project.folder.glob("0*/**/*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in files]

    project.run()

    files = sorted(path for path in project.folder.glob("0*/**/*") if path.is_file())
    assert [(path, path.stat().st_mtime_ns) for path in files] == before


def test_pipelines_run_alone_leave_the_publication_to_the_next_one(project):
    deliver_a_day(project, 5)
    project.run()
    deliver_a_day(project, 7)
    for pipeline in ("ingestion", "staging", "enrichment", "marts"):
        project.run(pipeline)
    assert len(the_rows(project.folder / "02_bronze", "bronze_events")) == 1

    project.run("publication")

    assert_published(project)


def test_an_answer_rebuilt_under_other_parameters_is_published(project):
    deliver_a_day(project, 5)
    project.run()
    project.run("marts", os_names={"iOS": "Apple"}, window={"start": "2021-01-01"})
    project.run()

    assert_published(project)
    os_names = {row[2] for row in the_rows(project.folder / "03_gold", GOLD[0])}
    assert os_names == {"Apple"}


@pytest.mark.parametrize("rebuild", ["bronze", "raw"])
def test_a_rebuild_replaces_the_publication(project, rebuild):
    for day in (5, 6):
        deliver_a_day(project, day)
        project.run()

    project.run(rebuild=rebuild)

    assert_published(project)
    loads = the_manifest(project.folder / "02_bronze")["reflects"]["load_id"]
    assert set(loads) == ({"1"} if rebuild == "raw" else {"1", "2"})


def test_many_small_files_of_a_month_are_put_together(project):
    for day in range(1, 11):
        deliver_a_day(project, day)
        project.run()

    assert_published(project)
    files = [path for path in paths(project, "02_bronze") if path.startswith("bronze_events")]
    assert sorted(path.rpartition("-")[0] for path in files) == [
        "bronze_events/2021-02/2021-02-01_2021-02-09-load-1_9",
        "bronze_events/2021-02/2021-02-10-load-10",
    ]


def test_a_superseded_file_stays_for_the_grace_and_goes_after_it(project):
    deliver_a_day(project, 5)
    project.run()
    (old,) = the_files(project.folder / "03_gold", GOLD[0])
    project.deliver("events", "a.jsonl", [an_event_record(77)], "2021-04-08 00:00:00")
    project.run()
    assert Path(old).exists()

    manifest = project.folder / "03_gold" / "manifest.json"
    since = the_manifest(manifest.parent)["superseded"][0]["since"]
    manifest.write_text(manifest.read_text().replace(since, "2021-01-01T00:00:00+00:00"))
    project.deliver("events", "b.jsonl", [an_event_record(78)], "2021-04-09 00:00:00")
    project.run()

    assert not Path(old).exists()
    assert_published(project)


def test_a_file_that_a_killed_run_left_is_removed(project):
    deliver_a_day(project, 5)
    project.run()
    orphan = project.folder / "02_bronze" / "bronze_events" / "2021-02" / "orphan.parquet"
    orphan.write_bytes(b"half")
    (project.folder / "02_bronze" / ".writing").mkdir()

    deliver_a_day(project, 6)
    project.run()

    assert not orphan.exists()
    assert_published(project)


def test_a_lake_that_cannot_be_written_fails_the_run_but_not_its_tables(project):
    deliver_a_day(project, 5)
    (project.folder / "03_gold").write_text("in the way")

    with pytest.raises(Exception, match=r"The run is committed and its tables are up to date, but"):
        project.run()

    assert len(project.table("bronze_events")) == 1
    assert project.rows("SELECT status FROM runs") == [("succeeded",)]
    (project.folder / "03_gold").unlink()
    project.run()
    assert_published(project)


def test_a_new_warehouse_with_the_same_objects_replaces_the_publication(project):
    deliver_a_day(project, 5)
    project.run()
    deliver_a_day(project, 6)
    project.run()
    project.database.unlink()

    project.run()

    assert_published(project)


def test_a_new_warehouse_with_fewer_objects_leaves_the_publication(project):
    deliver_a_day(project, 5)
    project.run()
    before = (project.folder / "02_bronze" / "manifest.json").read_bytes()
    project.database.unlink()
    shutil.rmtree(project.folder / "raw" / "events")
    (project.folder / "raw" / "events").mkdir()

    with pytest.raises(Exception, match=r"holds 2 objects that lingokids.duckdb has not, such as"):
        project.run()

    assert (project.folder / "02_bronze" / "manifest.json").read_bytes() == before
    (project.folder / "02_bronze" / "manifest.json").unlink()
    project.run()
    for table in BRONZE:
        assert the_rows(project.folder / "02_bronze", table) == project.table(table)
