"""Whose journey is due, and what it says."""

from __future__ import annotations

import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.marts.nodes import build_user_journeys, find_due_journeys


def a_user(number=900, **values):
    return {
        "user_id": an_id(number),
        "country_code": "es",
        "registration_at": "2021-01-06 23:59:59",
        "load_id": 1,
    } | values


def played(day, number=900, **values):
    return {
        "user_id": an_id(number),
        "date": day,
        "os_name": "iOS",
        "activities_played": 1,
        "activities_completed": 1,
    } | values


def test_those_with_a_due_day_or_a_journey_older_than_their_record_have_a_due_journey(rows):
    journey = {"load_id": 1, "compared_days": 7}

    found = rows(
        find_due_journeys(
            table_of(
                schema.DUE_USER_DAYS,
                {"date": "2021-01-05", "user_id": an_id(901)},
                {"date": "2021-01-06", "user_id": an_id(901)},
            ),
            table_of(schema.STG_USERS, a_user(1), a_user(2, load_id=2), a_user(3), a_user(4)),
            table_of(
                schema.USER_JOURNEYS,
                journey | {"user_id": an_id(1)},
                journey | {"user_id": an_id(2)},
                journey | {"user_id": an_id(3), "compared_days": 14},
            ),
            {"month": "2021-01", "days": 7},
        )
    )

    assert sorted(str(row["user_id"]) for row in found) == [an_id(n) for n in (2, 3, 4, 901)]


def journey(rows, user, *activity, days=7):
    """The journey of one user."""
    (built,) = rows(
        build_user_journeys(
            table_of(schema.STG_USERS, user),
            table_of(schema.USER_ACTIVITY_DAILY, *activity),
            table_of(schema.DUE_JOURNEYS, {"user_id": user["user_id"]}),
            {"month": "2021-01", "days": days},
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
        table_of(schema.DUE_JOURNEYS, {"user_id": an_id(900)}),
        {"month": "2021-01", "days": 7},
    )

    assert rows(built) == []
