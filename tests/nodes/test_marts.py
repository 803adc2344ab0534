"""What the tables of days count."""

from __future__ import annotations

from decimal import Decimal

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.marts.nodes import (
    build_engagement_metrics,
    build_user_activity,
    rank_activities,
)


def an_event(number=1, **values):
    return {
        "event_id": an_id(number),
        "activity_id": "fish",
        "subscription_status": "free",
        "date": "2021-01-05",
        "duration_seconds": "60.500",
        "completed_flag": True,
    } | values


def user_activity(events, *, os_names=None, duration_cap_seconds=3600, session_gap_minutes=30):
    return build_user_activity(events, os_names or {}, duration_cap_seconds, session_gap_minutes)


def test_measures_are_added_up_and_the_rate_is_their_quotient(rows):
    events = table_of(
        schema.ENRICHED_EVENTS,
        an_event(1, duration_seconds="0.100"),
        an_event(2, duration_seconds="0.200", completed_flag=False),
        an_event(3, duration_seconds=None, completed_flag=None),
    )

    (row,) = rows(build_engagement_metrics(events, {}))

    assert (row["activities_played"], row["activities_completed"]) == (3, 1)
    assert row["total_time_spent"] == Decimal("0.300")
    assert row["completion_rate"] == 1 / 3


def test_no_grain_column_is_null(rows):
    events = table_of(schema.ENRICHED_EVENTS, an_event())

    (row,) = rows(build_engagement_metrics(events, {}))

    assert row["country_code"] == row["os_name"] == row["os_version"] == "unknown"
    assert row["app_version"] == row["activity_type"] == "unknown"
    assert row["collection_id"] == "none"


def test_spellings_of_the_operating_system_are_counted_together_on_request(rows):
    events = table_of(
        schema.ENRICHED_EVENTS, an_event(1, os_name="iPhone OS"), an_event(2, os_name="iOS")
    )

    def names(spellings):
        built = build_engagement_metrics(events, spellings)
        return sorted((row["os_name"], row["activities_played"]) for row in rows(built))

    assert names({}) == [("iOS", 1), ("iPhone OS", 1)]
    assert names({"iPhone OS": "iOS"}) == [("iOS", 2)]


def test_each_user_and_activity_has_a_row_of_its_own_in_a_slice(rows):
    events = table_of(
        schema.ENRICHED_EVENTS,
        an_event(1, user_id=an_id(901), os_name="iPhone OS", duration_seconds="1"),
        an_event(2, user_id=an_id(901), os_name="iOS", duration_seconds="2", completed_flag=None),
        an_event(3, user_id=an_id(902), os_name="iOS", activity_name="Paint a Fish"),
        an_event(4, user_id=an_id(902), os_name="iOS", date="2021-01-06"),
    )

    built = rows(user_activity(events, os_names={"iPhone OS": "iOS"}))

    assert sorted(
        (
            *(str(row["date"]), str(row["user_id"]), row["os_name"], row["country_code"]),
            *(row["activity_name"], row["activities_played"], row["activities_completed"]),
            row["total_time_spent"],
        )
        for row in built
    ) == [
        ("2021-01-05", an_id(901), "iOS", "unknown", None, 2, 1, Decimal("3.000")),
        ("2021-01-05", an_id(902), "iOS", "unknown", "Paint a Fish", 1, 1, Decimal("60.500")),
        ("2021-01-06", an_id(902), "iOS", "unknown", None, 1, 1, Decimal("60.500")),
    ]


def test_activities_are_ranked_within_their_day_and_equals_share_a_rank(rows):
    events = table_of(
        schema.ENRICHED_EVENTS,
        an_event(1, activity_id="often", duration_seconds="1"),
        an_event(2, activity_id="often", duration_seconds="1"),
        an_event(3, activity_id="long", duration_seconds="100"),
        an_event(4, activity_id="same", duration_seconds="100"),
        an_event(5, activity_id="other day", duration_seconds="1", date="2021-01-06"),
    )

    ranked = {
        row["activity_id"]: (row["rank_by_count"], row["rank_by_time"])
        for row in rows(rank_activities(events))
    }

    of_the_day = {"often": (1, 3), "long": (2, 1), "same": (2, 1)}
    assert ranked == of_the_day | {"other day": (1, 1)}


# --- sessions and capped time -------------------------------------------------------------------


def sessions(rows, *events, **rules):
    """The sessions that begin with each activity that is named, and the time that counts."""
    at_once = {"user_id": an_id(900), "duration_seconds": "0"}
    exits = [an_event(number, **at_once | event) for number, event in enumerate(events, start=1)]
    activity = user_activity(table_of(schema.ENRICHED_EVENTS, *exits), **rules)
    return {
        row["activity_id"]: (row["sessions"], row["capped_time_spent"]) for row in rows(activity)
    }


def test_a_pause_longer_than_the_gap_begins_a_session_one_as_long_does_not(rows):
    begun = sessions(
        rows,
        {"activity_id": "a", "occurred_at": "2021-01-05 10:00:00"},
        {"activity_id": "b", "occurred_at": "2021-01-05 10:30:00"},
        {"activity_id": "c", "occurred_at": "2021-01-05 11:00:00.001"},
    )

    assert {name: count for name, (count, _) in begun.items()} == {"a": 1, "b": 0, "c": 1}


def test_a_pause_is_from_leaving_one_activity_to_opening_the_next(rows):
    begun = sessions(
        rows,
        {"activity_id": "a", "occurred_at": "2021-01-05 10:00:00"},
        # opened 10:20
        {"activity_id": "b", "occurred_at": "2021-01-05 11:00:00", "duration_seconds": "2400"},
        {"activity_id": "c", "occurred_at": "2021-01-05 11:31:00", "duration_seconds": None},
    )

    assert {name: count for name, (count, _) in begun.items()} == {"a": 1, "b": 0, "c": 1}


def test_an_activity_counts_no_longer_than_the_cap_and_was_opened_no_longer_ago(rows):
    begun = sessions(
        rows,
        {"activity_id": "a", "occurred_at": "2021-01-05 10:00:00", "duration_seconds": "600"},
        {"activity_id": "b", "occurred_at": "2021-01-05 12:00:00", "duration_seconds": "600.001"},
        {"activity_id": "c", "occurred_at": "2021-01-05 13:00:00", "duration_seconds": "90000"},
        duration_cap_seconds=600,
        session_gap_minutes=60,
    )

    # the last one was opened a day before, but counts as opened at 12:50
    capped = Decimal("600.000")
    assert begun == {"a": (1, capped), "b": (1, capped), "c": (0, capped)}


def test_events_of_one_instant_are_one_session_and_begin_with_the_first_id(rows):
    same = {"occurred_at": "2021-01-05 10:00:00"}

    begun = sessions(rows, {"activity_id": "b"} | same, {"activity_id": "a"} | same)

    assert {name: count for name, (count, _) in begun.items()} == {"b": 1, "a": 0}


def test_a_session_is_of_one_user_and_ends_at_midnight(rows):
    events = table_of(
        schema.ENRICHED_EVENTS,
        an_event(1, user_id=an_id(900), date="2021-01-04", occurred_at="2021-01-04 23:59:00"),
        an_event(2, user_id=an_id(900), occurred_at="2021-01-05 00:01:00"),
        an_event(3, user_id=an_id(901), occurred_at="2021-01-05 00:02:00"),
    )

    assert [row["sessions"] for row in rows(user_activity(events))] == [1, 1, 1]
