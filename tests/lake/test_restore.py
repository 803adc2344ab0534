"""Bronze comes back from its published files alone, and everything goes on from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders import an_event_record
from published import BRONZE, assert_published, deliver_a_day, the_files

pytestmark = pytest.mark.slow


def lose_everything_but_the_lake(project) -> None:
    project.database.unlink()
    (project.folder / "lingokids-gold.duckdb").unlink()
    for dataset in ("events", "users", "activities"):
        shutil.rmtree(project.folder / "raw" / dataset)
        (project.folder / "raw" / dataset).mkdir()


def deliver_a_history(project) -> None:
    """Three loads, with late, repeated, corrected and broken lines."""
    deliver_a_day(project, 5)
    project.run()
    corrected = an_event_record(105, occurred_at="2021-01-02 10:00:00.000")
    deliver_a_day(project, 7, corrected, an_event_record(3, name="activity_enter"))
    project.run()
    deliver_a_day(project, 6, an_event_record(107), month=2)
    project.run()


@pytest.fixture
def grown(project_after):
    """A project that has taken in and published the history."""
    return project_after("three-loads", deliver_a_history)


def test_the_warehouse_is_rebuilt_from_published_bronze_alone(grown):
    project = grown
    before = project.snapshot()
    lose_everything_but_the_lake(project)

    project.run("restore")
    project.run()

    assert project.snapshot() == before
    assert_published(project)


def test_tables_without_a_row_are_restored_too(begun_project):
    project = begun_project
    before = project.snapshot()
    lose_everything_but_the_lake(project)

    project.run("restore")
    project.run()

    assert project.snapshot() == before


def test_deliveries_go_on_after_a_restore(grown):
    project = grown
    shutil.copytree(project.folder / "raw", project.folder / "kept", copy_function=shutil.copy2)
    lose_everything_but_the_lake(project)
    project.run("restore")
    project.run()
    shutil.rmtree(project.folder / "raw")
    (project.folder / "kept").rename(project.folder / "raw")

    project.run()  # raw objects that were taken in before are not taken in again
    assert project.rows("SELECT max(load_id) FROM ingested_objects") == [(3,)]
    deliver_a_day(project, 8, an_event_record(105))
    project.run()

    assert project.rows("SELECT max(load_id) FROM ingested_objects") == [(4,)]
    gone_on = project.snapshot(without_loads=True)
    assert_published(project)
    project.run(rebuild="raw")
    assert project.snapshot(without_loads=True) == gone_on


def test_a_warehouse_with_loads_is_not_restored_over(project):
    deliver_a_day(project, 5)
    project.run()
    before = project.snapshot()

    with pytest.raises(Exception, match="and restore fills an empty warehouse only"):
        project.run("restore")

    assert project.snapshot() == before


def test_a_lake_without_a_publication_is_not_restored_from(project):
    with pytest.raises(Exception, match="02_bronze has no publication of bronze_"):
        project.run("restore")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda file: file.unlink(), "is missing: bring the file back"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "is not what was published"),
    ],
)
def test_a_damaged_lake_is_not_restored_from(project, harm, sentence):
    deliver_a_day(project, 5)
    project.run()
    lose_everything_but_the_lake(project)
    harm(Path(the_files(project.folder / "02_bronze", "bronze_users")[0]))

    with pytest.raises(Exception, match=sentence):
        project.run("restore")

    tables = {name for (name,) in project.rows("SELECT table_name FROM duckdb_tables()")}
    assert not tables & set(BRONZE)
