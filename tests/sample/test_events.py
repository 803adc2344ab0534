"""The event lines of the sample, and the objects they come in."""

import json
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from lingokids.sample import BREAKS, SAMPLE, deliveries
from lingokids.sample.events import OTHER_NAMES, event_object
from sample_deliveries import day_of, utc


def test_every_good_line_has_the_required_fields(good):
    for _, _, event in good:
        assert UUID(event["event_id"])
        assert UUID(event["user_id"])
        assert event["data"]["activity_id"]
        assert utc(event["occurred_at"])
        if event["name"] == "activity_exit":
            assert event["data"]["duration"] >= 0
            assert event["data"]["completed"] in (True, False)
        else:
            assert event["name"] in OTHER_NAMES


def test_all_good_events_happened_within_the_plan(good):
    assert {day_of(event) for *_, event in good} == set(range(SAMPLE.days))


def test_the_shares_of_the_plan_hold_roughly(kinds, good):
    corrected = sum(count for kind, count in kinds.items() if kind.startswith("corrected"))
    broken = sum(count for kind, count in kinds.items() if kind.startswith("broken"))
    other_name = sum(event["name"] != "activity_exit" for *_, event in good)

    assert kinds["late"] / SAMPLE.events == pytest.approx(SAMPLE.late, rel=0.3)
    assert kinds["repeated"] / SAMPLE.events == pytest.approx(SAMPLE.repeated, rel=0.3)
    assert corrected / SAMPLE.events == pytest.approx(SAMPLE.corrected, rel=0.3)
    assert broken / SAMPLE.events == pytest.approx(SAMPLE.broken, rel=0.3)
    assert other_name / SAMPLE.events == pytest.approx(SAMPLE.other_name, rel=0.3)


def test_late_events_land_one_to_ten_days_after_they_happened(good):
    days_late = {n - day_of(event) for n, kind, event in good if kind == "late"}

    assert days_late == set(range(1, 11))


def test_repeated_lines_were_delivered_before_as_they_are(delivered):
    seen = set()
    for _, _, kind, line in delivered:
        if kind == "repeated":
            assert line in seen
        elif kind == "fresh":
            assert line not in seen
            seen.add(line)


def test_corrections_change_one_thing_of_an_event_of_an_earlier_day(good):
    first = {event["event_id"]: (n, event) for n, kind, event in good if kind == "fresh"}
    changes = Counter()
    for n, kind, event in good:
        if kind.startswith("corrected"):
            day, before = first[event["event_id"]]
            changed = {key for key in ("name", "occurred_at", "data") if event[key] != before[key]}
            assert day < n
            assert len(changed) == 1
            changes[kind] += 1

    assert changes.keys() == {
        "corrected: day",
        "corrected: name",
        "corrected: duration",
        "corrected: completed",
    }
    assert changes["corrected: name"] < 0.1 * changes.total()


def test_an_event_may_vanish_or_move_to_another_day(good):
    first = {event["event_id"]: event for _, kind, event in good if kind == "fresh"}
    last = {event["event_id"]: event for *_, event in good}
    was_exit = [key for key, event in first.items() if event["name"] == "activity_exit"]

    assert [key for key in was_exit if last[key]["name"] != "activity_exit"]
    assert [key for key in was_exit if day_of(last[key]) != day_of(first[key])]


def test_usable_events_have_their_oddities(good):
    events = [event for *_, event in good]
    durations = [event["data"].get("duration", 0) for event in events]
    contexts = [event.get("context", {}) for event in events]

    assert any(event["occurred_at"].endswith("+02:00") for event in events)
    assert any(event["occurred_at"].endswith("-05:00") for event in events)
    assert any("child_id" not in event for event in events)
    assert any("experiment" in event for event in events)
    assert 0 < sum(duration >= 100_000 for duration in durations) < 30
    assert any(context.get("device", {}).get("model") == "T40 é" for context in contexts)
    assert {context.get("os", {}).get("name") for context in contexts} == {
        "Android",
        "iOS",
        "iPhone OS",
        None,
    }
    for part, field in (("device", "device_id"), ("device", "model"), ("app", "build")):
        assert {field in context.get(part, {}) for context in contexts} == {True, False}
    assert any("context" not in event for event in events)


@pytest.mark.parametrize("kind", BREAKS["events"])
def test_each_kind_of_broken_line_occurs(kinds, kind):
    assert kinds[f"broken: {kind}"] >= 1


def is_usable(line):
    """An independent reading of the rules for an event's line."""
    try:
        event = json.loads(line.encode("utf-8", "surrogateescape"))
        UUID(event["event_id"]), UUID(event["user_id"])
        data = event["data"]
        return (
            bool(event["name"] and data["activity_id"] and utc(event["occurred_at"]))
            and 0 <= data.get("duration", 0) < float("inf")
            and isinstance(data.get("completed", True), bool)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def test_broken_lines_are_unusable_and_all_others_usable(delivered):
    for *_, kind, line in delivered:
        if kind != "blank":
            assert is_usable(line) != kind.startswith("broken"), (kind, line)


# What the objects promise


def test_the_sample_has_one_object_of_each_oddity(objects):
    events = [(key, content) for dataset, key, content in objects if dataset == "events"]
    plain = [(key, content) for key, content in events if not key.endswith(".gz")]

    assert 3 <= len(events) - len(plain) <= 20
    assert sum(content == b"" for _, content in plain) == 1
    assert sum(content.startswith(b"\xef\xbb\xbf") for _, content in plain) == 1
    assert sum(b"\r\n" in content for _, content in plain) == 1
    assert sum(" " in key and "%" in key for key, _ in plain) == 1
    assert any(not content.endswith(b"\n") for _, content in plain if content)


def test_an_object_lands_after_its_fresh_events_happened():
    for j in range(SAMPLE.objects_on(3)):
        key, _ = event_object(SAMPLE, 3, j)
        lands_before = datetime.fromisoformat(key[:10]) + timedelta(hours=int(key[11:13]) + 1)
        for kind, line in deliveries(SAMPLE, 3, j):
            if kind == "fresh":
                assert utc(json.loads(line)["occurred_at"]) < lands_before
