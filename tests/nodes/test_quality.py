"""What makes a raw line unusable, seen through a whole ingestion."""

from __future__ import annotations

import gzip
import json
from datetime import datetime

from builders import a_user_record, an_activity_record, an_event_record


def _bytes(*lines: bytes | dict) -> bytes:
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


def _without(record: dict, key: str) -> dict:
    return {name: value for name, value in record.items() if name != key}


def _with_data(**values) -> dict:
    record = an_event_record()
    return record | {"data": record["data"] | values}


JSON_ARRAY = "a JSON array: write one record a line, as jq -c .[] does"
PIECE = "not JSON but a piece of it: write one record a line, as jq -c .[] or jq -c . does"
NO_INSTANT = "occurred_at is not an instant"
TOO_EARLY = "occurred_at is before 2000-01-01"
TOO_LATE = "occurred_at is over 2 days after its object landed"

EVENT_FAULTS = [
    (b"\xff\xfe{}", "not UTF-8"),
    (b'{"event_id": ', "not JSON"),
    (b'{"event_id": "a"},', PIECE),
    (b'  "context": {', PIECE),
    (b"}", PIECE),
    (b"]", PIECE),
    (b"plain text", "not JSON"),
    (b"[1, 2]", JSON_ARRAY),
    (b"42", "not a JSON object"),
    (_without(an_event_record(), "event_id"), "event_id is missing"),
    (an_event_record(event_id=""), "event_id is missing"),
    (_without(an_event_record(), "name"), "name is missing"),
    (an_event_record(occurred_at=None), "occurred_at is missing"),
    (_without(an_event_record(), "user_id"), "user_id is missing"),
    (an_event_record(data={}), "data.activity_id is missing"),
    (an_event_record(data="text"), "data is not an object"),
    (an_event_record(event_id="evt_001"), "event_id is not a uuid"),
    (an_event_record(occurred_at="yesterday!"), "occurred_at is not an instant"),
    (an_event_record(occurred_at="   infinity   "), "occurred_at is not an instant"),
    (an_event_record(occurred_at="infinity"), "occurred_at is not an instant"),
    (an_event_record(occurred_at="2021-02-30 10:00:00.000"), "occurred_at is not an instant"),
    # an offset is a number of hours there can be; a year has four digits
    (an_event_record(occurred_at="2021-01-05 10:00:00 Europe/Madrid"), NO_INSTANT),
    (an_event_record(occurred_at="2021-01-05 10:00:00 EST"), NO_INSTANT),
    (an_event_record(occurred_at="2021-01-05T10:00:00+99:00"), NO_INSTANT),
    (an_event_record(occurred_at="2021-01-05 (BC) 10:00:00"), NO_INSTANT),
    (an_event_record(occurred_at="12021-01-05 10:00:00"), NO_INSTANT),
    (an_event_record(occurred_at="0001-01-01T00:00:00Z"), TOO_EARLY),
    (an_event_record(occurred_at="0000-01-01 00:00:00.000"), TOO_EARLY),
    (an_event_record(occurred_at="1999-12-31 23:59:59.999"), TOO_EARLY),
    (an_event_record(occurred_at="9999-12-31 23:59:59.999"), TOO_LATE),
    (an_event_record(occurred_at="9999-12-31T23:59:59-05:00"), TOO_LATE),
    (an_event_record(user_id="12345"), "user_id is not a uuid"),
    (an_event_record(child_id="x"), "child_id is not a uuid"),
    (_with_data(duration=-1), "data.duration is not a number of 0 or more"),
    (_with_data(duration=-0.0004), "data.duration is not a number of 0 or more"),
    (_with_data(duration=-1e-300), "data.duration is not a number of 0 or more"),
    (_with_data(duration="-0_1"), "data.duration is not a number of 0 or more"),
    (_with_data(duration="\v-5"), "data.duration is not a number of 0 or more"),
    (_with_data(duration="long"), "data.duration is not a number of 0 or more"),
    (_with_data(duration=float("nan")), "data.duration is not a number of 0 or more"),
    (_with_data(duration=float("inf")), "data.duration is not a number of 0 or more"),
    (_with_data(loading_time=1e300), "data.loading_time is not a number of 0 or more"),
    (_with_data(completed="yes"), "data.completed is not true or false"),
    (_with_data(completed=1), "data.completed is not true or false"),
]


