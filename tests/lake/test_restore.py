"""Bronze comes back from its published files alone, and everything goes on from there."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest
from kedro.io import DatasetError
from pyarrow import parquet

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.lake.lake import Lake
from lingokids.storage.raw import lines as line_cutting
from published import (
    BRONZE,
    assert_published,
    deliver_a_day,
    publish_a_day,
    the_files,
    the_manifest,
)

pytestmark = pytest.mark.slow


def lose_the_warehouse(project) -> None:
    project.database.unlink()
    (project.folder / "lingokids-gold.duckdb").unlink()


def lose_everything_but_the_lake(project) -> None:
    lose_the_warehouse(project)
    for dataset in ("events", "users", "activities"):
        shutil.rmtree(project.folder / "raw" / dataset)
        (project.folder / "raw" / dataset).mkdir()


def deliver_a_history(project) -> None:
    """Two loads with late, repeated, corrected, broken and too long lines; an object sent again."""
    long = an_event_record(9, note="long " * 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_cutting, "LONGEST_LINE", 500)
        deliver_a_day(project, 5, long)
        deliver_a_day(project, 7, long | {"name": "activity_enter"})
        project.run()
    deliver_a_day(project, 7, an_event_record(105, occurred_at="2021-01-02 10:00:00.000"), long)
    deliver_a_day(project, 6, an_event_record(107), month=2)
    project.run()


@pytest.fixture
def grown(project_after):
    """A project that has taken in and published the history."""
    return project_after("two-loads", deliver_a_history)


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _replay(project) -> None:
    project.run("replay")
    assert project.rows("SELECT load_id FROM bronze_events WHERE past_reason IS NOT NULL")


def _deliver_a_broken_line(project) -> None:
    project.deliver("events", "broken.jsonl", b"{\n")


@pytest.mark.parametrize("do_last", [_replay, _deliver_a_broken_line])
def test_the_warehouse_is_rebuilt_from_published_bronze_alone(grown, do_last):
    project = grown
    do_last(project)
    project.run()
    before = project.snapshot()
    (last_load,) = _greatest_loads(project)
    manifest = (project.folder / "02_bronze" / "manifest.json").read_bytes()
    lose_everything_but_the_lake(project)

    project.run("restore")
    project.run()

    assert project.snapshot() == before
    assert (project.folder / "02_bronze" / "manifest.json").read_bytes() == manifest
    assert_published(project)
    deliver_a_day(project, 8, an_event_record(105))
    project.run()
    assert _greatest_loads(project) > [last_load]
    assert_published(project)


def _greatest_loads(project) -> list[int]:
    tables = " UNION ALL ".join(f"SELECT load_id FROM {table}" for table in BRONZE)
    return [load for (load,) in project.rows(f"SELECT max(load_id) FROM ({tables})")]


def test_objects_that_were_taken_in_before_are_not_read_again(grown, caplog):
    before = grown.snapshot()
    lose_the_warehouse(grown)

    grown.run("restore")
    grown.run()

    assert grown.snapshot() == before
    caplog.clear()
    grown.run()
    assert "Nothing new: 0 objects read, 0 rows written." in caplog.text


def test_tables_without_a_row_are_restored_too(begun_project):
    before = begun_project.snapshot()
    lose_everything_but_the_lake(begun_project)

    begun_project.run("restore")
    begun_project.run()

    assert begun_project.snapshot() == before


def test_a_warehouse_with_loads_is_not_restored_over(published):
    before = published.snapshot()

    with pytest.raises(LingokidsError, match="and restore fills an empty warehouse only"):
        published.run("restore")

    assert published.snapshot() == before


def test_a_lake_without_a_publication_is_not_restored_from(project):
    with pytest.raises(DatasetError, match="02_bronze has no publication of bronze_"):
        project.run("restore")


def _publish_as_another_version(lake: Path) -> None:
    manifest = the_manifest(lake)
    del manifest["tables"]["bronze_users"]["is_current"]
    (lake / "manifest.json").write_text(json.dumps(manifest))


def _users(lake: Path) -> Path:
    return Path(the_files(lake, "bronze_users")[0])


def _unpack_to_more(lake: Path) -> None:
    """Some kilobytes that unpack to 200 megabytes, with all that the manifest says of it."""
    users = _users(lake)
    table = pa.table({"zeros": ["0" * (200 << 20)]})
    parquet.write_table(table, users, compression="zstd", write_statistics=False)
    manifest, content = the_manifest(lake), users.read_bytes()
    (stated,) = (file for file in manifest["files"] if file["table"] == "bronze_users")
    stated |= {"bytes": len(content), "rows": 1, "sha256": sha256(content).hexdigest()}
    assert len(content) < 1 << 16
    (lake / "manifest.json").write_text(json.dumps(manifest))


def _lie_elsewhere(lake: Path) -> None:
    users = _users(lake)
    users.rename(lake.parent / "users.parquet")
    users.symlink_to(lake.parent / "users.parquet")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda lake: _users(lake).unlink(), "is missing: bring the file back"),
        (
            lambda lake: _users(lake).write_bytes(_users(lake).read_bytes()[:-1]),
            "is not what was published",
        ),
        (_publish_as_another_version, "bronze_users was published by another version"),
        (_unpack_to_more, "is not what was published"),
        (_lie_elsewhere, "lies outside .*02_bronze: it is not read"),
    ],
)
def test_a_damaged_lake_is_not_restored_from(published, harm, sentence):
    lose_everything_but_the_lake(published)
    harm(published.folder / "02_bronze")

    with pytest.raises(DatasetError, match=sentence):
        published.run("restore")

    tables = {name for (name,) in published.rows("SELECT table_name FROM duckdb_tables()")}
    assert not tables & set(BRONZE)


SQL = "'); COPY (SELECT 1) TO 'planted.csv'; --"
NO_MANIFEST = r"manifest.json is not a manifest that this version can read"


@pytest.mark.parametrize(
    "change",
    [
        *(
            lambda manifest, path=path: manifest["files"][0].update(path=path)
            for path in ("../a.parquet", "/etc/a.parquet", "a/../../b.parquet", "s3://a/b.parquet")
        ),
        lambda manifest: manifest["files"][0].update(table=SQL),
        lambda manifest: manifest["files"][0].update(cells=[[SQL]]),
        lambda manifest: manifest["files"][0].update(cells=[["2021-01-05", SQL]]),
        lambda manifest: manifest["files"][0].update(rows=SQL),
        lambda manifest: manifest["files"][0].update(more=SQL),
        lambda manifest: manifest["tables"].update({SQL: {}}),
        lambda manifest: manifest["reflects"].update({SQL: {}}),
        lambda manifest: manifest["reflects"]["a"].update({SQL: "2021"}),
        lambda manifest: manifest["reflects"]["a"].update({"2021-01-32": "2021"}),
        lambda manifest: manifest["superseded"].append({"path": "../x.parquet", "since": "2021"}),
        lambda manifest: manifest["superseded"].append({"path": "a/x.parquet", "since": SQL}),
        lambda manifest: manifest.update(more="x" * (65 << 20)),
    ],
)
def test_what_is_read_back_from_a_lake_is_no_statement_and_no_path(tmp_path, change):
    file = {"table": "a", "path": "a/b.parquet", "rows": 1, "bytes": 1, "sha256": "0"}
    manifest = {
        **{"format": 1, "published_at": "2021", "run_id": "2021", "superseded": []},
        **{"tables": {"a": {}}, "reflects": {"a": {"2021-01-05": "2021", "7": "2021"}}},
        "files": [file | {"cells": [["2021-01-05", 7], ["2021-01-05"]]}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert Lake(str(tmp_path)).manifest().files[0].cells == [("2021-01-05", 7), ("2021-01-05",)]
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(LingokidsError, match=NO_MANIFEST):
        Lake(str(tmp_path)).manifest()


def test_neither_a_run_nor_a_restore_does_what_a_manifest_says_besides(published):
    place = published.folder / "02_bronze"
    manifest = the_manifest(place)
    manifest["reflects"]["bronze_users"][SQL] = manifest["run_id"]
    (place / "manifest.json").write_text(json.dumps(manifest))
    deliver_a_day(published, 6)

    with pytest.raises(LingokidsError, match=NO_MANIFEST):
        published.run()
    lose_everything_but_the_lake(published)
    with pytest.raises(DatasetError, match=NO_MANIFEST):
        published.run("restore")

    assert not list(Path().rglob("planted.csv")) + list(published.folder.rglob("planted.csv"))
