"""Which delivery is the last, and what its arrival changes."""

from __future__ import annotations

import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.staging.nodes import (
    find_earlier_deliveries,
    find_last_activities,
    find_last_users,
    find_superseded_deliveries,
    stage_activities,
    stage_events,
    stage_users,
)


def a_bronze_event(**values):
    return {
        "object_key": "a.jsonl",
        "etag": "v1",
        "line_number": 1,
        "event_id": an_id(1),
        "event_name": "activity_exit",
        "occurred_at": "2021-01-01 10:00:00",
        "user_id": an_id(900),
        "activity_id": "fish",
        "landed_at": "2021-01-02 00:00:00",
        "load_id": 1,
    } | values


def a_user(**values):
    return {
        "user_id": an_id(900),
        "country_code": "es",
        "object_key": "u.jsonl",
        "etag": "v1",
        "line_number": 1,
        "landed_at": "2021-01-02 00:00:00",
        "load_id": 1,
    } | values


def loads(*numbers):
    return table_of(schema.STAGED_LOADS, *({"load_id": number} for number in numbers))


def superseded_in(bronze, new_loads):
    earlier = find_earlier_deliveries(bronze, new_loads)
    return find_superseded_deliveries(bronze, earlier, new_loads)


@pytest.fixture
def staged(rows):
    """Stage deliveries of load 1 and later, all of them new."""

    def stage(*deliveries):
        bronze = table_of(schema.BRONZE_EVENTS, *deliveries)
        all_loads = loads(*{delivery["load_id"] for delivery in deliveries})
        return rows(stage_events(bronze, superseded_in(bronze, all_loads), all_loads))

    return stage


def test_last_delivery_of_an_event_wins(staged):
    first = a_bronze_event(landed_at="2021-01-02 00:00:00", completed_flag=False)
    second = a_bronze_event(
        object_key="b.jsonl", landed_at="2021-01-03 00:00:00", completed_flag=True
    )

    assert [row["completed_flag"] for row in staged(second, first)] == [True]


@pytest.mark.parametrize("later", [{"object_key": "b.jsonl"}, {"line_number": 2}, {"etag": "v2"}])
def test_equal_arrival_times_are_ordered_by_object_line_and_version(staged, later):
    first = a_bronze_event(completed_flag=False)
    second = a_bronze_event(completed_flag=True, **later)

    assert [row["completed_flag"] for row in staged(first, second)] == [True]


def test_an_event_corrected_to_another_name_has_no_row(staged):
    exit_ = a_bronze_event()
    correction = a_bronze_event(line_number=2, event_name="activity_enter")

    assert staged(exit_, correction) == []


def test_the_day_is_that_of_the_event_and_not_of_its_arrival(staged):
    late = a_bronze_event(occurred_at="2021-01-01 23:59:59.999", landed_at="2021-03-01 00:00:00")

    assert [str(row["date"]) for row in staged(late)] == ["2021-01-01"]


def test_a_delivery_that_landed_before_the_staged_one_changes_nothing(rows):
    bronze = table_of(
        schema.BRONZE_EVENTS,
        a_bronze_event(load_id=1, landed_at="2021-01-05 00:00:00"),
        a_bronze_event(load_id=2, landed_at="2021-01-04 00:00:00", object_key="late.jsonl"),
    )

    superseded = superseded_in(bronze, loads(2))
    events = rows(stage_events(bronze, superseded, loads(1, 2)))

    assert [row["object_key"] for row in rows(superseded)] == ["late.jsonl"]
    assert [row["load_id"] for row in events] == [1]


def test_a_load_that_is_not_staged_yet_is_left_out(rows):
    first, second = a_bronze_event(), a_bronze_event(event_id=an_id(2), load_id=2)
    bronze = table_of(schema.BRONZE_EVENTS, first, second)

    events = rows(stage_events(bronze, superseded_in(bronze, loads(1)), loads(1)))

    assert [row["load_id"] for row in events] == [1]


def test_a_delivery_is_superseded_once(rows):
    bronze = table_of(
        schema.BRONZE_EVENTS,
        *(
            a_bronze_event(load_id=load, landed_at=f"2021-01-0{load} 00:00:00", etag=f"v{load}")
            for load in (1, 2, 3)
        ),
    )

    found = [
        (row["etag"], row["superseded_by_load"])
        for load in (1, 2, 3)
        for row in rows(superseded_in(bronze.filter(bronze.load_id <= load), loads(load)))
    ]

    assert found == [("v1", 2), ("v2", 3)]


