"""What metrics are about: the gold table that answers them, and what one counts there.

Here: for each subject its table, its rows, the day that places a row in a period, and the
dimensions it may be split by. Elsewhere: the metrics (``definitions``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids import schema

if TYPE_CHECKING:
    import ibis.expr.types as ir

UNKNOWN = "unknown"
NO_COLLECTION = "none"


@dataclass(frozen=True)
class Subject:
    """One thing that metrics are about.

    Attributes:
        table_name: The gold table that answers.
        counts: What one counts, in a sentence.
        day: Which day places a row in a period and in a span.
        dimensions: The columns that it may be split and filtered by.
        rows: The rows that count, made of the table: ``user_id``, the dimensions, ``date``.
    """

    name: str
    table_name: str
    counts: str
    day: str
    dimensions: tuple[str, ...]
    rows: Callable[[ir.Table], ir.Table]


def first_day_of_week(day: ir.DateValue) -> ir.DateValue:
    """The Monday of the ISO week that a day lies in."""
    return day.cast("timestamp").truncate("W").date()


def weeks_between(day: ir.DateValue, later: ir.DateValue) -> ir.IntegerValue:
    """How many ISO weeks later a day lies: 0 within the same week."""

    def week(of: ir.DateValue) -> ir.IntegerValue:
        return (of.epoch_days() + 3) // 7  # day 4 of the epoch was a Monday

    return (week(later) - week(day)).cast("int64")


def _played(user_activity_daily: ir.Table) -> ir.Table:
    return user_activity_daily.mutate(activity_name=_.activity_name.fill_null(UNKNOWN))


def _registered(user_journeys: ir.Table) -> ir.Table:
    known = user_journeys.filter(_.registration_date.notnull())
    return known.mutate(date=_.registration_date)


def _subscribed(user_journeys: ir.Table) -> ir.Table:
    subscribers = user_journeys.filter(_.subscription_start_date.notnull())
    return subscribers.mutate(date=_.subscription_start_date)


def _observed_weeks(user_journeys: ir.Table) -> ir.Table:
    """One row per registered user and week after his registration that was observed whole.

    Observed are the days from the first to the last activity of anyone. A week that began before
    or is not over yet would count as one of absence.
    """
    observed = user_journeys.aggregate(
        first_day=_.first_active_date.min(), last_day=_.last_active_date.max()
    )
    users = _registered(user_journeys).cross_join(observed)
    monday = first_day_of_week(users.registration_date).epoch_days()
    # whole weeks between, rounded up for the first and down for the last
    first = ibis.greatest(0, (users.first_day.epoch_days() - monday + 6) // 7).cast("int64")
    after_last = ((users.last_day.epoch_days() - monday + 1) // 7).cast("int64")
    weeks = users.mutate(weeks_after_registration=ibis.range(first, after_last).unnest())
    return weeks.mutate(is_active=_.active_weeks.contains(_.weeks_after_registration))


_PEOPLE = ("country_code", "main_os_name")

ACTIVITY = Subject(
    name="activity",
    table_name=schema.USER_ACTIVITY_DAILY.table_name,
    counts="Activities that users left (`activity_exit`), each event once, by its last delivery.",
    day="UTC day of the event",
    dimensions=(
        *("country_code", "os_name", "os_version", "app_version"),
        *("subscription_status", "activity_type", "collection_id"),
        *("activity_id", "activity_name"),
    ),
    rows=_played,
)

REGISTRATION = Subject(
    name="registration",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Registered users, and how far they came since, by their last record.",
    day="UTC day of the registration",
    dimensions=_PEOPLE,
    rows=_registered,
)

RETENTION = Subject(
    name="retention",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Registered users in each ISO week after that of their registration which was observed "
    "whole: from the first day with activity to the last.",
    day="UTC day of the registration: `--grain week` makes a row of each cohort",
    dimensions=("weeks_after_registration", *_PEOPLE),
    rows=_observed_weeks,
)

SUBSCRIPTION = Subject(
    name="subscription",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Subscribers, and the activities they completed in the `subscription_impact.days` "
    "before and after the day on which the subscription began, that day in neither.",
    day="UTC day on which the subscription began",
    dimensions=_PEOPLE,
    rows=_subscribed,
)

SUBJECTS = (ACTIVITY, REGISTRATION, RETENTION, SUBSCRIPTION)
