"""How far a user came, when they were active, and what a subscription changed."""

from __future__ import annotations

import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.marts.nodes import build_user_journeys


def a_user(number=900, **values):
    return {
        "user_id": an_id(number),
        "country_code": "es",
        "registration_at": "2021-01-06 23:59:59",
    } | values


def played(day, number=900, **values):
    return {
        "user_id": an_id(number),
        "date": day,
        "os_name": "iOS",
        "activities_played": 1,
        "activities_completed": 1,
    } | values


def journey(rows, user, *activity, days=7):
    """The journey of one user."""
    (built,) = rows(
        build_user_journeys(
            table_of(schema.STG_USERS, user),
            table_of(schema.USER_ACTIVITY_DAILY, *activity),
            days,
            "UTC",
        )
    )
    return built


def test_days_before_and_after_a_subscription_are_compared_and_its_own_day_is_in_neither(rows):
    subscriber = a_user(subscription_start_at="2021-01-10 23:59:59")
    days = {f"2021-01-{day:02}": 10**place for place, day in enumerate((2, 3, 9, 10, 11, 17, 18))}

    built = journey(
        rows, subscriber, *(played(day, activities_completed=n) for day, n in days.items())
    )

    assert built["completed_before"] == 10 + 100  # the 3rd and the 9th
    assert built["completed_after"] == 10_000 + 100_000  # the 11th and the 17th
    assert built["compared_days"] == 7


def test_weeks_count_from_the_monday_of_the_registration_and_those_before_do_not(rows):
    # registered on a Wednesday; played the Sunday before, on the Monday, and two weeks later, twice
    days = ("2021-01-03", "2021-01-04", "2021-01-18", "2021-01-24")

    built = journey(rows, a_user(), *map(played, days))

    assert built["active_weeks"] == [0, 2]
    assert built["active_days"] == 4
    assert (str(built["first_active_date"]), str(built["last_active_date"])) == (
        "2021-01-03",
        "2021-01-24",
    )


def test_a_user_without_activity_or_milestones_has_a_journey(rows):
    built = journey(rows, a_user(country_code=None, registration_at=None))

    assert built["country_code"] == built["main_os_name"] == "unknown"
    assert built["active_weeks"] == []
    assert built["active_days"] == built["completed_before"] == built["completed_after"] == 0
    assert built["registration_date"] is built["first_active_date"] is None


def test_without_a_registration_there_is_no_week_to_count_from(rows):
    built = journey(rows, a_user(registration_at=None), played("2021-01-05"))

    assert built["active_weeks"] == []
    assert built["active_days"] == 1


@pytest.mark.parametrize(
    ("exits", "expected"),
    [
        ({"iOS": 2, "Android": 1}, "iOS"),
        ({"iOS": 1, "Android": 1}, "Android"),
        ({"unknown": 9, "iOS": 1}, "iOS"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_the_main_system_has_most_exits_and_of_equals_is_the_first_by_name(rows, exits, expected):
    activity = [
        played("2021-01-05", os_name=name, activities_played=n) for name, n in exits.items()
    ]

    assert journey(rows, a_user(), *activity)["main_os_name"] == expected


def test_a_user_without_a_record_has_no_journey(rows):
    built = build_user_journeys(
        table_of(schema.STG_USERS),
        table_of(schema.USER_ACTIVITY_DAILY, played("2021-01-05")),
        7,
        "UTC",
    )

    assert rows(built) == []
