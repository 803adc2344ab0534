"""Every metric: one definition each, for tables, answers and readers.

Here: name, formula, unit, owner and caveat. Elsewhere: what a measure, a head count and a rate are
(``kinds``), what metrics are about (``subjects``), how a question is answered by them (``answer``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids import schema
from lingokids.metrics.kinds import Count, Measure, Metric, Rate, UserCount
from lingokids.metrics.subjects import REGISTRATION, RETENTION, SUBSCRIPTION
from lingokids.schema import CONTENT, GROWTH, PRODUCT

if TYPE_CHECKING:
    from ibis.common.deferred import Deferred

_DEFINITIONS: tuple[Metric, ...] = (
    Measure(
        name="activities_played",
        of_events=_.count(),
        formula="number of activity exits",
        unit="exits",
        owner=PRODUCT,
        caveat="An activity left after a second counts; one that is still open does not.",
    ),
    Measure(
        name="activities_completed",
        of_events=_.completed_flag.sum().fill_null(0).cast("int64"),
        formula="number of activity exits with completed_flag",
        unit="exits",
        owner=PRODUCT,
        caveat="An exit that does not say whether it was completed counts as not completed.",
    ),
    Measure(
        name="total_time_spent",
        of_events=_.duration_seconds.sum().fill_null(0).cast(schema.TOTAL_SECONDS),
        formula="sum of duration_seconds",
        unit="s",
        owner=PRODUCT,
        caveat="Durations are as delivered: an app left in the background counts for days.",
    ),
    Measure(
        name="capped_time_spent",
        of_events=_.capped_seconds.sum().fill_null(0).cast(schema.TOTAL_SECONDS),
        formula="sum of duration_seconds, each at most duration_cap_seconds",
        unit="s",
        owner=PRODUCT,
        caveat="Long exits count up to the cap, a parameter; share_of_time_capped says how much "
        "that leaves out.",
    ),
    Measure(
        name="sessions",
        of_events=_.begins_session.sum().fill_null(0).cast("int64"),
        formula="number of exits opened over session_gap_minutes after the last, or first of a day",
        unit="sessions",
        owner=PRODUCT,
        caveat="Of a user, whose children may play at once. It ends at midnight, UTC, and counts "
        "in the slice and activity that began it.",
    ),
    Count(
        name="time_beyond_cap",
        of_rows=(_.total_time_spent.sum() - _.capped_time_spent.sum()).cast(schema.TOTAL_SECONDS),
        formula="total_time_spent - capped_time_spent",
        unit="s",
        owner=PRODUCT,
        caveat="Additive, as both of them are.",
    ),
    UserCount(
        name="active_users",
        of_rows=_.user_id.nunique(),
        formula="number of different user_id with an activity exit",
        unit="users",
        owner=PRODUCT,
        caveat="A user is a parent's account, not a child. Not additive: one who comes on two "
        "days, or in two slices, counts once in the total.",
    ),
    UserCount(
        name="new_users",
        of_rows=_.user_id.nunique(where=_.is_new),
        needs="is_new",
        rest="returning_users",
        formula="number of different user_id active in the period that were never before",
        unit="users",
        owner=PRODUCT,
        caveat="By the first activity there is, not by registration: where the data begin, all "
        "are new. Additive over periods.",
    ),
    UserCount(
        name="returning_users",
        of_rows=_.user_id.nunique(where=~_.is_new),
        needs="is_new",
        rest="new_users",
        formula="active_users - new_users",
        unit="users",
        owner=PRODUCT,
        caveat="Active before the period too, however long ago. Not additive.",
    ),
    Count(
        name="active_user_days",
        of_rows=ibis.struct({"user": _.user_id, "day": _["date"]}).nunique(),
        formula="number of different pairs of user_id and date",
        unit="user-days",
        owner=PRODUCT,
        caveat="Additive over days, not over slices.",
    ),
    Count(
        name="days_observed",
        of_rows=_.days_of_period.max(),
        needs="days_of_period",
        formula="number of days of the period with activity of anyone",
        unit="days",
        owner=PRODUCT,
        caveat="Of anyone, not of the slice: a day on which a slice did not come counts too.",
    ),
    Rate(
        name="daily_active_users",
        numerator="active_user_days",
        denominator="days_observed",
        unit="users",
        owner=PRODUCT,
        caveat="The mean over the days of the period.",
    ),
    Rate(
        name="stickiness",
        numerator="daily_active_users",
        denominator="active_users",
        unit="0 to 1",
        owner=PRODUCT,
        caveat="By month: daily over monthly active users. A month that is not over yet looks "
        "stickier than it will be.",
    ),
    Rate(
        name="completion_rate",
        numerator="activities_completed",
        denominator="activities_played",
        unit="0 to 1",
        owner=CONTENT,
        caveat="Not the mean of daily rates: busy days weigh more.",
    ),
    Rate(
        name="time_per_activity",
        numerator="total_time_spent",
        denominator="activities_played",
        unit="s",
        owner=CONTENT,
        caveat="A mean, so a few very long exits move it much.",
    ),
    Rate(
        name="activities_per_user",
        numerator="activities_played",
        denominator="active_users",
        unit="exits",
        owner=PRODUCT,
        caveat="Per user who was active in the period, not per registered user.",
    ),
    Rate(
        name="time_per_user",
        numerator="total_time_spent",
        denominator="active_users",
        unit="s",
        owner=PRODUCT,
        caveat="Per user who was active in the period, not per registered user.",
    ),
    Rate(
        name="share_of_time_capped",
        numerator="time_beyond_cap",
        denominator="total_time_spent",
        unit="0 to 1",
        owner=PRODUCT,
        caveat="How much of all time capped_time_spent leaves out.",
    ),
    Rate(
        name="capped_time_per_activity",
        numerator="capped_time_spent",
        denominator="activities_played",
        unit="s",
        owner=CONTENT,
        caveat="A mean that a few very long exits do not move much.",
    ),
    Rate(
        name="capped_time_per_user",
        numerator="capped_time_spent",
        denominator="active_users",
        unit="s",
        owner=PRODUCT,
        caveat="Per user who was active in the period, not per registered user.",
    ),
    Rate(
        name="sessions_per_user",
        numerator="sessions",
        denominator="active_users",
        unit="sessions",
        owner=PRODUCT,
        caveat="Ask for it without a slice of activities: a session counts where it began.",
    ),
    Rate(
        name="activities_per_session",
        numerator="activities_played",
        denominator="sessions",
        unit="exits",
        owner=PRODUCT,
        caveat="Ask for it without a slice of activities: a session counts where it began.",
    ),
    Rate(
        name="time_per_session",
        numerator="capped_time_spent",
        denominator="sessions",
        unit="s",
        owner=PRODUCT,
        caveat="Time played, not the pauses between. Ask for it without a slice of activities.",
    ),
    # --- registration: the funnel ---
    UserCount(
        name="registered_users",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(),
        formula="number of users with registration_at",
        unit="users",
        owner=GROWTH,
        caveat="Additive, as are all counts of the funnel: a user has one registration, country "
        "and system.",
    ),
    UserCount(
        name="trials_started",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(where=_.trial_start_date.notnull()),
        formula="number of registered users with trial_start_at",
        unit="users",
        owner=GROWTH,
        caveat="In the period of the registration, whenever the trial began.",
    ),
    UserCount(
        name="subscriptions_started",
        subject=REGISTRATION,
        of_rows=_.user_id.nunique(where=_.subscription_start_date.notnull()),
        formula="number of registered users with subscription_start_at",
        unit="users",
        owner=GROWTH,
        caveat="With or without a trial; also of subscriptions that have expired.",
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
        caveat="Whichever of the two began first.",
    ),
    Rate(
        name="trial_rate",
        subject=REGISTRATION,
        numerator="trials_started",
        denominator="registered_users",
        unit="0 to 1",
        owner=GROWTH,
        caveat="Who registered of late may still start one.",
    ),
    Rate(
        name="trial_conversion_rate",
        subject=REGISTRATION,
        numerator="trials_converted",
        denominator="trials_started",
        unit="0 to 1",
        owner=GROWTH,
        caveat="A trial that is not over yet counts as not converted.",
    ),
    Rate(
        name="subscription_rate",
        subject=REGISTRATION,
        numerator="subscriptions_started",
        denominator="registered_users",
        unit="0 to 1",
        owner=GROWTH,
        caveat="Who registered of late may still subscribe.",
    ),
    # --- retention ---
    UserCount(
        name="cohort_users",
        subject=RETENTION,
        of_rows=_.user_id.nunique(),
        formula="number of users registered in the period, for whom the week was observed whole",
        unit="users",
        owner=GROWTH,
        caveat="The same for every week of a cohort of one week.",
    ),
    UserCount(
        name="retained_users",
        subject=RETENTION,
        of_rows=_.user_id.nunique(where=_.is_active),
        formula="number of users of the cohort with an activity exit in the week",
        unit="users",
        owner=GROWTH,
        caveat="Ask by weeks_after_registration: without it, in any whole week.",
    ),
    Rate(
        name="retention_rate",
        subject=RETENTION,
        numerator="retained_users",
        denominator="cohort_users",
        unit="0 to 1",
        owner=GROWTH,
        caveat="Week 0 is that of the registration, of which a user has a part only.",
    ),
    # --- subscription ---
    UserCount(
        name="subscribers",
        subject=SUBSCRIPTION,
        of_rows=_.user_id.nunique(),
        formula="number of users with subscription_start_at",
        unit="users",
        owner=GROWTH,
        caveat="Additive: a user has one record, and so one beginning.",
    ),
    Count(
        name="completed_before",
        subject=SUBSCRIPTION,
        of_rows=_.completed_before.sum().cast("int64"),
        formula="exits completed in the subscription_impact.days before the day of subscription",
        unit="exits",
        owner=GROWTH,
        caveat="Additive. Who registered within these days could not play on all of them.",
    ),
    Count(
        name="completed_after",
        subject=SUBSCRIPTION,
        of_rows=_.completed_after.sum().cast("int64"),
        formula="exits completed in the subscription_impact.days after the day of subscription",
        unit="exits",
        owner=GROWTH,
        caveat="Additive. Subscribers of the last days have not had all of them: leave them out "
        "by until.",
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
        caveat="1 is no change; says nothing of what caused it.",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _DEFINITIONS}

#: The additive part, as expressions over events: what ``user_activity_daily`` holds.
USER_MEASURES: dict[str, Deferred] = {
    metric.name: metric.of_events for metric in _DEFINITIONS if isinstance(metric, Measure)
}

#: Those of them that every table of measures has: no more than the columns of an event.
MEASURES: dict[str, Deferred] = {name: USER_MEASURES[name] for name in schema.MEASURES}


def parts_of(names: Iterable[str]) -> dict[str, Metric]:
    """The metrics of these names and all that they are made of, parts before wholes."""
    wanted = list(names)
    for name in wanted:
        wanted += [part for part in METRICS[name].parts if part not in wanted]
    return {name: metric for name, metric in METRICS.items() if name in wanted}


#: The rates, as expressions over a table that has both their parts.
RATES: dict[str, Deferred] = {
    metric.name: metric.of_parts for metric in _DEFINITIONS if isinstance(metric, Rate)
}
