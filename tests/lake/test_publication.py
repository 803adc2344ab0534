"""What is published: every row, no more files than are owed, and no file that nobody needs."""

from __future__ import annotations

import json
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
    publish_a_day,
    the_files,
    the_manifest,
    the_rows,
)

pytestmark = pytest.mark.slow

_ROWS_OF_A_GROUP = 122_880  # DuckDB looks at a file's size after so many


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _send_again(project, day: int = 5) -> None:
    """Deliver the object of the fifth once more, with its event at another hour or day."""
    event = an_event_record(105, occurred_at=f"2021-01-{day:02} 11:00:00.000")
    project.deliver("events", "105.jsonl", [event], "2021-04-08 00:00:00")


def _files_in(project) -> list[tuple[Path, int]]:
    files = sorted(path for path in project.folder.glob("0[23]*/**/*") if path.is_file())
    return [(path, path.stat().st_mtime_ns) for path in files]


def test_bronze_and_gold_are_published_row_for_row(sample_project):
    assert_published(sample_project)


def test_a_run_publishes_what_changed_and_leaves_the_other_files(project):
    deliver_a_day(project, 5)
    deliver_a_day(project, 6)
    deliver_a_day(project, 6, month=3)
    project.run()
    bronze, gold = paths(project, "02_bronze"), paths(project, "03_gold")

    project.deliver("events", "late.jsonl", [an_event_record(77)], "2021-04-08 00:00:00")
    project.run()

    assert_published(project)
    assert bronze < paths(project, "02_bronze")
    assert {path.rpartition("-")[0] for path in paths(project, "02_bronze") - bronze} == {
        "bronze_events/2021-04/2021-04-08-load-2",
        "ingested_objects/2021-04/2021-04-08-load-2",
    }
    assert {path.rpartition("-")[0] for path in gold - paths(project, "03_gold")} == {
        "activity_engagement_metrics/2021-01/2021-01-05_2021-01-06",
        "activity_popularity_daily/2021-01/2021-01-05_2021-01-06",
    }


def test_a_load_whose_object_is_sent_again_is_published_again(published):
    before = paths(published, "02_bronze")
    _send_again(published)

    published.run()

    assert_published(published)
    replaced = before - paths(published, "02_bronze")
    assert {path.partition("/")[0] for path in replaced} == {"bronze_events", "ingested_objects"}


def test_a_day_that_is_empty_under_other_parameters_goes_from_the_lake(published):
    _send_again(published, day=6)

    published.run(os_names={"iOS": "Apple"})

    assert_published(published)
    (row,) = the_rows(published.folder / "03_gold", GOLD[0])
    assert (str(row[0]), row[2]) == ("2021-01-06", "Apple")


@pytest.mark.parametrize(("rebuild", "loads"), [("bronze", {"1", "2"}), ("raw", {"2"})])
def test_a_rebuild_publishes_the_loads_there_are(published, rebuild, loads):
    _send_again(published)

    published.run(rebuild=rebuild)

    assert_published(published)
    reflected = the_manifest(published.folder / "02_bronze")["reflects"]["ingested_objects"]
    assert set(reflected) == loads


def _make_older(lake: Path) -> None:
    """Write the manifest as the version before did: units by kind, and tables that are gone."""
    manifest = the_manifest(lake)
    by_table = manifest["reflects"]
    manifest["reflects"] = {
        "load_id": by_table.get("bronze_events", {}),
        "date": by_table.get(GOLD[0], {}),
        **{name: units for name, units in by_table.items() if name.startswith("q")},
    }
    gone = manifest["files"][0] | {"table": "unknown_keys", "path": "unknown_keys/a.parquet"}
    manifest["files"].append(gone)
    manifest["tables"]["unknown_keys"] = {"unknown_key": "string"}
    (lake / "unknown_keys").mkdir()
    (lake / gone["path"]).write_bytes(bytes(gone["bytes"]))
    (lake / "manifest.json").write_text(json.dumps(manifest))


def _make_with_other_columns(lake: Path) -> None:
    manifest = lake / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"load_id": "int', '"load": "int'))
    manifest.write_text(manifest.read_text().replace('"completion_rate": "float', '"rate": "float'))


@pytest.mark.parametrize("make", [_make_older, _make_with_other_columns])
@pytest.mark.parametrize("rebuild", [None, "raw"])
def test_a_publication_of_another_version_is_replaced(published, make, rebuild):
    for lake in "02_bronze", "03_gold":
        make(published.folder / lake)

    published.run(rebuild=rebuild)

    assert_published(published)


def test_a_run_with_nothing_new_publishes_nothing(published):
    before = _files_in(published)

    published.run()

    assert _files_in(published) == before


def test_a_pipeline_run_alone_leaves_the_publication_to_the_next_one(published):
    before = _files_in(published)
    deliver_a_day(published, 7)
    published.run("ingestion")
    assert _files_in(published) == before

    published.run("publication")

    assert_published(published)


def test_many_small_files_of_a_month_are_put_together(published, monkeypatch):
    monkeypatch.setattr("lingokids.storage.lake.publication._UNFULL_FILES", 1)
    deliver_a_day(published, 6)

    published.run()

    assert_published(published)
    files = {path for path in paths(published, "02_bronze") if path.startswith("bronze_events")}
    assert {path.rpartition("-")[0] for path in files} == {
        "bronze_events/2021-02/2021-02-05_2021-02-06-load-1_2"
    }