def test_the_load_that_superseded_a_delivery_is_the_same_whichever_run_staged_it(rows):
    at_noon, at_one, at_two = (f"2021-01-05 {hour}:00:00" for hour in (12, 13, 14))
    bronze = table_of(
        schema.BRONZE_EVENTS,
        a_bronze_event(load_id=1, landed_at=at_noon, etag="first"),
        a_bronze_event(load_id=2, landed_at=at_two, etag="last"),
        a_bronze_event(load_id=3, landed_at=at_one, etag="between"),
    )

    def found(*stagings):
        return sorted(
            (row["etag"], row["superseded_by_load"])
            for together in stagings
            for row in rows(
                superseded_in(bronze.filter(bronze.load_id <= max(together)), loads(*together))
            )
        )

    assert found((1,), (2,), (3,)) == [("between", 3), ("first", 2)]
    assert found((1,), (2, 3)) == found((1, 2, 3)) == found((1,), (2,), (3,))


@pytest.fixture
def changes(rows):
    """What ``stage_users`` says of a user whose record goes from ``old`` to ``new``."""

    def stage(old, new):
        known = table_of(schema.STG_USERS, *([a_user(**old)] if old is not None else []))
        bronze = table_of(
            schema.BRONZE_USERS,
            a_user(landed_at="2021-01-09 00:00:00", load_id=2, etag="v2", **new),
        )
        last = find_last_users(bronze, known, loads(2))
        changed, users = stage_users(last, known, loads(2))
        assert len(rows(users)) == 1
        return [row["changed_from"] and str(row["changed_from"])[:10] for row in rows(changed)]

    return stage


def test_a_new_user_may_change_every_event(changes):
    assert changes(None, {}) == [None]


def test_another_country_changes_every_event(changes):
    assert changes({"country_code": "es"}, {"country_code": "fr"}) == [None]


def test_an_equal_record_changes_nothing(changes):
    milestones = {"trial_start_at": "2021-01-05 00:00:00", "trial_end_at": "2021-01-12 00:00:00"}

    assert changes(milestones, milestones) == []


@pytest.mark.parametrize(
    ("old", "new", "since"),
    [
        ({}, {"trial_start_at": "2021-01-05", "trial_end_at": "2021-01-12"}, "2021-01-05"),
        ({"trial_start_at": "2021-01-05"}, {"trial_start_at": "2021-01-07"}, "2021-01-05"),
        (
            {"trial_start_at": "2021-01-05"},
            {"trial_start_at": "2021-01-05", "trial_end_at": "2021-01-12"},
            "2021-01-05",
        ),
        (
            {"subscription_start_at": "2021-01-12"},
            {"subscription_start_at": "2021-01-12", "subscription_expire_at": "2021-02-12"},
            "2021-02-12",
        ),
        (
            {"trial_start_at": "2021-01-05", "trial_end_at": "2021-01-12"},
            {"trial_start_at": "2021-01-05", "trial_end_at": "2021-01-19"},
            "2021-01-12",
        ),
    ],
)
def test_a_milestone_changes_no_event_before_it(changes, old, new, since):
    def as_instants(record):
        return {name: f"{day} 00:00:00" for name, day in record.items()}

    assert changes(as_instants(old), as_instants(new)) == [since]


def test_an_activity_described_otherwise_is_noted(rows):
    record = {
        "activity_id": "fish",
        "activity_type": "game",
        "object_key": "c.jsonl",
        "etag": "v1",
        "line_number": 1,
        "landed_at": "2021-01-01 00:00:00",
        "load_id": 1,
    }
    again = record | {"etag": "v2", "landed_at": "2021-01-02 00:00:00", "load_id": 2}
    known = table_of(schema.STG_ACTIVITIES, record)

    def changed_by(delivery):
        bronze = table_of(schema.BRONZE_ACTIVITIES, delivery)
        last = find_last_activities(bronze, known, loads(2))
        return len(rows(stage_activities(last, known, loads(2))[0]))

    assert changed_by(again) == 0
    assert changed_by(again | {"activity_type": "video"}) == 1


def test_a_record_that_arrived_before_the_known_one_is_not_the_last(rows):
    known = table_of(
        schema.STG_USERS, a_user(landed_at="2021-01-09 00:00:00", load_id=1, etag="v2")
    )
    bronze = table_of(
        schema.BRONZE_USERS, a_user(landed_at="2021-01-08 00:00:00", load_id=2, etag="v1")
    )

    assert rows(find_last_users(bronze, known, loads(2))) == []
