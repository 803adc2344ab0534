"""The three questions of the exercise, against answers worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pytest

from builders import table_of
from lingokids import schema
from lingokids.pipelines.analytics.nodes import (
    answer_completion_rate,
    answer_price_tier_engagement,
    answer_subscription_impact,
)
from lingokids.storage import CsvDataset

JANUARY = ("2025-01", 7)


def an_exit(event_id, user_id="1", activity_id="a1", **values):
    return {
        "event_id": event_id,
        "user_id": user_id,
        "activity_id": activity_id,
        "event_type": "activity_exit",
        "created_at": "2025-01-09 10:00:00",
        "duration_seconds": "60",
        "completed": True,
    } | values


def events(*rows):
    return table_of(schema.EXERCISE_EVENTS, *rows)


ACTIVITIES = table_of(
    schema.EXERCISE_ACTIVITIES,
    {"activity_id": "a1", "theme": "Math", "price_tier": "free"},
    {"activity_id": "a2", "theme": "Art", "price_tier": "premium"},
    {"activity_id": "a3", "theme": "Math", "price_tier": "premium"},
)


def test_completion_rate_by_theme(rows):
    answer = answer_completion_rate(
        events(
            an_exit("e1"),
            an_exit("e2", activity_id="a3", completed=False),
            an_exit("e3", activity_id="a3", completed=False),
            an_exit("e4", event_type="activity_enter", completed=None),
            an_exit("e5", activity_id="not there"),
        ),
        ACTIVITIES,
    )

    # Math: e1, e2, e3, of which e1 completed: a third. Art was not played.
    assert [tuple(row.values()) for row in rows(answer)] == [("Math", 3, 1, Decimal("33.33"))]


def test_engagement_by_price_tier(rows):
    answer = answer_price_tier_engagement(
        events(
            an_exit("e1", "1", duration_seconds="10"),
            an_exit("e2", "2", duration_seconds="25"),
            an_exit("e3", "2", completed=False, duration_seconds="5"),
            an_exit("e4", "2", activity_id="a2", duration_seconds="100"),
        ),
        ACTIVITIES,
    )

    # free: users 1 and 2, three exits of 10 + 25 + 5 = 40 s, two completed
    assert sorted(tuple(row.values()) for row in rows(answer)) == [
        ("free", 2, 3, 2, Decimal("40.000"), Decimal("13.33"), Decimal("66.67")),
        ("premium", 1, 1, 1, Decimal("100.000"), Decimal("100.00"), Decimal("100.00")),
    ]


def test_subscription_impact_by_platform(rows):
    subscriptions = table_of(
        schema.EXERCISE_SUBSCRIPTIONS,
        {"user_id": "1", "subscription_date": "2025-01-10", "platform": "apple"},
        {"user_id": "2", "subscription_date": "2025-01-31", "platform": "apple"},
        {"user_id": "3", "subscription_date": "2025-01-01", "platform": "google"},
        {"user_id": "4", "subscription_date": "2025-02-01", "platform": "google"},
    )
    played = [
        ("1", "2025-01-02 23:59:59", "eight days before: not counted"),
        ("1", "2025-01-03 00:00:00", "seven days before"),
        ("1", "2025-01-09 23:59:59", "one day before"),
        ("1", "2025-01-10 12:00:00", "the day itself: in neither"),
        ("1", "2025-01-11 00:00:00", "one day after"),
        ("1", "2025-01-17 23:59:59", "seven days after"),
        ("1", "2025-01-17 10:00:00", "seven days after"),
        ("1", "2025-01-18 00:00:00", "eight days after: not counted"),
        ("4", "2025-02-02 00:00:00", "subscribed in another month: not counted"),
    ]
    exits = [an_exit(str(n), user, created_at=at) for n, (user, at, _) in enumerate(played)]
    exits.append(an_exit("left", "1", created_at="2025-01-09 10:00:00", completed=False))

    answer = answer_subscription_impact(events(*exits), subscriptions, *JANUARY)

    # apple: user 1 with 2 before and 3 after, user 2 with none: averages over two users
    assert sorted(tuple(row.values()) for row in rows(answer)) == [
        ("apple", 2, Decimal("1.00"), Decimal("1.50"), Decimal("50.00")),
        ("google", 1, Decimal("0.00"), Decimal("0.00"), None),
    ]


def impact(subscribed, *played, month="2025-01", days=7, **values):
    """The answer for user 1, who subscribed on a day and completed exits at some instants."""
    subscription = {"user_id": "1", "subscription_date": subscribed, "platform": "apple"}
    exits = [an_exit(f"e{n}", created_at=at, **values) for n, at in enumerate(played)]
    return answer_subscription_impact(
        events(*exits),
        table_of(schema.EXERCISE_SUBSCRIPTIONS, subscription),
        month,
        days,
    )


def before_and_after(rows, answer):
    return [
        (float(row["average_completed_before"]), float(row["average_completed_after"]))
        for row in rows(answer)
    ]


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        ("2025-01-07 23:59:59.999", (0, 0)),  # the eighth day before ends
        ("2025-01-08 00:00:00", (1, 0)),  # the seventh day before begins
        ("2025-01-14 23:59:59.999", (1, 0)),  # the day before ends
        ("2025-01-15 00:00:00", (0, 0)),  # the day itself begins
        ("2025-01-15 23:59:59.999", (0, 0)),  # the day itself ends
        ("2025-01-16 00:00:00", (0, 1)),  # the day after begins
        ("2025-01-22 23:59:59.999", (0, 1)),  # the seventh day after ends
        ("2025-01-23 00:00:00", (0, 0)),  # the eighth day after begins
    ],
)
def test_the_seven_days_before_and_after_are_whole_days_without_the_day_itself(rows, at, counted):
    assert before_and_after(rows, impact("2025-01-15", at)) == [counted]


def test_days_before_and_after_may_lie_in_other_months(rows):
    first = impact("2025-01-01", "2024-12-31 12:00:00", "2025-01-02 12:00:00")
    last = impact("2025-01-31", "2025-01-30 12:00:00", "2025-02-01 12:00:00", "2025-02-07 12:00:00")

    assert before_and_after(rows, first) == [(1, 1)]
    assert before_and_after(rows, last) == [(1, 2)]


@pytest.mark.parametrize(
    ("subscribed", "month", "is_asked"),
    [
        ("2025-01-01", "2025-01", True),
        ("2025-01-31", "2025-01", True),
        ("2024-12-31", "2025-01", False),
        ("2025-02-01", "2025-01", False),
        ("2024-01-15", "2025-01", False),  # the same month of another year
        ("2024-12-31", "2024-12", True),
        ("2024-02-29", "2024-02", True),
    ],
)
def test_only_subscriptions_of_the_month_count(rows, subscribed, month, is_asked):
    assert len(rows(impact(subscribed, month=month))) == is_asked


def test_the_number_of_days_is_a_parameter(rows):
    played = ("2025-01-12 12:00:00", "2025-01-14 12:00:00", "2025-01-16 12:00:00")

    assert before_and_after(rows, impact("2025-01-15", *played, days=1)) == [(1, 1)]
    assert before_and_after(rows, impact("2025-01-15", *played, days=3)) == [(2, 1)]


@pytest.mark.parametrize("left", [{"completed": False}, {"completed": None}])
def test_an_exit_that_was_not_completed_does_not_count(rows, left):
    assert before_and_after(rows, impact("2025-01-15", "2025-01-14 12:00:00", **left)) == [(0, 0)]


def test_an_enter_does_not_count(rows):
    entered = impact("2025-01-15", "2025-01-14 12:00:00", event_type="activity_enter")

    assert before_and_after(rows, entered) == [(0, 0)]


def test_a_subscriber_without_activity_lowers_the_average_of_his_platform(rows):
    subscriptions = table_of(
        schema.EXERCISE_SUBSCRIPTIONS,
        *(
            {"user_id": user, "subscription_date": "2025-01-15", "platform": "apple"}
            for user in ("1", "idle", "also idle")
        ),
    )
    exits = [an_exit(f"e{n}", created_at="2025-01-16 12:00:00") for n in range(4)]

    (row,) = rows(answer_subscription_impact(events(*exits), subscriptions, *JANUARY))

    # 0, 0 and 0 before; 4, 0 and 0 after: 4 / 3
    assert row["subscribers"] == 3
    assert row["average_completed_after"] == Decimal("1.33")
    assert row["change_percentage"] is None


@pytest.mark.parametrize(
    ("file", "again", "warned"),
    [
        ("activity_events.csv", "e1,1,a1,activity_exit,2025-01-09 10:00:00,60,true", "1 of 4"),
        ("activities.csv", "a1,Counting Stars,Math,free", "1 of 3"),
        ("subscriptions.csv", "1,2025-01-10,apple,7.99", "1 of 2"),
        # the last row of a key counts
        ("activity_events.csv", "e3,1,a2,activity_exit,2025-01-12 10:00:00,30,false", "1 of 4"),
    ],
)
def test_a_row_that_stands_twice_in_a_file_of_the_exercise_counts_once(
    project, caplog, file, again, warned
):
    """Keys: event_id; activity_id; user_id, subscription_date and platform."""
    path = project.folder / "raw" / "exercises" / file
    path.write_text(f"{path.read_text()}{again}\n")

    project.run("analytics")

    assert f"{file}: {warned} rows have a key (" in caplog.text
    assert project.table("q1_completion_rate") == [
        ("Art", 1, 0, Decimal("0.00")),
        ("Math", 1, 1, Decimal("100.00")),
    ]
    assert project.table("q2_price_tier_engagement") == [
        ("free", 1, 1, 1, Decimal("60.000"), Decimal("60.00"), Decimal("100.00")),
        ("premium", 1, 1, 0, Decimal("30.000"), Decimal("30.00"), Decimal("0.00")),
    ]
    assert project.table("q3_subscription_impact") == [
        ("apple", 1, Decimal("1.00"), Decimal("0.00"), Decimal("-100.00"))
    ]


def test_what_is_made_as_a_whole_is_made_again_when_what_it_is_made_of_differs(project):
    project.run("analytics")
    # whether it is worked out is seen by a row that nobody but a person at the file changed
    with duckdb.connect(str(project.database)) as con:
        con.execute("UPDATE q2_price_tier_engagement SET users = 7 WHERE price_tier = 'free'")

    def users() -> int:
        ((number,),) = project.rows(
            "SELECT users FROM q2_price_tier_engagement WHERE price_tier = 'free'"
        )
        return number

    project.run("analytics")
    assert users() == 7
    project.run("analytics", rebuild="bronze")
    assert users() == 1
    path = project.folder / "raw" / "exercises" / "activity_events.csv"
    path.write_text(f"{path.read_text()}e9,9,a1,activity_exit,2025-01-09 10:00:00,60,true\n")
    project.run("analytics")
    assert users() == 2


def test_of_a_key_that_stands_twice_the_last_row_counts_and_rows_without_a_key_stay(
    tmp_path, caplog
):
    file = tmp_path / "activities.csv"
    file.write_text(
        "activity_id,activity_name,theme,price_tier\n"
        "a1,Stars,Math,free\n,None,Art,free\na1,Stars,Music,free\n,None,Art,free\na2,Fish,Art,free\n"
    )
    read = CsvDataset(filepath=str(file), contract="EXERCISE_ACTIVITIES").load()

    themes = read.select("activity_id", "theme").to_pyarrow().to_pylist()
    assert [(row["activity_id"], row["theme"]) for row in themes] == [
        *((None, "Art"), ("a1", "Music"), (None, "Art"), ("a2", "Art"))
    ]
    assert "activities.csv: 1 of 5 rows have a key (activity_id) that comes again" in caplog.text
