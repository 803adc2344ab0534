"""Bronze comes back from its published files alone, and everything goes on from there."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from kedro.io import DatasetError
from pyarrow import parquet

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.raw import lines as line_cutting
from published import (
    BRONZE,
    assert_published,
    deliver_a_day,
    log_of,
    publish_a_day,
    the_files,
    the_pointer,
    versions,
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
    published = versions(project.folder / "02_bronze")
    lose_everything_but_the_lake(project)

    project.run("restore")
    project.run()

    assert project.snapshot() == before
    assert versions(project.folder / "02_bronze") == published, "nothing is written again"
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


def test_a_lake_of_the_version_before_says_who_can_restore_it(project):
    (project.folder / "02_bronze").mkdir()
    (project.folder / "02_bronze" / "manifest.json").write_text('{"format": 1}')

    with pytest.raises(DatasetError, match="is of the version before, which can restore it"):
        project.run("restore")


def _of(lake: Path, table: str) -> Path:
    return Path(the_files(lake, table)[0])


def _publish_as_another_version(lake: Path) -> None:
    pointer = the_pointer(lake)
    pointer["tables"]["bronze_users"]["columns"] += 1
    (lake / "publication.json").write_text(json.dumps(pointer))


def _swap_rows(lake: Path) -> None:
    """Other rows in a file, so many as before."""
    for table in "bronze_users", "quarantined_lines":
        file = _of(lake, table)
        rows = parquet.read_table(file)
        texts = {"bronze_users": "country_code", "quarantined_lines": "reason"}
        at = rows.column_names.index(texts[table])
        parquet.write_table(rows.set_column(at, rows.field(at), pa.array(["xx"])), file)
        _log_of_size(lake, table)


def _log_of_size(lake: Path, table: str) -> None:
    """Have the log say that the file is as large as it is, and has so many rows."""
    size, rows = _of(lake, table).stat().st_size, parquet.read_metadata(_of(lake, table)).num_rows
    stats = json.dumps({"numRecords": rows})
    _edit_added(lake, table, lambda added: added | {"size": size, "stats": stats})


def _edit_added(lake: Path, table: str, edit) -> None:
    entries = log_of(lake, table, 0)
    for entry in entries:
        if "add" in entry:
            entry["add"] = edit(entry["add"])
    log = lake / table / "_delta_log" / f"{0:020}.json"
    log.write_text("\n".join(map(json.dumps, entries)))


def _point_outside(lake: Path, path: str) -> None:
    shutil.copyfile(_of(lake, "bronze_users"), lake.parent / "outside.parquet")
    _edit_added(lake, "bronze_users", lambda added: added | {"path": path})


def _link_outside(lake: Path) -> None:
    inside = _of(lake, "bronze_users")
    inside.rename(lake.parent / "outside.parquet")
    inside.symlink_to(lake.parent / "outside.parquet")


def _swell(lake: Path) -> None:
    """A small file of rows that are gigabytes of text."""
    file = _of(lake, "bronze_users")
    rows = parquet.read_table(file)
    at = rows.column_names.index("country_code")
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * (1 << 20)])
    many = pa.concat_tables([rows] * 3000).set_column(at, "country_code", text)
    parquet.write_table(many, file, compression="zstd", store_schema=False)
    assert file.stat().st_size < 1 << 17
    _log_of_size(lake, "bronze_users")


NOT_PUBLISHED = r"bronze_users/part-\S+ is not what was published"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda lake: _of(lake, "bronze_users").unlink(), "is missing: bring the file back"),
        (
            lambda lake: _of(lake, "bronze_users").write_bytes(
                _of(lake, "bronze_users").read_bytes()[:-1]
            ),
            NOT_PUBLISHED,
        ),
        (_swap_rows, NOT_PUBLISHED),
        (_swell, NOT_PUBLISHED),
        (_publish_as_another_version, "bronze_users was published by another version"),
        (lambda lake: _point_outside(lake, "../../outside.parquet"), "outside its folder"),
        (lambda lake: _point_outside(lake, "%2e%2e/%2E./outside.parquet"), "outside its folder"),
        (
            lambda lake: _point_outside(lake, f"file://{lake.parent}/outside.parquet"),
            "outside its folder",
        ),
        (
            lambda lake: _point_outside(lake, f"{lake.parent}/outside.parquet"),
            "outside its folder",
        ),
        (_link_outside, "outside.parquet lies outside "),
        (
            lambda lake: shutil.rmtree(lake / "bronze_users" / "_delta_log"),
            "the log of .*bronze_users cannot be read",
        ),
    ],
)
def test_a_damaged_lake_is_not_restored_from(published, harm, sentence):
    lose_everything_but_the_lake(published)
    harm(published.folder / "02_bronze")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(DatasetError, match=sentence):
        published.run("restore")

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 << 20, "kB"
    tables = {name for (name,) in published.rows("SELECT table_name FROM duckdb_tables()")}
    assert not tables & set(BRONZE)


def test_rows_of_a_lake_of_another_engine_are_counted(published, caplog):
    before = published.snapshot()
    lose_everything_but_the_lake(published)
    lake = published.folder / "02_bronze"
    (lake / "publication.json").write_text(json.dumps(the_pointer(lake) | {"hashing": 1}))

    published.run("restore")
    published.run()

    assert "rows are counted, not compared" in caplog.text
    assert published.snapshot() == before
    assert_published(published)
