"""What is published: every row, no more files than are owed, and no file that nobody needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from builders import an_activity_record, an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.lake.lake import Lake
from lingokids.storage.lake.manifest import Manifest
from lingokids.storage.lake.parquet import ParquetDataset
from published import (
    BRONZE,
    GOLD,
    assert_published,
    deliver_a_day,
    paths,
    the_files,
    the_manifest,
    the_rows,
)

pytestmark = pytest.mark.slow

_ROWS_OF_A_GROUP = 122_880  # DuckDB looks at a file's size after so many


def _publish_a_day(project):
    deliver_a_day(project, 5)
    project.run()


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", _publish_a_day)


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


def test_a_run_with_nothing_new_publishes_nothing(published):
    project = published
    files = sorted(path for path in project.folder.glob("0*/**/*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in files]

    project.run()

    files = sorted(path for path in project.folder.glob("0*/**/*") if path.is_file())
    assert [(path, path.stat().st_mtime_ns) for path in files] == before


def test_pipelines_run_alone_leave_the_publication_to_the_next_one(published):
    project = published
    deliver_a_day(project, 7)
    for pipeline in ("ingestion", "staging", "enrichment", "marts"):
        project.run(pipeline)
    assert len(the_rows(project.folder / "02_bronze", "bronze_events")) == 1

    project.run("publication")

    assert_published(project)


def test_an_answer_rebuilt_under_other_parameters_is_published(published):
    project = published
    project.run("marts", os_names={"iOS": "Apple"})
    project.run("publication")

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


def test_many_small_files_of_a_month_are_put_together(project, monkeypatch):
    monkeypatch.setattr("lingokids.storage.lake.publication._UNFULL_FILES", 3)
    for day in range(1, 6):
        deliver_a_day(project, day)
        project.run()

    assert_published(project)
    files = [path for path in paths(project, "02_bronze") if path.startswith("bronze_events")]
    assert sorted(path.rpartition("-")[0] for path in files) == [
        "bronze_events/2021-02/2021-02-01_2021-02-04-load-1_4",
        "bronze_events/2021-02/2021-02-05-load-5",
    ]


@pytest.fixture
def split(project, monkeypatch):
    """A project whose activities of one day are more than go into a file."""
    monkeypatch.setattr("lingokids.storage.lake.parquet._FILE_BYTES", 1)
    _deliver_activities(project, range(_ROWS_OF_A_GROUP + 10_000), "2021-02-05 00:00:00")
    project.run()
    assert_published(project)
    assert len(_files_of_activities(project)) == 2
    return project


def _deliver_activities(project, numbers, landed_at):
    records = [an_activity_record(activity_id=f"activity-{n}") for n in numbers]
    project.deliver("activities", f"{landed_at[:10]}.jsonl", records, landed_at)


def _files_of_activities(project):
    return the_files(project.folder / "02_bronze", "bronze_activities")


def test_the_files_of_one_day_are_replaced_together(split):
    Path(min(_files_of_activities(split), key=lambda file: Path(file).stat().st_size)).unlink()
    deliver_a_day(split, 6)
    split.run()

    published = the_rows(split.folder / "02_bronze", "bronze_activities")
    assert published == split.table("bronze_activities")


def test_a_full_day_of_several_files_is_left_alone(split, monkeypatch):
    monkeypatch.setattr("lingokids.storage.lake.publication._UNFULL_FILES", 1)
    defaults = ParquetDataset.__init__.__wrapped__.__kwdefaults__
    monkeypatch.setitem(defaults, "rows_a_file", _ROWS_OF_A_GROUP)
    before = {file: Path(file).stat().st_mtime_ns for file in _files_of_activities(split)}
    _deliver_activities(split, [1], "2021-02-06 00:00:00")
    split.run()

    assert_published(split)
    assert set(before) < set(_files_of_activities(split))
    assert {file: Path(file).stat().st_mtime_ns for file in before} == before


def test_a_superseded_file_stays_for_the_grace_and_goes_after_it(published):
    project = published
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


def test_a_file_that_a_killed_run_left_is_removed(published):
    project = published
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


def test_one_lake_that_cannot_be_written_leaves_the_other_to_be_published(project):
    deliver_a_day(project, 5)
    (project.folder / "02_bronze").write_text("in the way")

    with pytest.raises(Exception, match=r"02_bronze is not \(.*\): readers there see the pub"):
        project.run()

    assert the_rows(project.folder / "03_gold", GOLD[0]) == project.table(GOLD[0])


@pytest.mark.parametrize(("lake", "number"), [("02_bronze", 1), ("03_gold", 0), ("03_gold", -1)])
def test_a_file_that_vanished_is_written_anew_by_the_next_run(published, lake, number, caplog):
    project = published
    path = the_manifest(project.folder / lake)["files"][number]["path"]
    (project.folder / lake / path).unlink()

    project.run()

    assert f"1 files that the manifest names are gone, such as {path}" in caplog.text
    assert_published(project)


def test_a_new_warehouse_with_the_same_objects_replaces_the_publication(published):
    project = published
    deliver_a_day(project, 6)
    project.run()
    project.database.unlink()

    project.run()

    assert_published(project)


def test_a_new_warehouse_with_fewer_objects_leaves_the_publication(published):
    project = published
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


def test_a_publication_with_other_columns_is_replaced(published):
    project = published
    manifest = project.folder / "03_gold" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"completion_rate": "float64"', '"x": "int8"'))

    project.run()

    assert "completion_rate" in the_manifest(manifest.parent)["tables"][GOLD[0]]
    assert_published(project)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"format": 1, "files": [], "tables": []}', '{"format": 1, "files": [{}]}'],
)
def test_a_manifest_that_cannot_be_read_is_named(project, content):
    deliver_a_day(project, 5)
    (project.folder / "03_gold").mkdir()
    (project.folder / "03_gold" / "manifest.json").write_text(content)

    with pytest.raises(Exception, match=r"03_gold/manifest.json is not a manifest that this"):
        project.run()

    assert project.rows("SELECT status FROM runs") == [("succeeded",)]


def test_an_empty_warehouse_publishes_nothing(project):
    project.run("publication")

    assert not list(project.folder.glob("0*/manifest.json"))


def test_of_two_who_publish_at_once_one_is_told(tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    both_saw = lake.manifest()
    lake.replace(both_saw, Manifest("2021-01-01", "one"), [])

    with pytest.raises(LingokidsError, match="another run has published there meanwhile"):
        lake.replace(both_saw, Manifest("2021-01-01", "other"), [])

    assert lake.manifest().run_id == "one"
    lake.replace(lake.manifest(), Manifest("2021-01-02", "other"), [])
    assert lake.manifest().run_id == "other"


def test_a_published_table_is_read_through_the_catalog(published):
    from kedro.framework.session import KedroSession

    project = published
    killed = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    left = project.folder / f".fetched-{killed.stdout.strip()}-left"
    left.mkdir()
    with KedroSession.create(project_path=project.folder, env="test") as session:
        catalog = session.load_context().catalog
        published = catalog.load("published_bronze_events").to_pyarrow()
        preview = catalog.get("published_bronze_events").preview()

    assert published.num_rows == 1
    assert preview["data"][0][1] == 1
    assert not left.exists()
