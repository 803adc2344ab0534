"""The drill: everything is lost, and each way back gives the same tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from builders import a_user_record, an_activity_record, an_event_record
from conftest import Project
from minio_server import empty
from operators import ask

pytestmark = pytest.mark.slow


def take_in_a_history(project: Project) -> None:
    """Three loads: late, repeated, broken and unknown lines; a user who moves on."""
    deliver = project.deliver
    deliver("activities", "c", [an_activity_record()])
    deliver("users", "u", [a_user_record()])
    deliver("events", "a", [an_event_record(1), an_event_record(2, user_id="nobody")])
    project.run()
    late = an_event_record(3, occurred_at="2021-01-02 10:00:00.000", guest="unknown")
    deliver("events", "b", [late, an_event_record(1)])
    project.run()
    assert ask(project, "backup").exit_code == 0
    deliver("users", "v", [a_user_record(trial_start_at="2021-01-01 00:00:00")])
    deliver("events", "c", [an_event_record(4, occurred_at="2021-01-07 10:00:00.000")])
    project.run()


def lose(project: Project, *names: str) -> None:
    """Delete files and folders; raw objects by their dataset."""
    for name in names:
        for path in project.folder.glob(name):
            (shutil.rmtree if path.is_dir() else type(path).unlink)(path)


def _raw(project: Project) -> None:
    for dataset in "events", "users", "activities":
        lose(project, f"raw/{dataset}/*")


def from_a_backup(project: Project, lose_lake: Callable[[], None], _: Callable[[], None]) -> None:
    lose_lake()
    done = ask(project, "backup", "restore")
    assert done.exit_code == 0, done.output
    project.run()


def from_the_lake(project: Project, _: Callable[[], None], lose_raw: Callable[[], None]) -> None:
    lose(project, "10_backups")
    lose_raw()
    project.run("restore")
    project.run()


def from_raw(project: Project, lose_lake: Callable[[], None], _: Callable[[], None]) -> None:
    lose(project, "10_backups")
    lose_lake()
    project.run()


WAYS = pytest.mark.parametrize("come_back", [from_a_backup, from_the_lake, from_raw])


@WAYS
def test_everything_lost_comes_back_from_folders(project_after, come_back):
    project = project_after("three-loads-backed-up", take_in_a_history)
    before = project.snapshot(without_loads=True)
    lose(project, "*.duckdb", "08_reporting", ".viz/test")

    come_back(project, lambda: lose(project, "0[23]_*"), lambda: _raw(project))

    assert project.snapshot(without_loads=True) == before
    assert all(before[name] for name in ("stg_events", "user_journeys", "quarantined_lines"))


@pytest.mark.minio
def test_everything_lost_comes_back_from_buckets_by_one_way_after_the_other(minio_project):
    project, files = minio_project, minio_project.server.filesystem
    take_in_a_history(project)
    _backups_in_a_bucket_are_kept_checked_and_restored(project)
    before = project.snapshot(without_loads=True)

    for come_back in from_a_backup, from_raw, from_the_lake:  # which loses raw
        lose(project, "*.duckdb", "08_reporting*", ".viz/minio")
        come_back(
            project,
            lambda: [empty(files, bucket) for bucket in ("bronze", "gold")],
            lambda: [empty(files, f"raw-{name}") for name in ("events", "users", "activities")],
        )
        assert project.snapshot(without_loads=True) == before, come_back.__name__


def _backups_in_a_bucket_are_kept_checked_and_restored(project) -> None:
    files = project.server.filesystem
    place = "s3://gold/apart"  # any bucket that the credentials may write
    before = project.snapshot()
    for _ in range(2):
        made = ask(project, "backup", "--to", place)
        assert made.exit_code == 0, made.output
    there = [name for name in files.find("gold/apart") if name.endswith(".duckdb")]
    assert len(there) == 1, "of one day the last"
    lose(project, "*.duckdb")

    restored = ask(project, "backup", "restore", "--from", place)

    assert restored.exit_code == 0, restored.output
    assert project.snapshot() == before
    files.pipe_file(there[0], files.cat_file(there[0])[:-1])
    damaged = ask(project, "backup", "restore", "--from", place, "--replace")
    assert (damaged.exit_code, "is damaged: restore another" in damaged.output) == (1, True)
    nowhere = ask(project, "backup", "--to", "s3://not-there")
    assert nowhere.exit_code == 1
    assert "not-there" in nowhere.output
    assert project.server.password not in nowhere.output
