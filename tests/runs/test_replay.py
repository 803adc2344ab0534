"""Quarantined lines are validated again: by their text, else by their object; all or nothing."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from functools import partial

import pytest

from builders import an_event_record, an_id
from conftest import wait_for
from lingokids import schema
from lingokids.storage.raw import lines as line_cutting
from lingokids.storage.raw.folders import FolderStore
from lingokids.validation import quality
from published import assert_published, versions

REASONS = "SELECT object_key, line_number, reason FROM quarantined_lines ORDER BY ALL"
LOADS = "SELECT object_key, line_number, load_id FROM bronze_events ORDER BY ALL"


@pytest.fixture
def demanding():
    """A rule that is too strict: an event must name the child."""
    fields = tuple(
        replace(field, required=field.required or field.column == "child_id")
        for field in schema.EVENT_FIELDS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "validate_events", partial(quality.validate, fields=fields))
        yield patch


def _lines(*records) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.slow
def test_a_line_that_is_usable_now_enters_bronze_in_its_place(project, demanding):
    with_child = an_event_record(1, child_id=an_id(5), occurred_at="2021-01-07 10:00:00.000")
    project.deliver("events", "a", [an_event_record(1), an_event_record(2)], "2021-02-02 00:00:00")
    project.deliver("events", "b", [with_child], "2021-02-01 00:00:00")
    project.run()
    days = "SELECT date::VARCHAR, activities_played FROM activity_engagement_metrics ORDER BY ALL"
    assert project.rows(days) == [("2021-01-07", 1)]

    demanding.undo()
    project.run("replay")

    assert project.rows(REASONS) == []
    assert project.rows(LOADS) == [("a", 1, 2), ("a", 2, 2), ("b", 1, 1)]
    assert project.rows(days) == [("2021-01-05", 2)], "the line that landed last is the last"
    assert project.rows(
        "SELECT object_key, line_number, load_id FROM bronze_events "
        "WHERE past_reason = 'child_id is missing' ORDER BY ALL"
    ) == [("a", 1, 2), ("a", 2, 2)]
    assert project.rows("SELECT lines, kept, quarantined FROM ingested_objects ORDER BY ALL") == [
        (1, 1, 0),
        (2, 2, 0),
    ]
    project.deliver("events", "c", [an_event_record(3)], "2021-02-03 00:00:00")
    project.run()
    assert project.rows(LOADS)[-1] == ("c", 1, 3)


@pytest.mark.slow
def test_a_replay_that_changes_no_verdict_writes_nothing(project, caplog):
    project.deliver("events", "a", b"{\n\xff\n")
    project.run()
    before = project.database.read_bytes()

    project.run("replay")

    assert project.database.read_bytes() == before
    assert "Nothing new: 0 rows written." in caplog.text


@pytest.mark.slow
def test_a_line_unusable_for_another_reason_now_stays_under_that_one(project, demanding):
    project.deliver("events", "a", _lines(an_event_record(1, user_id="x")))
    project.run()
    assert project.rows(REASONS) == [("a", 1, "child_id is missing")]

    demanding.undo()
    project.run("replay")

    assert project.rows(REASONS) == [("a", 1, "user_id is not a uuid")]
    assert project.table("bronze_events") == []
    assert_published(project)


@pytest.mark.slow
def test_a_line_without_its_whole_text_is_read_from_its_object(project, monkeypatch):
    long = an_event_record(1, note="long " * 200)
    with monkeypatch.context() as patch:
        patch.setattr(line_cutting, "LONGEST_LINE", 500)
        project.deliver("events", "a", [long, an_event_record(2)])
        project.deliver("users", "a", [long, an_event_record(2)])  # the same key and etag
        project.deliver("events", "b", [long])
        project.run()
    (project.folder / "raw" / "events" / "b").unlink()

    project.run("replay")

    assert project.rows(LOADS) == [("a", 1, 2), ("a", 2, 1)]
    assert project.rows("SELECT line_number FROM bronze_users ORDER BY ALL") == [(1,), (2,)]
    assert project.rows(REASONS) == [("b", 1, "longer than 1 MiB")]


@pytest.mark.slow
def test_a_line_whose_object_is_gone_stays_and_the_log_says_so(project, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(line_cutting, "LONGEST_LINE", 100)
        project.deliver("events", "a", [an_event_record(1)], "2021-02-01 00:00:00")
        project.run()
    project.deliver("events", "a", [an_event_record(2)], "2021-02-02 00:00:00")

    project.run("replay")

    assert project.rows(REASONS) == [("a", 1, "longer than 1 MiB")]
    assert "a changed or is gone: lines of it that quarantine holds in part stay" in caplog.text


@pytest.mark.slow
def test_what_a_damaged_gzip_hid_is_taken_in_and_counted(new_project, monkeypatch):
    """The fault: only the first member of a gzip was read."""
    right, fixed = new_project(), new_project()
    first = gzip.compress(_lines(an_event_record(1)))
    whole = line_cutting.gunzip

    def of_the_first_member(blocks):
        content = b"".join(blocks)
        yield from whole([content[: len(first)]])
        raise line_cutting.DamagedGzipError

    def deliver(project):
        more = gzip.compress(b"\n" + _lines(an_event_record(2), {"name": "x"}))
        project.deliver("events", "more.gz", first + more)
        project.deliver("events", "empty.gz", first + gzip.compress(b""), "2021-02-02 00:00:00")

    deliver(right)
    right.run()
    deliver(fixed)
    with monkeypatch.context() as patch:
        patch.setattr(line_cutting, "gunzip", of_the_first_member)
        fixed.run()
    assert [reason for *_, reason in fixed.rows(REASONS)] == ["gzip is damaged here"] * 2

    fixed.run("replay")

    assert fixed.snapshot(without_loads=True) == right.snapshot(without_loads=True)
    assert_published(fixed)


@pytest.mark.slow
def test_a_replay_is_published_anew_where_it_changed_something_and_restored(project, demanding):
    for day in (1, 2):
        events = [an_event_record(day), an_event_record(10 + day, child_id=an_id(5))]
        project.deliver("events", f"{day}", events, f"2021-02-0{day} 00:00:00")
        project.deliver("users", f"{day}", b"{\n", f"2021-02-0{day} 00:00:00")
        project.run()
    lake = project.folder / "02_bronze"
    before = versions(lake)

    demanding.undo()
    project.run("replay")

    assert_published(project)
    written = {table for table, version in versions(lake).items() if version > before[table]}
    assert written == {"bronze_events", "quarantined_lines", "ingested_objects"}
    snapshot, published = project.snapshot(), versions(lake)
    project.database.unlink()
    (project.folder / "lingokids-gold.duckdb").unlink()
    shutil.rmtree(project.folder / "raw" / "events")
    (project.folder / "raw" / "events").mkdir()

    project.run("restore")
    project.run()

    assert project.snapshot() == snapshot
    assert versions(lake) == published
    assert project.rows("SELECT max(load_id) FROM bronze_events") == [(3,)]


@pytest.mark.slow
def test_a_killed_replay_leaves_every_table_and_running_it_again_cures_it(project, demanding):
    project.deliver("events", "a", [an_event_record(number) for number in range(1, 400)])
    project.deliver("events", "b", [an_event_record(7, child_id=an_id(5))])
    project.run(checks={"severities": {"ingested_objects.load_usable": "warn"}})
    before = project.snapshot()
    demanding.undo()

    for step in ("replay.replay_events", "staging.stage_events", "marts.build_engagement_metrics"):
        run = project.start("--pipeline", "replay")
        wait_for(run, step)
        run.kill()
        run.communicate()
        assert project.snapshot() == before, step

    assert project.command("run", "--pipeline", "replay").returncode == 0
    assert project.rows("SELECT count(*) FROM stg_events") == [(399,)]
    assert project.rows(REASONS) == []


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "{folder}/outside"])
def test_a_key_of_a_restored_ledger_that_leads_out_of_the_folder_is_not_there(tmp_path, key):
    (tmp_path / "raw" / "a").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"{}\n")
    (outside,) = (it for it in FolderStore(str(tmp_path)).find() if it.key == "outside")

    stated = outside._replace(key=key.format(folder=tmp_path))

    assert list(FolderStore(str(tmp_path / "raw")).fetch([stated])) == [None]
