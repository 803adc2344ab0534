"""Whoever follows a pointer sees one publication whole, whatever happens to the runs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from conftest import wait_for
from lingokids.schema import CONTRACTS
from lingokids.storage.lake.publication import Publication
from published import (
    GOLD,
    assert_published,
    deliver_a_day,
    newest,
    the_pointer,
    the_rows,
    versions,
)

pytestmark = pytest.mark.slow


class Reader(threading.Thread):
    """Reads pointer and tables over and over, as fast as it can."""

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
        if not (self.lake / "publication.json").exists():
            return
        pointer = the_pointer(self.lake)
        engagement, popularity = (
            the_rows(self.lake, table, pointer["tables"][table]["version"]) for table in GOLD[:2]
        )
        # two tables of one publication agree
        assert _played(GOLD[0], engagement) == _played(GOLD[1], popularity) > 0
        # and one by itself is whole, whoever reads its newest version
        alone = the_rows(self.lake, GOLD[1], newest(self.lake, GOLD[1]))
        assert len({row[0] for row in alone}) == len(alone) >= len(self.seen)
        self.seen.add(pointer["run_id"])


def _publish_a_day(project) -> None:
    deliver_a_day(project, 1)
    project.run()


@pytest.fixture
def project(project_after):
    """A project that has taken in and published the first of January."""
    return project_after("the-first-published", _publish_a_day)


def _played(table: str, rows: list[tuple[Any, ...]]) -> int:
    at = CONTRACTS[table].columns.index("activities_played")
    return sum(row[at] for row in rows)


def test_a_reader_never_sees_half_while_runs_publish_and_are_killed(project):
    reader = Reader(project.folder / "03_gold")
    reader.start()
    try:
        for number, delay in enumerate((0.0, 0.05, 0.2), start=2):
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


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", [1, 3, 6, "before the pointer"])
def test_a_run_killed_between_two_puts_is_made_up_for_by_an_idle_one(
    project, monkeypatch, killed_at
):
    lakes = [project.folder / name for name in ("02_bronze", "03_gold")]
    before = [versions(lake) for lake in lakes]
    deliver_a_day(project, 2)
    puts = 0
    write = Publication._write

    def write_or_die(*args):
        nonlocal puts
        puts += 1
        if puts == killed_at:
            raise Killed
        return write(*args)

    def die(*_):
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(Publication, "_write", write_or_die)
        if killed_at == "before the pointer":
            killed.setattr("lingokids.storage.lake.storage.Storage.replace", die)
        with pytest.raises(Killed):
            project.run()

    assert len(project.table("bronze_events")) == 2
    # all of a lake, or nothing: bronze is put first, five tables of it
    assert versions(lakes[1]) == before[1]
    if killed_at != 6:
        assert versions(lakes[0]) == before[0]
        assert len(the_rows(lakes[0], "bronze_events")) == 1

    project.run()

    assert_published(project)


def test_what_a_killed_run_wrote_and_a_later_one_took_back_is_not_published(project, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(
            "lingokids.storage.lake.publication.Publication._replace_pointer",
            lambda *_: (_ for _ in ()).throw(Killed()),
        )
        with pytest.raises(Killed):
            project.run(os_names={"iOS": "Apple"})

    project.run()

    assert_published(project)
    deliver_a_day(project, 2)
    project.run()
    assert_published(project)