def test_every_unusable_event_is_quarantined_with_its_line_text_and_reason(project):
    lines = [line for line, _ in EVENT_FAULTS]
    project.deliver("events", "a.jsonl", _bytes(*lines))

    project.run("ingestion")

    quarantined = project.rows("SELECT line_number, reason FROM quarantined_lines ORDER BY ALL")
    assert quarantined == [
        (number, reason) for number, (_, reason) in enumerate(EVENT_FAULTS, start=1)
    ]
    texts = project.rows(
        "SELECT line_text FROM quarantined_lines WHERE line_number > 1 ORDER BY line_number"
    )
    assert [text for (text,) in texts] == [
        line.decode() if isinstance(line, bytes) else json.dumps(line) for line in lines[1:]
    ]


def test_an_unusable_user_is_quarantined(project):
    faults = [
        ({"user_id": None}, "user_id is missing"),
        ({"children_ids": "not a list"}, "children_ids is not a list of uuids"),
        ({"children_ids": ["x"]}, "children_ids is not a list of uuids"),
        ({"trial_start_at": "soon"}, "trial_start_at is not an instant"),
        ({"trial_start_at": "9999-01-01"}, "trial_start_at is over 2 days after its object landed"),
        ({"trial_end_at": "0001-01-01T00:00:00Z"}, "trial_end_at is before 2000-01-01"),
        (
            {"subscription_expire_at": "9999-12-31T23:59:59-05:00"},
            "subscription_expire_at is after the year 9999",
        ),
    ]
    records = [a_user_record(**values) for values, _ in faults]
    for_ever = a_user_record(subscription_expire_at="9999-12-31 23:59:59")
    project.deliver("users", "a.jsonl", [*records, for_ever])

    project.run("ingestion")

    reasons = project.rows("SELECT line_number, reason FROM quarantined_lines ORDER BY ALL")
    assert reasons == list(enumerate((reason for _, reason in faults), start=1))
    assert len(project.table("bronze_users")) == 1


def test_an_object_that_landed_in_the_year_9999_brings_no_later_year(project, monkeypatch):
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "key")
    late = [an_event_record(1, occurred_at="9999-12-31T23:59:59-05:00"), an_event_record(2)]
    project.deliver("events", "9999-12-31/10/a", late)

    project.run()

    assert project.rows("SELECT line_number, reason FROM quarantined_lines") == [
        (1, "occurred_at is after the year 9999")
    ]


def test_an_activity_without_id_is_quarantined(project):
    project.deliver("activities", "a.jsonl", [an_activity_record(activity_id="")])

    project.run("ingestion")

    assert project.rows("SELECT dataset, reason FROM quarantined_lines") == [
        ("activities", "activity_id is missing")
    ]


def test_an_offset_is_honoured_and_without_one_an_instant_is_utc(project):
    instants = {
        "2021-01-05 10:00:00.123": "2021-01-05 10:00:00.123",
        "2021-01-05T10:00:00Z": "2021-01-05 10:00:00",
        "2021-01-05 01:00:00+02:00": "2021-01-04 23:00:00",
        "2021-01-05 01:00:00+02": "2021-01-04 23:00:00",
        "2021-01-05 01:00:00.123+02": "2021-01-04 23:00:00.123",
        "2021-01-05 01:00:00.+02": "2021-01-04 23:00:00",
    }
    records = [an_event_record(n, occurred_at=text) for n, text in enumerate(instants)]
    project.deliver("events", "a.jsonl", records)

    project.run("ingestion")

    read = project.rows("SELECT occurred_at FROM bronze_events ORDER BY line_number")
    assert read == [(datetime.fromisoformat(instant),) for instant in instants.values()]


def test_a_named_zone_does_not_change_the_line_beside_it(project):
    instants = ["2021-01-05 20:30:00 America/New_York", "2021-01-05T20:30:00"] * 2
    records = [an_event_record(n, occurred_at=text) for n, text in enumerate(instants)]
    project.deliver("events", "a.jsonl", records)

    project.run("ingestion")

    read = project.rows("SELECT occurred_at FROM bronze_events ORDER BY line_number")
    assert read == [(datetime(2021, 1, 5, 20, 30),)] * 2


