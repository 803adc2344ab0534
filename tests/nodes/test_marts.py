"""What the gold tables count, and for which days."""

from __future__ import annotations

from decimal import Decimal

import pytest

from builders import an_id, table_of
from lingokids import contracts, windows
from lingokids.pipelines.marts.nodes import (
    build_engagement_metrics,
    build_user_activity,
    find_due_days,
    rank_activities,
)

NO_WINDOW = {"start": None, "end": None, "lookback_days": 0}
AS_USUAL = ({}, 3600, 30)  # os_names, duration_cap_seconds, session_gap_minutes
RULES = windows.rules_of_gold(*AS_USUAL)


def an_event(number=1, **values):
    return {
        "event_id": an_id(number),
        "activity_id": "fish",
        "subscription_status": "free",
        "date": "2021-01-05",
        "duration_seconds": "60.500",
        "completed_flag": True,
    } | values


def due(*days):
    return table_of(
        contracts.DUE_DAYS, *({"date": day, "revision": 1, "rules": RULES} for day in days)
    )


def user_activity(events, *, users=(), known=(), journeys=(), os_names=None, **rules):
    """What ``build_user_activity`` makes of the events of 2021-01-05."""
    given = {"duration_cap_seconds": 3600, "session_gap_minutes": 30} | rules
    return build_user_activity(
        events,
        due("2021-01-05"),
        table_of(contracts.STG_USERS, *users),
        table_of(contracts.USER_ACTIVITY_DAILY, *known),
        table_of(contracts.USER_JOURNEYS, *journeys),
        os_names or {},
        **given,
        subscription_impact={"month": "2021-01", "days": 7},
    )


def test_measures_are_added_up_and_the_rate_is_their_quotient(rows):
    events = table_of(
        contracts.ENRICHED_EVENTS,
        an_event(1, duration_seconds="0.100"),
        an_event(2, duration_seconds="0.200", completed_flag=False),
        an_event(3, duration_seconds=None, completed_flag=None),
    )

    (row,) = rows(build_engagement_metrics(events, due("2021-01-05"), {}))

    assert (row["activities_played"], row["activities_completed"]) == (3, 1)
    assert row["total_time_spent"] == Decimal("0.300")
    assert row["completion_rate"] == 1 / 3


def test_no_grain_column_is_null(rows):
    events = table_of(contracts.ENRICHED_EVENTS, an_event())

    (row,) = rows(build_engagement_metrics(events, due("2021-01-05"), {}))

    assert row["country_code"] == row["os_name"] == row["os_version"] == "unknown"
    assert row["app_version"] == row["activity_type"] == "unknown"
    assert row["collection_id"] == "none"


def test_spellings_of_the_operating_system_are_counted_together_on_request(rows):
    events = table_of(
        contracts.ENRICHED_EVENTS, an_event(1, os_name="iPhone OS"), an_event(2, os_name="iOS")
    )

    def names(spellings):
        built = build_engagement_metrics(events, due("2021-01-05"), spellings)
        return sorted((row["os_name"], row["activities_played"]) for row in rows(built))

    assert names({}) == [("iOS", 1), ("iPhone OS", 1)]
    assert names({"iPhone OS": "iOS"}) == [("iOS", 2)]


def test_each_user_and_activity_has_a_row_of_its_own_in_a_slice(rows):
    events = table_of(
        contracts.ENRICHED_EVENTS,
        an_event(1, user_id=an_id(901), os_name="iPhone OS", duration_seconds="1"),
        an_event(2, user_id=an_id(901), os_name="iOS", duration_seconds="2", completed_flag=None),
        an_event(3, user_id=an_id(902), os_name="iOS", activity_name="Paint a Fish"),
        an_event(4, user_id=an_id(902), os_name="iOS", date="2021-01-06"),
    )

    _, activity = user_activity(events, os_names={"iPhone OS": "iOS"})
    built = rows(activity)

    assert sorted(
        (
            *(str(row["user_id"]), row["os_name"], row["country_code"], row["collection_id"]),
            *(row["activity_name"], row["activities_played"], row["activities_completed"]),
            row["total_time_spent"],
        )
        for row in built
    ) == [
        (an_id(901), "iOS", "unknown", "none", None, 2, 1, Decimal("3.000")),
        (an_id(902), "iOS", "unknown", "none", "Paint a Fish", 1, 1, Decimal("60.500")),
    ]


def test_only_due_days_are_built(rows):
    events = table_of(contracts.ENRICHED_EVENTS, an_event(1), an_event(2, date="2021-01-06"))

    built = rows(build_engagement_metrics(events, due("2021-01-06"), {}))

    assert [str(row["date"]) for row in built] == ["2021-01-06"]


def test_activities_are_ranked_within_their_day_and_equals_share_a_rank(rows):
    events = table_of(
        contracts.ENRICHED_EVENTS,
        an_event(1, activity_id="often", duration_seconds="1"),
        an_event(2, activity_id="often", duration_seconds="1"),
        an_event(3, activity_id="long", duration_seconds="100"),
        an_event(4, activity_id="same", duration_seconds="100"),
    )

    ranked = {
        row["activity_id"]: (row["rank_by_count"], row["rank_by_time"])
        for row in rows(rank_activities(events, due("2021-01-05")))
    }

    assert ranked == {"often": (1, 3), "long": (2, 1), "same": (2, 1)}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (NO_WINDOW, ["2021-01-05"]),
        (
            NO_WINDOW | {"start": "2021-01-02", "end": "2021-01-04"},
            ["2021-01-02", "2021-01-03", "2021-01-05"],
        ),
        (NO_WINDOW | {"end": "2021-01-02"}, ["2021-01-01", "2021-01-05"]),
        (NO_WINDOW | {"start": "2021-01-06"}, ["2021-01-05", "2021-01-06"]),
        (NO_WINDOW | {"lookback_days": 2}, ["2021-01-03", "2021-01-04", "2021-01-05"]),
    ],
)
def test_days_newer_than_gold_are_due_and_those_asked_for(rows, window, expected):
    days = [f"2021-01-0{day}" for day in range(1, 7)]
    current = table_of(contracts.ENRICHED_DAYS, *({"date": day, "revision": 2} for day in days))
    reflected = table_of(
        contracts.GOLD_DAYS,
        *({"date": day, "revision": 1 if day.endswith("5") else 2, "rules": RULES} for day in days),
    )

    found = rows(find_due_days(current, reflected, window, *AS_USUAL))

    assert sorted(str(row["date"]) for row in found) == expected
