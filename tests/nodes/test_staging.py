"""The last delivery of each event, user and activity."""

from __future__ import annotations

import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.staging.nodes import stage_activities, stage_events, stage_users


def delivered(**values):
    return {
        "object_key": "a.jsonl",
        "etag": "v1",
        "line_number": 1,
        "landed_at": "2021-01-02 00:00:00",
        "load_id": 1,
        "is_current": True,
    } | values


def an_event(**values):
    return (
        delivered(
            event_id=an_id(1),
            event_name="activity_exit",
            occurred_at="2021-01-01 10:00:00",
            user_id=an_id(900),
            activity_id="fish",
        )
        | values
    )


@pytest.fixture
def staged(rows):
    return lambda *events: rows(stage_events(table_of(schema.BRONZE_EVENTS, *events), "UTC"))


def test_last_delivery_of_an_event_wins(staged):
    first = an_event(landed_at="2021-01-02 00:00:00", completed_flag=False, load_id=2)
    second = an_event(object_key="b", landed_at="2021-01-03 00:00:00", completed_flag=True)

    assert [row["completed_flag"] for row in staged(second, first)] == [True]


@pytest.mark.parametrize("later", [{"object_key": "b.jsonl"}, {"line_number": 2}])
def test_equal_arrival_times_are_ordered_by_object_and_line(staged, later):
    first, second = an_event(completed_flag=False), an_event(completed_flag=True, **later)

    assert [row["completed_flag"] for row in staged(second, first)] == [True]


def test_each_event_has_a_row_of_its_own(staged):
    events = staged(an_event(), an_event(event_id=an_id(2)), an_event(event_id=an_id(2), load_id=2))

    assert sorted(str(row["event_id"]) for row in events) == [an_id(1), an_id(2)]


def test_a_line_of_an_earlier_version_of_its_object_counts_no_more(staged):
    earlier = an_event(landed_at="2021-01-03 00:00:00", completed_flag=False, is_current=False)

    assert [row["completed_flag"] for row in staged(earlier, an_event(completed_flag=True))] == [
        True
    ]
    assert staged(earlier) == []


def test_an_event_corrected_to_another_name_has_no_row(staged):
    correction = an_event(line_number=2, event_name="activity_enter")

    assert staged(an_event(), correction) == []


def test_the_day_is_that_of_the_event_and_not_of_its_arrival(staged):
    late = an_event(occurred_at="2021-01-01 23:59:59.999", landed_at="2021-03-01 00:00:00")

    assert [str(row["date"]) for row in staged(late)] == ["2021-01-01"]


def test_the_last_record_of_a_user_or_activity_wins_as_a_whole(rows):
    again = {"object_key": "b.jsonl", "landed_at": "2021-01-03 00:00:00"}
    users = table_of(
        schema.BRONZE_USERS,
        delivered(user_id=an_id(900), country_code="es"),
        delivered(user_id=an_id(900), registration_at="2021-01-01 00:00:00", **again),
        delivered(user_id=an_id(901), country_code="fr"),
    )
    activities = table_of(
        schema.BRONZE_ACTIVITIES,
        delivered(activity_id="fish", activity_type="game"),
        delivered(activity_id="fish", activity_type="video", **again),
    )

    found = {str(row["user_id"]): row["country_code"] for row in rows(stage_users(users))}
    assert found == {an_id(900): None, an_id(901): "fr"}
    assert [row["activity_type"] for row in rows(stage_activities(activities))] == ["video"]
