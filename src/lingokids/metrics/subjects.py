"""The subjects of metrics: each one's gold table, rows, day and dimensions."""

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
    """What a metric is about.

    Attributes:
        table_name: The gold table it is computed from.
        counts: What is counted, in a sentence.
        day: Which day assigns a row to a period.
        dimensions: The columns to group and filter by.
        rows: From the table to the rows to count: ``user_id``, the dimensions, ``date``.
    """

    name: str
    table_name: str
    counts: str
    day: str
    dimensions: tuple[str, ...]
    rows: Callable[[ir.Table], ir.Table]


def first_day_of_week(day: ir.DateValue) -> ir.DateValue:
    """The Monday of a day's ISO week."""
    return day.cast("timestamp").truncate("W").date()


def weeks_between(day: ir.DateValue, later: ir.DateValue) -> ir.IntegerValue:
    """The number of ISO weeks from a day to a later one: 0 within a week."""

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
    """One row per registered user and full week since their registration.

    A week is full if it lies between the first and the last day with any activity. A partial week
    would understate retention.
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
    counts="Activities that users left (`activity_exit`), each event once (last delivery).",
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
    counts="Registered users and how far they have come since, by their latest record.",
    day="UTC day of registration",
    dimensions=_PEOPLE,
    rows=_registered,
)

RETENTION = Subject(
    name="retention",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Registered users in each full ISO week since their registration; full: between the "
    "first and the last day with any activity.",
    day="UTC day of registration: `--grain week` gives weekly cohorts",
    dimensions=("weeks_after_registration", *_PEOPLE),
    rows=_observed_weeks,
)

SUBSCRIPTION = Subject(
    name="subscription",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Subscribers, and the activities they completed in the `subscription_impact.days` "
    "before and after the day of subscription, that day excluded.",
    day="UTC day of subscription",
    dimensions=_PEOPLE,
    rows=_subscribed,
)

SUBJECTS = (ACTIVITY, REGISTRATION, RETENTION, SUBSCRIPTION)
