"""Every metric, defined once: formula, unit, owner and caveat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids import schema
from lingokids.metrics.kinds import Count, Measure, Metric, Rate, UserCount
from lingokids.metrics.subjects import REGISTRATION, RETENTION, SUBSCRIPTION
from lingokids.schema import CONTENT, GROWTH

if TYPE_CHECKING:
    from ibis.common.deferred import Deferred

_DEFINITIONS: tuple[Metric, ...] = (
    Measure(
        name="activities_played",
        of_events=_.count(),
        formula="number of activity exits",
        unit="exits",
        caveat="An activity left after a second counts; one that is still open does not.",
    ),
    Measure(
        name="activities_completed",
        of_events=_.completed_flag.sum().fill_null(0).cast("int64"),
        formula="number of activity exits with completed_flag",
        unit="exits",
        caveat="An exit without completed_flag counts as not completed.",
    ),
    Measure(
        name="total_time_spent",
        of_events=_.duration_seconds.sum().fill_null(0).cast(schema.TOTAL_SECONDS),
        formula="sum of duration_seconds",
        unit="s",
        caveat="Durations as delivered: an app left in the background can count for days.",
    ),
    Measure(
        name="capped_time_spent",
        of_events=_.capped_seconds.sum().fill_null(0).cast(schema.TOTAL_SECONDS),
        formula="sum of duration_seconds, each at most duration_cap_seconds",
        unit="s",
        caveat="Long exits count up to the cap, a parameter; share_of_time_capped says how much "
        "that leaves out.",
    ),
    Measure(
        name="sessions",
        of_events=_.begins_session.sum().fill_null(0).cast("int64"),
        formula="number of exits opened over session_gap_minutes after the last, or first of a day",
        unit="sessions",
        caveat="Per user, whose children may play at once. Ends at midnight; counts for the "
        "slice and activity that began it.",
    ),
    Count(
        name="time_beyond_cap",
        of_rows=(_.total_time_spent.sum() - _.capped_time_spent.sum()).cast(schema.TOTAL_SECONDS),
        formula="total_time_spent - capped_time_spent",
        unit="s",
        caveat="Additive, as both of them are.",
    ),
    UserCount(
        name="active_users",
        of_rows=_.user_id.nunique(),
        formula="number of distinct user_id with an activity exit",
        unit="users",
        caveat="A user is a parent's account, not a child. Not additive: active on two days, or in "
        "two slices, a user counts once in the total.",
    ),
    UserCount(
        name="new_users",
        of_rows=_.user_id.nunique(where=_.is_new),
        needs="is_new",
        complement="returning_users",
        formula="number of distinct user_id active in the period and never before",
        unit="users",
        caveat="By first activity, not by registration: on the first days of the data, all are "
        "new. Additive over periods.",
    ),
    UserCount(
        name="returning_users",
        of_rows=_.user_id.nunique(where=~_.is_new),
        needs="is_new",
        complement="new_users",
        formula="active_users - new_users",
        unit="users",
        caveat="Active before the period too, however long ago. Not additive.",
    ),
    Count(
        name="active_user_days",
        of_rows=ibis.struct({"user": _.user_id, "day": _["date"]}).nunique(),
        formula="number of distinct pairs of user_id and date",
        unit="user-days",
        caveat="Additive over days, not over slices.",
    ),
    Count(
        name="days_observed",
        of_rows=_.days_of_period.max(),
        needs="days_of_period",
        formula="number of days of the period with any activity",
        unit="days",
        caveat="Days with activity of any user, not only of the slice.",
    ),
    Rate(
        name="daily_active_users",
        numerator="active_user_days",
        denominator="days_observed",
        unit="users",
        caveat="The mean over the days of the period.",
    ),
    Rate(
        name="stickiness",
        numerator="daily_active_users",
        denominator="active_users",
        caveat="By month: daily divided by monthly active users. The current month looks stickier "
        "than it will be at its end.",
    ),
    Rate(
        name="completion_rate",
        numerator="activities_completed",
        denominator="activities_played",
        owner=CONTENT,
        caveat="Not the mean of daily rates: busy days weigh more.",
    ),
    Rate(
        name="time_per_activity",
        numerator="total_time_spent",
        denominator="activities_played",
        unit="s",
        owner=CONTENT,
        caveat="A mean, sensitive to a few very long exits.",
    ),
    Rate(
        name="activities_per_user",
        numerator="activities_played",
        denominator="active_users",
        unit="exits",
        caveat="Per active user of the period, not per registered user.",
    ),
    Rate(
        name="time_per_user",
        numerator="total_time_spent",
        denominator="active_users",
        unit="s",
        caveat="Per active user of the period, not per registered user.",
    ),
    Rate(
        name="share_of_time_capped",
        numerator="time_beyond_cap",
        denominator="total_time_spent",
        caveat="The share of all time that capped_time_spent leaves out.",
    ),
    Rate(
        name="capped_time_per_activity",
        numerator="capped_time_spent",
        denominator="activities_played",
        unit="s",
        owner=CONTENT,
        caveat="A mean, hardly affected by a few very long exits.",
    ),
    Rate(
        name="capped_time_per_user",
        numerator="capped_time_spent",
        denominator="active_users",
        unit="s",
        caveat="Per active user of the period, not per registered user.",
    ),
    Rate(
        name="sessions_per_user",
        numerator="sessions",
        denominator="active_users",
        unit="sessions",
        caveat="Do not split by activity: a session counts for the activity that began it.",
    ),
    Rate(
        name="activities_per_session",
        numerator="activities_played",
        denominator="sessions",
        unit="exits",
        caveat="Do not split by activity: a session counts for the activity that began it.",
    ),
    Rate(
        name="time_per_session",
        numerator="capped_time_spent",
        denominator="sessions",
        unit="s",
        caveat="Time played, without the pauses. Do not split by activity.",
    ),
    # --- registration: the funnel ---
    UserCount(
        name="registered_users",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(),
        formula="number of users with registration_at",
        unit="users",
        owner=GROWTH,
        caveat="Additive, like all counts of the funnel: a user has one registration, country "
        "and operating system.",
    ),
    UserCount(
        name="trials_started",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(where=_.trial_start_date.notnull()),
        formula="number of registered users with trial_start_at",
        unit="users",
        owner=GROWTH,
        caveat="Counted in the period of the registration, whenever the trial began.",
    ),
    UserCount(
        name="subscriptions_started",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(where=_.subscription_start_date.notnull()),
        formula="number of registered users with subscription_start_at",
        unit="users",
        owner=GROWTH,
        caveat="With or without a trial; expired subscriptions included.",
    ),
    UserCount(
        name="trials_converted",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(
            where=_.trial_start_date.notnull() & _.subscription_start_date.notnull()
        ),
        formula="number of registered users with trial_start_at and subscription_start_at",
        unit="users",
        owner=GROWTH,
        caveat="In either order.",
    ),
    Rate(
        name="trial_rate",
        subject=REGISTRATION,
        numerator="trials_started",
        denominator="registered_users",
        owner=GROWTH,
        caveat="Recent registrations may still start a trial.",
    ),
    Rate(
        name="trial_conversion_rate",
        subject=REGISTRATION,
        numerator="trials_converted",
        denominator="trials_started",
        owner=GROWTH,
        caveat="A running trial counts as not converted.",
    ),
    Rate(
        name="subscription_rate",
        subject=REGISTRATION,
        numerator="subscriptions_started",
        denominator="registered_users",
        owner=GROWTH,
        caveat="Recent registrations may still subscribe.",
    ),
    # --- retention ---
    UserCount(
        name="cohort_users",
        subject=RETENTION,
        of_rows=_.user_id.nunique(),
        formula="number of users registered in the period whose week is fully covered by the data",
        unit="users",
        owner=GROWTH,
        caveat="Constant over the weeks of a weekly cohort.",
    ),
    UserCount(
        name="retained_users",
        subject=RETENTION,
        of_rows=_.user_id.nunique(where=_.is_active),
        formula="number of users of the cohort with an activity exit in the week",
        unit="users",
        owner=GROWTH,
        caveat="Split by weeks_after_registration: without it, active in any full week.",
    ),
    Rate(
        name="retention_rate",
        subject=RETENTION,
        numerator="retained_users",
        denominator="cohort_users",
        owner=GROWTH,
        caveat="Week 0 is the week of registration, of which a user has only a part.",
    ),
    # --- subscription ---
    UserCount(
        name="subscribers",
        subject=SUBSCRIPTION,
        of_rows=_.user_id.nunique(),
        formula="number of users with subscription_start_at",
        unit="users",
        owner=GROWTH,
        caveat="Additive: a user has one subscription date.",
    ),
    Count(
        name="completed_before",
        subject=SUBSCRIPTION,
        of_rows=_.completed_before.sum().cast("int64"),
        formula="exits completed in the subscription_impact.days before the day of subscription",
        unit="exits",
        owner=GROWTH,
        caveat="Additive. Users who registered within these days could not play on all of them.",
    ),
    Count(
        name="completed_after",
        subject=SUBSCRIPTION,
        of_rows=_.completed_after.sum().cast("int64"),
        formula="exits completed in the subscription_impact.days after the day of subscription",
        unit="exits",
        owner=GROWTH,
        caveat="Additive. For the latest subscribers these days are not over: exclude them by "
        "until.",
    ),
    Rate(
        name="completed_before_per_subscriber",
        subject=SUBSCRIPTION,
        numerator="completed_before",
        denominator="subscribers",
        unit="exits",
        owner=GROWTH,
        caveat="A subscriber without activity counts as 0.",
    ),
    Rate(
        name="completed_after_per_subscriber",
        subject=SUBSCRIPTION,
        numerator="completed_after",
        denominator="subscribers",
        unit="exits",
        owner=GROWTH,
        caveat="A subscriber without activity counts as 0.",
    ),
    Rate(
        name="subscription_lift",
        subject=SUBSCRIPTION,
        numerator="completed_after",
        denominator="completed_before",
        unit="times",
        owner=GROWTH,
        caveat="1 is no change; a correlation, not a cause.",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _DEFINITIONS}

#: Additive measures as expressions over events: the columns of ``user_activity_daily``.
USER_MEASURES: dict[str, Deferred] = {
    metric.name: metric.of_events for metric in _DEFINITIONS if isinstance(metric, Measure)
}

#: Those of them that need no more than the columns of an event: every gold table has them.
MEASURES: dict[str, Deferred] = {name: USER_MEASURES[name] for name in schema.MEASURES}


def parts_of(names: Iterable[str]) -> dict[str, Metric]:
    """The named metrics and their components, in order of definition."""
    wanted = list(names)
    for name in wanted:
        wanted += [part for part in METRICS[name].parts if part not in wanted]
    return {name: metric for name, metric in METRICS.items() if name in wanted}


#: Rates as expressions over a table that has numerator and denominator.
RATES: dict[str, Deferred] = {
    metric.name: metric.of_parts for metric in _DEFINITIONS if isinstance(metric, Rate)
}
