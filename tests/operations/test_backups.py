"""A backup is whole or none, is checked on the way back, and brings nobody back."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from builders import an_event_record
from conftest import Project
from lingokids.storage import backups
from lingokids.storage.backups import kept
from lingokids.storage.duckdb import whole_file
from lingokids.storage.lake import storage
from operators import Later, ask, back_up, backup_files, configure, held
from published import assert_published, deliver_a_day


def everything(project: Project) -> dict[str, list[tuple]]:
    """Every row of every table, hidden columns included, and what is noted beside them."""
    names = [name for (name,) in project.rows("SELECT table_name FROM duckdb_tables()")]
    tables = {name: project.rows(f"FROM {name} ORDER BY ALL") for name in names}
    noted = "SELECT table_name, comment FROM {} ORDER BY ALL"
    return tables | {each: project.rows(noted.format(each)) for each in ("duckdb_tables()",)}


def lose_the_warehouse(project: Project) -> None:
    for file in project.folder.glob("lingokids*.duckdb"):
        file.unlink()


@pytest.mark.slow
def test_a_restored_warehouse_is_the_one_that_was_backed_up(small, caplog):
    before, published = everything(small), small.snapshot()
    name = back_up(small)
    lose_the_warehouse(small)

    done = ask(small, "backup", "restore")

    assert done.exit_code == 0, done.output
    assert everything(small) == before
    assert [file.stat().st_mode & 0o777 for file in _files(small)] == [0o600] * 3
    assert name in ask(small, "backup", "list").stdout
    assert f"the last backup in {small.folder}" in ask(small, "doctor").stdout
    assert "1 backup  the last one of" in ask(small, "status").stdout
    small.run()
    assert "Nothing new: 0 objects read, 0 rows written." in caplog.text
    assert small.snapshot() == published
    assert (small.folder / "lingokids-gold.duckdb").exists()


def _files(project: Project) -> list[Path]:
    place = project.folder / "10_backups" / "lingokids"
    return [project.database, *sorted(place.glob("2*"))]


@pytest.mark.slow
def test_the_next_run_takes_in_what_a_backup_lacks(small):
    back_up(small)
    deliver_a_day(small, 7, an_event_record(1, occurred_at="2021-01-02 10:00:00.000"))
    small.run()
    before = small.snapshot(without_loads=True)
    lose_the_warehouse(small)

    ask(small, "backup", "restore")
    assert small.snapshot(without_loads=True) != before
    small.run()

    assert small.snapshot(without_loads=True) == before
    assert_published(small)


@pytest.mark.slow
def test_a_warehouse_that_is_there_is_replaced_only_if_that_is_said(small):
    name = back_up(small)
    small.deliver("events", "b", [an_event_record(3)])
    small.run()
    before = everything(small)

    refused = ask(small, "backup", "restore", name)

    assert refused.exit_code == 1
    assert "lingokids.duckdb is there: move it away, or have it replaced by --replace" in (
        refused.output
    )
    assert everything(small) == before
    assert ask(small, "backup", "restore", name, "--replace").exit_code == 0
    assert small.rows("SELECT count(*) FROM stg_events") == [(2,)]


def _flip_a_byte(place: Path, name: str) -> None:
    file = place / f"{name}.duckdb"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _say_other_rows(place: Path, name: str) -> None:
    manifest = place / f"{name}.json"
    said = json.loads(manifest.read_text())
    said["tables"]["stg_events"][1] += 1
    manifest.write_text(json.dumps(said))


def _write_no_manifest(place: Path, name: str) -> None:
    (place / f"{name}.json").write_text("{}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_flip_a_byte, "is damaged: restore another"),
        (_say_other_rows, "is damaged: restore another"),
        (_write_no_manifest, "is no manifest that this version can read"),
    ],
)
def test_a_damaged_backup_is_not_restored(small, harm, sentence):
    name = back_up(small)
    harm(small.folder / "10_backups" / "lingokids", name)
    before = small.database.read_bytes()

    refused = ask(small, "backup", "restore", "--replace")

    assert refused.exit_code == 1
    assert sentence in refused.output
    assert small.database.read_bytes() == before
    assert not [*small.folder.glob(".backup*")]


def test_the_way_back_from_a_damaged_warehouse_is_said_and_leads_there(small):
    back_up(small)
    small.database.write_bytes(b"nonsense" * 1_000)

    found = [ask(small, *each) for each in (["status"], ["plan"], ["backup"], ["compare", "x"])]
    restored = ask(small, "backup", "restore", "--replace")

    for each in found:
        assert each.exit_code == 1
        assert "not a valid DuckDB database file!). If it is a damaged warehouse: uv run" in (
            each.output
        )
    assert restored.exit_code == 0, restored.output
    assert small.rows("SELECT count(*) FROM stg_events") == [(2,)]


@pytest.mark.slow
def test_what_there_is_not_is_said(small):
    none = ask(small, "backup", "restore", "--replace")
    name = back_up(small)
    wrong = ask(small, "backup", "restore", name.replace("T", "t"), "--replace")
    lose_the_warehouse(small)
    lost = ask(small, "backup")

    assert "There is no backup in" in none.output
    assert f"Did you mean {name}?" in wrong.output
    assert "lingokids.duckdb is not there yet: uv run kedro run makes it." in lost.output
    assert (none.exit_code, wrong.exit_code, lost.exit_code) == (1, 1, 1)


@pytest.mark.slow
def test_the_backups_of_another_environment_are_not_mixed_in(small):
    name = back_up(small)
    manifest = small.folder / "10_backups" / "lingokids" / f"{name}.json"
    manifest.write_text(manifest.read_text().replace('"environment": "test"', '"environment": "x"'))

    refused = [ask(small, "backup"), ask(small, "backup", "restore", "--replace")]

    for each in refused:
        assert "has backups of environment x, and this one is test" in each.output
        assert each.exit_code == 1
    assert backup_files(small, "*.json") == [f"{name}.json"]


def test_a_record_of_erasures_that_cannot_be_read_is_found_before_anything_is_replaced(small):
    back_up(small)
    lose_the_warehouse(small)
    (small.folder / "erasures.json").write_text("{")

    refused = ask(small, "backup", "restore")

    assert refused.exit_code == 1
    assert "erasures.json" in refused.output
    assert not small.database.exists()


def test_a_backup_that_a_disk_has_no_room_for_leaves_none_of_it(small, monkeypatch):
    def fill(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(storage.shutil, "copyfile", fill)
        refused = ask(small, "backup")

    assert "could not be written: [Errno 28] No space left on device" in refused.output
    assert [*(small.folder / "10_backups").rglob("*.*")] == []


@pytest.mark.slow
def test_readers_go_on_and_a_run_is_waited_for(small, monkeypatch):
    monkeypatch.setattr(whole_file, "LOCK_WAIT_SECONDS", 1)
    with duckdb.connect(str(small.database), read_only=True) as reader:
        # of a process of its own: in one process, the engine shares what is open
        assert small.command("backup").returncode == 0
        assert reader.execute("SELECT count(*) FROM stg_events").fetchone() == (2,)
    with held(small) as process:
        refused = ask(small, "backup")
        not_replaced = ask(small, "backup", "restore", "--replace")

    for each in refused, not_replaced:
        assert each.exit_code == 1
        assert f"lingokids.duckdb is in use by another process (PID {process}," in each.output
    assert len(backup_files(small, "*.json")) == 1


@pytest.mark.slow
def test_what_a_killed_run_left_in_its_log_is_backed_up(small):
    written = "con.execute(\"UPDATE stg_events SET os_name = 'Other'\"); os._exit(0)"
    script = f"import duckdb, os; con = duckdb.connect({str(small.database)!r}); {written}"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert small.database.with_name("lingokids.duckdb.wal").exists()

    back_up(small)
    ask(small, "backup", "restore", "--replace")

    assert not small.database.with_name("lingokids.duckdb.wal").exists()
    assert small.rows("SELECT DISTINCT os_name FROM stg_events") == [("Other",)]


_KILLED = """
import os, signal, sys
from pathlib import Path
from kedro.framework.project import configure_project
from lingokids.operations.recovery import Recovery
from lingokids.storage.backups import Backups
from lingokids.storage.lake.storage import Storage
configure_project("lingokids")
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr({"Storage": Storage, "Backups": Backups}[sys.argv[2]], sys.argv[3], kill)
[*Recovery(Path(sys.argv[1]), "test", None).back_up()]
"""


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "method"), [("Storage", "get_file"), ("Storage", "replace")])
def test_a_killed_backup_is_taken_for_none_and_removed_by_the_next(small, owner, method):
    first = back_up(small)
    script = [sys.executable, "-c", _KILLED, str(small.folder), owner, method]
    killed = subprocess.run(
        script, env=small.environment, cwd=small.folder, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(backup_files(small, "*.duckdb")) == 2
    assert "1 backup in" in ask(small, "backup", "list").stdout
    part = small.folder / "10_backups" / "lingokids" / f".{first}.duckdb.part"
    part.write_bytes(b"half")  # of one that was killed while it copied
    mine = part.with_name("notes.txt")
    mine.write_text("of someone else")

    second = back_up(small)

    whole = sorted(f"{name}.{kind}" for name in (first, second) for kind in ("duckdb", "json"))
    # of one day the last is kept
    assert backup_files(small) == [each for each in whole if each.startswith(second)]
    assert not part.exists()
    assert mine.exists()
    assert not [*small.folder.glob(".backup*")]


def test_the_last_of_seven_days_and_four_weeks_are_kept():
    monday = datetime(2021, 3, 1, 12, tzinfo=UTC)
    days = [monday - timedelta(days=n) for n in range(60)]
    twice = [day - timedelta(hours=6) for day in days]

    left = kept([*days, *twice], daily=7, weekly=4)

    # this Monday, the six days before it, and the Sundays of the weeks before those
    sundays = [monday - timedelta(days=n) for n in (8, 15)]
    assert left == {*days[:7], *sundays}
    assert kept(days[::9], daily=7, weekly=4) == {*days[::9]}
    assert kept([], daily=7, weekly=4) == set()


@pytest.mark.slow
def test_none_is_removed_before_the_new_one_is_read_back(small, monkeypatch):
    first = back_up(small)
    monkeypatch.setattr(backups, "_sha256", lambda file: "of what was not written")

    refused = ask(small, "backup")

    assert "no earlier backup was removed" in refused.output
    assert f"{first}.json" in backup_files(small)


@pytest.mark.slow
def test_a_backup_of_days_ago_is_found_by_the_doctor(small, monkeypatch):
    monkeypatch.setattr(Later, "days", -3)
    monkeypatch.setattr(backups, "datetime", Later)
    back_up(small)

    examined = ask(small, "doctor")

    assert examined.exit_code == 1
    assert "make one each day, by uv run kedro backup" in examined.stdout


def test_settings_that_are_of_no_use_are_refused(small):
    configure(small, "globals.yml", "daily: 7", "daily: 0")

    refused = ask(small, "backup")

    assert refused.exit_code == 1
    assert "backups.daily is 0: write a whole number, from 1" in refused.output
