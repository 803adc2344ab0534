"""Nobody comes back by a backup that was made before they were erased."""

from __future__ import annotations

import json
import shutil

import pytest

from conftest import Project
from lingokids.errors import LingokidsError
from lingokids.operations import recovery
from lingokids.storage import backups
from operators import Later, ask, back_up, backup_files
from people import CHILD, OTHER, USER, ask_to_erase, deliver_a_family, found_in

pytestmark = pytest.mark.slow


def _take_in_a_family(project: Project) -> None:
    deliver_a_family(project)
    project.run()
    back_up(project)


@pytest.fixture
def family(project_after):
    """A family and another, taken in and backed up."""
    return project_after("a-family-backed-up", _take_in_a_family)


@pytest.fixture
def without_the_user(family, project_after):
    """The same after the user was erased; the backup has them."""

    def erase(project: Project) -> None:
        shutil.rmtree(project.folder)
        family.folder.rename(project.folder)
        ask_to_erase(project, user=USER)

    return project_after("a-family-backed-up-and-erased", erase)


def _outside_raw(project: Project) -> set[str]:
    return {file for file in found_in(project.folder, USER) if not file.startswith("raw/")}


def test_nobody_comes_back_by_a_backup_of_before(family, caplog):
    assert any(file.startswith("10_backups") for file in _outside_raw(family))
    said = ask_to_erase(family, user=USER)
    assert "made before, which may hold the id: 1." in said[-1], "they are named"
    assert all(file.startswith("10_backups/") for file in _outside_raw(family))
    erased = family.snapshot()
    assert "made before an erasure" in ask(family, "backup", "list").stdout

    done = ask(family, "backup", "restore", "--replace")

    assert done.exit_code == 0, done.output
    assert "Someone was erased since" in done.stdout
    assert all(file.startswith("10_backups/") for file in _outside_raw(family))
    assert family.snapshot() == erased
    assert OTHER in str(family.table("stg_users"))


def test_a_restore_that_is_killed_before_it_takes_them_out_is_told_until_a_run_does(
    without_the_user, monkeypatch
):
    family = without_the_user
    with monkeypatch.context() as patched:
        patched.setattr(recovery, "KedroSession", None)  # it ends here
        assert ask(family, "backup", "restore", "--replace").exit_code == 1
    assert not all(file.startswith("10_backups/") for file in _outside_raw(family))

    assert "the last run was killed" in ask(family, "status").stdout
    family.run()
    assert "the last run was killed" not in ask(family, "status").stdout
    assert USER not in str(family.table("bronze_events"))


def test_a_record_begun_anew_brings_nobody_back_by_a_restore(without_the_user):
    family = without_the_user
    (family.folder / "erasures.json").rename(family.folder / "away.json")
    with pytest.raises(LingokidsError, match="The record of erasures lacks 1 that"):
        ask_to_erase(family, user=OTHER)  # so that there is one, of another salt

    refused = ask(family, "backup", "restore", "--replace")

    assert refused.exit_code == 1
    assert "The record of erasures lacks 1 that" in refused.output
    assert USER not in str(family.table("bronze_events"))


def test_a_child_whose_id_is_not_kept_comes_back_by_no_backup(family):
    ask_to_erase(family, child=CHILD)
    erased = family.snapshot(without_loads=True)

    done = ask(family, "backup", "restore", "--replace")

    assert done.exit_code == 0, done.output
    assert "all lines are taken in from raw, but theirs" in done.output
    assert family.snapshot(without_loads=True)["stg_events"] == erased["stg_events"]
    back_up(family)
    assert "made before an erasure" not in ask(family, "backup", "list").stdout


def test_backups_made_before_an_erasure_go_when_that_is_said_or_when_it_is_old(
    without_the_user, monkeypatch
):
    family = without_the_user
    (before,) = backup_files(family, "*.json")
    monkeypatch.setattr(Later, "days", 29)
    monkeypatch.setattr(backups, "datetime", Later)
    back_up(family)
    assert before in backup_files(family)
    monkeypatch.setattr(Later, "days", 31)
    back_up(family)
    assert before not in backup_files(family)
    assert _outside_raw(family) == set()


def test_an_erasure_may_drop_the_backups_at_once(family):
    (before,) = backup_files(family, "*.json")
    asked = family.command("erase", "--user", USER, "--drop-backups")

    assert asked.returncode == 0, asked.stderr
    assert "Backups: one was made, and 1 of before were removed." in asked.stdout
    assert before not in backup_files(family)
    assert len(backup_files(family, "*.json")) == 1
    assert _outside_raw(family) == set()


def test_the_record_and_the_decided_weeks_never_go_back(family):
    weeks = family.folder / "09_shared" / "groups.parquet"
    weeks.parent.mkdir()
    weeks.write_bytes(b"decided")
    record = family.folder / "erasures.json"
    ask_to_erase(family, user=USER)
    back_up(family)
    erased = record.read_bytes()
    weeks.write_bytes(b"decided since")

    ask(family, "backup", "restore", "--replace")
    assert (record.read_bytes(), weeks.read_bytes()) == (erased, b"decided since")
    record.unlink()
    refused = ask(family, "backup")
    assert "The record of erasures lacks 1 that" in refused.output
    weeks.unlink()
    ask(family, "backup", "restore", "--replace")

    assert json.loads(record.read_bytes()) == json.loads(erased)
    assert weeks.read_bytes() == b"decided"