def test_an_instant_is_plausible_up_to_two_days_after_its_object_landed(project):
    instants = ["2000-01-01 00:00:00.000", "2021-01-08 04:00:00.000", "2021-01-08 04:00:00.001"]
    records = [an_event_record(n, occurred_at=text) for n, text in enumerate(instants)]
    project.deliver("events", "a.jsonl", records, landed_at="2021-01-06 04:00:00")

    project.run("ingestion")

    assert project.rows("SELECT line_number FROM bronze_events ORDER BY ALL") == [(1,), (2,)]
    assert project.rows("SELECT line_number, reason FROM quarantined_lines") == [(3, TOO_LATE)]

    project.run("replay", instants={"days_ahead": 3})

    assert project.rows("SELECT line_number FROM bronze_events ORDER BY ALL") == [(1,), (2,), (3,)]


def test_milliseconds_are_kept_exactly(project):
    project.deliver("events", "a.jsonl", [_with_data(duration=151.91799999999998)])

    project.run("ingestion")

    assert project.rows("SELECT duration_seconds::VARCHAR FROM bronze_events") == [("151.918",)]


def test_absent_values_are_null_and_empty_text_counts_as_absent(project):
    record = an_event_record(context={"os": {"name": ""}})
    project.deliver("events", "a.jsonl", [record | {"data": {"activity_id": "fish"}}])

    project.run("ingestion")

    assert project.rows(
        "SELECT os_name, app_version, duration_seconds, completed_flag, child_id FROM bronze_events"
    ) == [(None, None, None, None, None)]


def test_bom_crlf_blank_lines_and_a_missing_last_line_end_are_read(project):
    first, second = (json.dumps(an_event_record(number)).encode() for number in (1, 2))
    project.deliver("events", "a.jsonl", b"\xef\xbb\xbf" + first + b"\r\n\r\n  \n" + second)

    project.run("ingestion")

    assert project.rows("SELECT line_number FROM bronze_events ORDER BY ALL") == [(1,), (4,)]
    assert project.rows("SELECT lines, blank, kept, quarantined FROM ingested_objects") == [
        (4, 2, 2, 0)
    ]


def test_gzipped_objects_are_read_and_a_damaged_one_loses_only_what_is_damaged(project):
    content = _bytes(*(an_event_record(number) for number in range(1, 4)))
    project.deliver("events", "whole.jsonl.gz", gzip.compress(content))
    noise = _bytes(*(an_event_record(number) for number in range(10, 3_000)))
    project.deliver("events", "cut.jsonl.gz", gzip.compress(noise)[:-20])

    project.run("ingestion")

    assert project.rows(
        "SELECT kept, quarantined FROM ingested_objects WHERE object_key = 'whole.jsonl.gz'"
    ) == [(3, 0)]
    assert project.rows("SELECT object_key, reason FROM quarantined_lines") == [
        ("cut.jsonl.gz", "gzip is damaged here")
    ]
    assert project.rows("SELECT count(*) > 1000 FROM bronze_events") == [(True,)]


def test_a_line_over_a_mebibyte_is_quarantined_by_its_beginning(project):
    long_line = b'{"event_id": "' + b"x" * (1 << 20) + b'"}'
    project.deliver("events", "a.jsonl", _bytes(long_line, an_event_record()))

    project.run("ingestion")

    assert project.rows("SELECT line_number, length(line_text), reason FROM quarantined_lines") == [
        (1, 1024, "longer than 1 MiB")
    ]
    assert project.rows("SELECT line_number FROM bronze_events") == [(2,)]


def test_odd_objects_are_entered_once_and_hidden_ones_are_passed_over(project):
    project.deliver("events", "empty.jsonl", b"")
    project.deliver("events", "day 1/50%+ö/a'b.jsonl", [an_event_record()])
    project.deliver("events", "a[1]*?.jsonl", b"\n")
    project.deliver("events", ".hidden", b"not data")
    project.deliver("events", "_SUCCESS", b"not data")

    project.run("ingestion")

    assert project.rows("SELECT object_key, lines FROM ingested_objects ORDER BY ALL") == [
        ("a[1]*?.jsonl", 1),
        ("day 1/50%+ö/a'b.jsonl", 1),
        ("empty.jsonl", 0),
    ]