def test_the_files_of_one_day_stay_and_go_together(project, monkeypatch):
    def deliver(numbers, landed_at):
        records = [an_activity_record(activity_id=f"activity-{n}") for n in numbers]
        project.deliver("activities", f"{landed_at}.jsonl", records, f"{landed_at} 00:00:00")

    def files():
        names = the_files(project.folder / "02_bronze", "bronze_activities")
        return {file: Path(file).stat().st_mtime_ns for file in names}

    monkeypatch.setattr("lingokids.storage.lake.parquet._FILE_BYTES", 1)
    deliver(range(_ROWS_OF_A_GROUP + 10_000), "2021-02-05")
    project.run()
    of_the_day = files()
    assert len(of_the_day) == 2

    with monkeypatch.context() as full:
        full.setattr("lingokids.storage.lake.publication._UNFULL_FILES", 1)
        defaults = ParquetDataset.__init__.__wrapped__.__kwdefaults__
        full.setitem(defaults, "rows_a_file", _ROWS_OF_A_GROUP)
        deliver([1], "2021-02-06")
        project.run()
    assert of_the_day.items() < files().items(), "a full day is left alone"

    Path(min(of_the_day, key=lambda file: Path(file).stat().st_size)).unlink()
    project.run()
    assert_published(project)


def test_a_superseded_file_goes_after_the_grace_and_one_of_a_killed_run_at_once(published):
    project, lake = published, published.folder / "03_gold"
    (old,) = the_files(lake, GOLD[0])
    orphan = Path(old).parent / "orphan.parquet"
    orphan.write_bytes(b"half")
    (lake / ".writing").mkdir()
    project.deliver("events", "a.jsonl", [an_event_record(77)], "2021-04-08 00:00:00")
    project.run()
    assert Path(old).exists()
    assert not orphan.exists()

    manifest = lake / "manifest.json"
    since = the_manifest(lake)["superseded"][0]["since"]
    manifest.write_text(manifest.read_text().replace(since, "2021-01-01T00:00:00+00:00"))
    project.deliver("events", "b.jsonl", [an_event_record(78)], "2021-04-09 00:00:00")
    project.run()

    assert not Path(old).exists()
    assert_published(project)


def test_a_lake_that_cannot_be_written_fails_the_run_but_not_its_tables_nor_the_other(project):
    deliver_a_day(project, 5)
    (project.folder / "02_bronze").write_text("in the way")

    with pytest.raises(LingokidsError, match=r"is committed .* but .*02_bronze is not \(.*\)"):
        project.run()

    assert len(project.table("bronze_events")) == 1
    assert project.rows("SELECT status FROM runs") == [("succeeded",)]
    assert the_rows(project.folder / "03_gold", GOLD[0]) == project.table(GOLD[0])
    (project.folder / "02_bronze").unlink()
    project.run()
    assert_published(project)


def test_files_that_vanished_are_written_anew_by_the_next_run(published, caplog):
    gold = the_manifest(published.folder / "03_gold")["files"]
    (ledger,) = the_files(published.folder / "02_bronze", "ingested_objects")
    for file in ledger, *(published.folder / "03_gold" / gold[at]["path"] for at in (0, -1)):
        Path(file).unlink()
    _send_again(published)  # of what it sends again, the lake's ledger is gone

    published.run()

    assert "02_bronze: 1 files that the manifest names are gone, such as ingested" in caplog.text
    assert f"2 files that the manifest names are gone, such as {gold[0]['path']}" in caplog.text
    assert_published(published)


def test_a_new_warehouse_with_the_same_objects_replaces_the_publication(published):
    published.database.unlink()
    deliver_a_day(published, 6)

    published.run()

    assert_published(published)


def test_a_new_warehouse_with_fewer_objects_leaves_the_publication(published):
    project, lake = published, published.folder / "02_bronze"
    deliver_a_day(project, 6)
    project.run()
    project.database.unlink()
    for path in (project.folder / "raw" / "events").glob("106*"):
        path.unlink()

    for make_manifest in (lambda _: None, _make_older):
        make_manifest(lake)
        before = (lake / "manifest.json").read_bytes()
        with pytest.raises(LingokidsError, match=r"2 objects that lingokids.duckdb has not, such"):
            project.run()
        assert (lake / "manifest.json").read_bytes() == before

    (lake / "manifest.json").unlink()
    project.run()
    for table in BRONZE:
        assert the_rows(lake, table) == project.table(table)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"format": 1, "files": [], "tables": []}', '{"format": 1, "files": [{}]}'],
)
def test_a_manifest_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(LingokidsError, match=r"/manifest.json is not a manifest that this"):
        Lake(str(tmp_path)).manifest()


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

    left = published.folder / f".fetched-{(1 << 22) + 1}-left"  # of no process: beyond the last
    left.mkdir()
    with KedroSession.create(project_path=published.folder, env="test") as session:
        catalog = session.load_context().catalog
        rows = catalog.load("published_bronze_events").to_pyarrow()
        preview = catalog.get("published_bronze_events").preview()

    assert rows.num_rows == 1
    assert preview["data"][0][1] == 1
    assert not left.exists()
