"""Lines that are lost in a load are warned of, or end the run: formats, sources, new keys."""

from __future__ import annotations

import json

import pytest

from builders import an_event_record, an_id
from lingokids.checks.inspection import BrokenRuleError

WARNINGS = (
    "SELECT rule, rows_failed FROM check_results WHERE verdict <> 'held' "
    "AND table_name IN ('ingested_objects', 'unknown_keys') "
    "AND run_id = (SELECT max(run_id) FROM check_results) AND verdict <> 'skipped' ORDER BY rule"
)


def _events(count: int, first: int = 1, **values) -> list[dict]:
    return [an_event_record(first + number, **values) for number in range(count)]


def _lines(*records: dict | bytes) -> bytes:
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n"
        for record in records
    )


@pytest.mark.parametrize(
    "array",
    [
        json.dumps(_events(200)).encode(),
        json.dumps(_events(200), indent=2).encode(),
        b"[\n" + b",\n".join(json.dumps(event).encode() for event in _events(200)) + b"\n]\n",
    ],
    ids=["one-line", "indented", "a-record-a-line"],
)
def test_a_json_array_instead_of_lines_is_named_as_such(project, array, caplog):
    project.deliver("events", "events.json", array)

    if array.count(b"\n") < 100:
        project.run("ingestion")
        assert (
            "is broken by 1 of 1: 1 of 1 lines of the events, most often as line 1 of events.json: "
            "a JSON array: write one record a line, as jq -c .[] does."
        ) in caplog.text
    else:
        with pytest.raises(BrokenRuleError, match="load_usable") as broken:
            project.run("ingestion")
        assert "checks.severities.ingested_objects.load_usable=warn" in broken.value.message
        assert (
            "of the events, most often as line 2 of events.json: not JSON but a piece of it: write "
            "one record a line, as jq -c .[] or jq -c . does."
        ) in broken.value.message
        project.run("ingestion", checks={"severities": {"ingested_objects.load_usable": "warn"}})

    assert project.rows(
        "SELECT reason FROM quarantined_lines WHERE line_number = 1 AND line_text LIKE '[%'"
    ) == [("a JSON array: write one record a line, as jq -c .[] does",)]


@pytest.mark.parametrize(
    ("usable", "broken", "warned"),
    [
        (99, 0, []),
        (98, 1, []),  # 99 lines say too little
        (199, 1, []),
        (99, 1, [("lines_of_load_usable", 1), ("lines_of_object_usable", 1)]),
        (51, 49, [("lines_of_load_usable", 1), ("lines_of_object_usable", 1)]),
        (0, 1, [("object_usable", 1)]),
        (0, 0, [("object_usable", 1)]),
    ],
)
def test_one_unusable_line_in_a_hundred_is_warned_of(project, usable, broken, warned):
    project.deliver("events", "a", _lines(*_events(usable), *[b"{"] * broken))

    project.run("ingestion")

    assert project.rows(WARNINGS) == warned


def test_an_array_of_more_than_a_mebibyte_is_named_too(project, caplog):
    project.deliver("events", "events.json", json.dumps(_events(5_000)).encode())

    project.run("ingestion")

    assert (
        "most often as line 1 of events.json: longer than 1 MiB, and a JSON array: write one "
        "record a line, as jq -c .[] does"
    ) in caplog.text


@pytest.mark.slow
def test_a_load_whose_other_half_is_unusable_changes_nothing(project):
    project.deliver("events", "a", _lines(*_events(50), *[b'{"name": "x"}'] * 30, *[b"{"] * 20))
    project.deliver("events", "b", b"{\n" * 2, "2021-01-31 00:00:00")

    with pytest.raises(BrokenRuleError) as broken:
        project.run("ingestion")

    assert (
        "is broken by 1 of 1: 52 of 102 lines of the events, most often as line 51 of a: "
        "event_id is missing. Every table is as it was. Have the objects sent again"
    ) in broken.value.message
    assert not project.rows("FROM duckdb_tables() WHERE table_name = 'quarantined_lines'")
    project.run("ingestion", checks={"unusable_error": 0.6})
    assert project.rows("SELECT count(*) FROM quarantined_lines") == [(52,)]


@pytest.mark.slow
def test_a_bad_object_that_was_sent_again_is_held_against_no_later_run(project):
    project.deliver("events", "a", b"{\n" * 200)
    project.run("ingestion", checks={"severities": {"ingested_objects.load_usable": "warn"}})

    project.deliver("events", "a", _events(200), "2021-02-02 00:00:00")
    project.run("ingestion")
    assert project.rows(WARNINGS) == []

    project.run("checks", checks={"rule": "load_usable"})
    assert project.rows(WARNINGS) == []


@pytest.mark.slow
def test_what_was_let_in_does_not_end_a_replay(project):
    project.deliver("events", "a", b"{\n" * 200)
    project.deliver("events", "b", _events(1, occurred_at="2021-02-04 00:00:00.001"))
    project.run("ingestion", checks={"severities": {"ingested_objects.load_usable": "warn"}})

    project.run("replay", instants={"days_ahead": 9})

    assert project.rows("SELECT count(*) FROM bronze_events") == [(1,)]


@pytest.mark.slow
def test_a_key_that_is_acknowledged_is_warned_of_only_when_it_changes(project, caplog):
    known = {"known_keys": {"events.arm": "text"}}

    def deliver(key: str, count: int, of: int, arm: object = "a") -> None:
        events = _events(of, first=1_000 * (1 + ord(key)))
        for event in events[:count]:
            event["arm"] = arm
        project.deliver("events", key, events)

    deliver("a", 50, of=100)
    project.run("ingestion")
    assert project.rows(WARNINGS) == [("keys_known", 1)]
    assert "arm of events (text) in 50 of 100 lines (50.0%), first in a, line 1" in caplog.text

    deliver("b", 55, of=100)
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == []

    deliver("n", 100, of=100, arm=None)
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == []

    deliver("c", 1, of=10)  # too few lines to tell
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == []

    deliver("d", 90, of=100)
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == [("keys_known", 1)]

    deliver("e", 3, of=100, arm=7)
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == [("keys_known", 1)]

    project.deliver("events", "f", [an_event_record(9, data={"activity_id": an_id(1), "arm": "a"})])
    project.run("ingestion", checks=known)
    assert project.rows(WARNINGS) == [("keys_known", 1)]
