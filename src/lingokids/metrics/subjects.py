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
        settles_weeks: How many weeks after its own a week's numbers are shared: those of a cohort
            grow for a while, and are shared once.
    """

    name: str
    table_name: str
    counts: str
    day: str
    dimensions: tuple[str, ...]
    rows: Callable[[ir.Table], ir.Table]
    settles_weeks: int = 0


#: Users whose days of activity may lie beyond the observed ones.
_MOST_APART = 4


def first_day_of_week(day: ir.DateValue) -> ir.DateValue:
    """The Monday of a day's ISO week."""
    return day.cast("timestamp").truncate("W").date()


def weeks_between(day: ir.IntegerValue, later: ir.IntegerValue) -> ir.IntegerValue:
    """The number of ISO weeks from a day of the epoch to a later one: 0 within a week."""

    def week(of: ir.IntegerValue) -> ir.IntegerValue:
        return (of + 3) // 7  # day 4 of the epoch was a Monday

    return (week(later) - week(day)).cast("int64")


def _played(user_activity_daily: ir.Table) -> ir.Table:
    return user_activity_daily.mutate(activity_name=_.activity_name.fill_null(UNKNOWN))


def _registered(user_journeys: ir.Table) -> ir.Table:
    known = user_journeys.filter(_.registration_date.notnull())
    return known.mutate(date=_.registration_date)


def _subscribed(user_journeys: ir.Table) -> ir.Table:
    subscribers = user_journeys.filter(_.subscription_start_date.notnull())
    return subscribers.mutate(date=_.subscription_start_date)


def last_shared_day(last_days: ir.Table) -> ir.IntegerScalar:
    """The newest day of activity, in days of the epoch, but for a few users.

    What a tablet with a wrong clock says is no day that others have lived: the last days of 5 % of
    the users, at most ``_MOST_APART``, do not count.

    Args:
        last_days: The day (in days of the epoch) of each user; NULL without activity.
    """
    days = last_days.filter(_.day.notnull()).group_by("day").aggregate(users=_.count())
    later = ibis.window(order_by=ibis.desc("day"), preceding=None, following=0)
    apart = ibis.least(_MOST_APART, _.users.sum().over() // 20)
    shared = days.mutate(users_since=_.users.sum().over(later), apart=apart)
    return shared.filter(_.users_since > _.apart).day.max().as_scalar()


def _observed_weeks(user_journeys: ir.Table) -> ir.Table:
    """One row per registered user and full week since their registration.

    A week is full if it lies between the first and the last day with any activity of known users,
    a few of them aside: see ``last_shared_day``. A partial week would understate retention.
    """
    users = _registered(user_journeys)
    first_days = user_journeys.select(day=-_.first_active_date.epoch_days())
    last_day = last_shared_day(user_journeys.select(day=_.last_active_date.epoch_days()))
    monday = first_day_of_week(users.registration_date).epoch_days()
    # whole weeks between, rounded up for the first and down for the last
    first = ibis.greatest(0, (-last_shared_day(first_days) - monday + 6) // 7).cast("int64")
    after_last = ((last_day - monday + 1) // 7).cast("int64")
    weeks = users.mutate(weeks_after_registration=ibis.range(first, after_last).unnest())
    return weeks.mutate(is_active=_.active_weeks.contains(_.weeks_after_registration))


_PEOPLE = ("country_code", "main_os_name")

ACTIVITY = Subject(
    name="activity",
    table_name=schema.USER_ACTIVITY_DAILY.table_name,
    counts="Activities that users left (`activity_exit`), each event once (last delivery).",
    day="day of the event",
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
    day="day of registration",
    dimensions=_PEOPLE,
    rows=_registered,
    settles_weeks=4,
)

RETENTION = Subject(
    name="retention",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Registered users in each full ISO week since their registration; full: between the "
    "first and the last day with any activity of known users, but for the 5 % of them (at most "
    f"{_MOST_APART}) whose days lie furthest out, as those of wrong clocks do.",
    day="day of registration: `--grain week` gives weekly cohorts",
    dimensions=("weeks_after_registration", *_PEOPLE),
    rows=_observed_weeks,
    settles_weeks=4,
)

SUBSCRIPTION = Subject(
    name="subscription",
    table_name=schema.USER_JOURNEYS.table_name,
    counts="Subscribers, and the activities they completed in the `subscription_impact.days` "
    "before and after the day of subscription, that day excluded.",
    day="day of subscription",
    dimensions=_PEOPLE,
    rows=_subscribed,
    settles_weeks=1,
)

SUBJECTS = (ACTIVITY, REGISTRATION, RETENTION, SUBSCRIPTION)
