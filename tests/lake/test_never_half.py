"""Whoever follows a manifest sees one publication whole, whatever happens to the runs."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import duckdb
import pytest

from conftest import wait_for
from published import GOLD, assert_published, deliver_a_day, the_manifest, the_rows

pytestmark = pytest.mark.slow


class Reader(threading.Thread):
    """Reads manifest and files over and over, as fast as it can."""

    def __init__(self, lake) -> None:
        super().__init__()
        self.lake = lake
        self.seen: set[str] = set()
        self.fault: str | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopped.is_set():
                self.read_once()
        except Exception as error:
            self.fault = repr(error)

    def read_once(self) -> None:
        if not (self.lake / "manifest.json").exists():
            return
        manifest = json.loads((self.lake / "manifest.json").read_text())
        for file in manifest["files"]:
            content = (self.lake / file["path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
        played = [
            sum(
                duckdb.connect()
                .execute("SELECT sum(activities_played) FROM read_parquet(?)", [str(path)])
                .fetchone()[0]
                for path in (self.lake / file["path"] for file in manifest["files"])
                if path.is_relative_to(self.lake / table)
            )
            for table in GOLD[:2]
        ]
        assert played[0] == played[1]  # two tables of one publication agree
        self.seen.add(manifest["run_id"])


def test_a_reader_never_sees_half_while_runs_publish_and_are_killed(project):
    deliver_a_day(project, 1)
    project.run()
    reader = Reader(project.folder / "03_gold")
    reader.start()
    try:
        for number, delay in enumerate((0.0, 0.02, 0.08), start=2):
            deliver_a_day(project, number)
            run = project.start()
            wait_for(run, "Committed")
            time.sleep(delay)
            run.kill()
            run.communicate()
        deliver_a_day(project, 9)
        assert project.command("run").returncode == 0
        time.sleep(0.5)
    finally:
        reader.stopped.set()
        reader.join()

    assert reader.fault is None
    assert len(reader.seen) >= 2
    assert_published(project)


def test_a_run_killed_between_commit_and_manifest_is_made_up_for_by_an_idle_one(
    project, monkeypatch
):
    deliver_a_day(project, 1)
    project.run()
    manifests = [project.folder / lake / "manifest.json" for lake in ("02_bronze", "03_gold")]
    before = [manifest.read_bytes() for manifest in manifests]
    deliver_a_day(project, 2)

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr("lingokids.storage.lake.storage.Folder.replace", die)
        with pytest.raises(Killed):
            project.run()

    assert len(project.table("bronze_events")) == 2
    assert [manifest.read_bytes() for manifest in manifests] == before
    assert len(the_rows(project.folder / "02_bronze", "bronze_events")) == 1

    project.run()

    assert_published(project)
    reflected = the_manifest(project.folder / "02_bronze")["reflects"]
    assert reflected["bronze_events"].keys() == {"1", "2"}
