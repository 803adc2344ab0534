"""The three questions of the exercise, against answers worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from builders import table_of
from lingokids import contracts
from lingokids.errors import LingokidsError
from lingokids.pipelines.analytics.nodes import (
    answer_completion_rate,
    answer_price_tier_engagement,
    answer_subscription_impact,
)

JANUARY = {"month": "2025-01", "days": 7}


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
    return table_of(contracts.EXERCISE_EVENTS, *rows)


ACTIVITIES = table_of(
    contracts.EXERCISE_ACTIVITIES,
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
        contracts.EXERCISE_SUBSCRIPTIONS,
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

    answer = answer_subscription_impact(events(*exits), subscriptions, JANUARY)

    # apple: user 1 with 2 before and 3 after, user 2 with none: averages over two users
    assert sorted(tuple(row.values()) for row in rows(answer)) == [
        ("apple", 2, Decimal("1.00"), Decimal("1.50"), Decimal("50.00")),
        ("google", 1, Decimal("0.00"), Decimal("0.00"), None),
    ]


def test_a_month_written_otherwise_is_refused():
    with pytest.raises(LingokidsError, match="write a month as YYYY-MM"):
        answer_subscription_impact(
            events(), table_of(contracts.EXERCISE_SUBSCRIPTIONS), {"month": "January", "days": 7}
        )
