"""``listing.since``: what a run looks for, and what it never loses."""

from __future__ import annotations

import os
from datetime import date

import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.raw.folders import FolderStore


@pytest.mark.slow
def test_objects_of_earlier_arrival_days_wait_for_a_run_that_looks_for_them(project):
    project.deliver("events", "2021-01-01/00/a", [an_event_record(1)])
    project.deliver("events", "2021-01-02/00/b", [an_event_record(2)])
    project.deliver("events", "elsewhere/c", [an_event_record(3)])

    project.run(listing={"since": "2021-01-02"})
    taken_in = project.rows("SELECT object_key FROM ingested_objects ORDER BY ALL")
    assert taken_in == [("2021-01-02/00/b",), ("elsewhere/c",)]

    project.run()
    assert len(project.table("stg_events")) == 3


@pytest.mark.slow
def test_a_late_event_is_taken_in_whatever_the_first_arrival_day(project):
    late = an_event_record(1, occurred_at="2020-06-01 10:00:00.000")
    project.deliver("events", "2021-01-02/00/a", [late])

    project.run(listing={"since": "2021-01-02"})

    assert len(project.table("stg_events")) == 1


def test_a_folder_is_listed_since_a_day_by_the_same_rule_as_a_bucket(tmp_path):
    keys = ["2021-01-01/00/a", "2021-01-01/b", "2021-01-99/00/c", "2021-01-02/23/d", "x/e", "f"]
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()

    found = [item.key for item in FolderStore(str(tmp_path)).find(date(2021, 1, 2))]

    assert sorted(found) == sorted(keys[1:])


def test_a_file_overwritten_since_it_was_listed_is_not_read(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"{name}\n")
    store = FolderStore(str(tmp_path))
    found = sorted(store.find())
    (tmp_path / "a").write_text("A\n")
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "b").unlink()

    contents = [blocks and b"".join(blocks) for blocks in store.fetch(found)]

    assert contents == [None, None, b"c\n"]


def test_a_file_overwritten_while_it_is_read_ends_the_run(tmp_path):
    (tmp_path / "a").write_text("a\n")
    store = FolderStore(str(tmp_path))
    contents = store.fetch(store.find())
    blocks = iter(next(contents) or ())
    assert next(blocks) == b"a\n"
    os.utime(tmp_path / "a", (1, 1))

    with pytest.raises(LingokidsError, match="was overwritten or deleted while it was read"):
        next(blocks)
