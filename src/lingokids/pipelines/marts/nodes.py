"""Marts: engagement per day, and journeys of users.

What a measure or a session is: ``metrics``.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import metrics, schema


def build_engagement_metrics(
    intermediate_activity_events_enriched: ir.Table, os_names: dict[str, str]
) -> ir.Table:
    """Count and add up the activities per day and slice.

    Grain: one row per date, country_code, os_name, os_version, app_version,
    subscription_status, activity_type and collection_id that occurred.

    Args:
        intermediate_activity_events_enriched: One row per event.
        os_names: Spellings of os_name to be counted under another one.

    Returns:
        ``ACTIVITY_ENGAGEMENT_METRICS``. What is not known of user, device or activity is
        ``unknown``; the collection of an activity opened outside any is ``none``.
    """
    sliced = _sliced(intermediate_activity_events_enriched, os_names)
    measured = sliced.group_by(schema.ENGAGEMENT_GRAIN).aggregate(**metrics.MEASURES)
    return measured.mutate(completion_rate=metrics.RATES["completion_rate"]).select(
        schema.ACTIVITY_ENGAGEMENT_METRICS.columns
    )


def build_user_activity(
    intermediate_activity_events_enriched: ir.Table,
    os_names: dict[str, str],
    duration_cap_seconds: int,
    session_gap_minutes: int,
) -> ir.Table:
    """Count and add up what each user played on each day.

    Grain: one row per slice of ``ACTIVITY_ENGAGEMENT_METRICS``, activity_id and user_id.

    Args:
        intermediate_activity_events_enriched: One row per event.
        os_names: Spellings of os_name to be counted under another one.
        duration_cap_seconds: How long an activity counts for at most.
        session_gap_minutes: The longest pause within a session.

    Returns:
        ``USER_ACTIVITY_DAILY``.
    """
    timed = metrics.with_sessions(
        intermediate_activity_events_enriched, duration_cap_seconds, session_gap_minutes
    )
    played = _sliced(timed, os_names).group_by(schema.USER_ACTIVITY_GRAIN)
    activity = played.aggregate(
        # an activity has one name, so any aggregate that ignores NULL finds it
        activity_name=_.activity_name.max(),
        **metrics.USER_MEASURES,
    )
    return activity.select(schema.USER_ACTIVITY_DAILY.columns)


def build_user_journeys(
    stg_users: ir.Table, user_activity_daily: ir.Table, compared_days: int, time_zone: str
) -> ir.Table:
    """Work out milestones, activity and the effect of a subscription for each user.

    Grain: one row per user with a record.

    Args:
        stg_users: The users. One without registration_at has no week of registration, and so no
            active_weeks.
        user_activity_daily: What they played, on all their days.
        compared_days: Days before and after the day of subscription that are compared; the day
            itself is in neither.
        time_zone: The zone that days are counted in.

    Returns:
        ``USER_JOURNEYS``. A user without activity has no first and last day, and counts of 0.
    """
    users = stg_users.select(
        *("user_id", "country_code"),
        **{
            f"{name}_date": schema.local_date(stg_users[f"{name}_at"], time_zone)
            for name in ("registration", "trial_start", "subscription_start")
        },
    )
    # by day first: counting different days and weeks among all rows took half as long again
    user_days = (
        user_activity_daily.group_by("user_id", "date")
        .aggregate(completed=_.activities_completed.sum())
        .inner_join(
            users.select("user_id", "registration_date", "subscription_start_date"), "user_id"
        )
    )
    days_after = user_days["date"].epoch_days() - user_days.subscription_start_date.epoch_days()
    registered, active = user_days.registration_date, user_days["date"]
    weeks_after = metrics.weeks_between(registered.epoch_days(), active.epoch_days())
    activity = user_days.group_by("user_id").aggregate(
        active_days=user_days.count(),
        active_weeks=ibis.cases((weeks_after >= 0, weeks_after)).collect(distinct=True),
        completed_before=_completed(user_days, days_after.between(-compared_days, -1)),
        completed_after=_completed(user_days, days_after.between(1, compared_days)),
        first_active_date=user_days["date"].min(),
        last_active_date=user_days["date"].max(),
    )
    journeys = users.left_join(activity, "user_id").left_join(
        _main_systems(user_activity_daily), "user_id", rname="{name}_of_system"
    )
    return journeys.mutate(
        **{name: _[name].fill_null(metrics.UNKNOWN) for name in ("country_code", "main_os_name")},
        **{
            name: _[name].fill_null(0)
            for name in ("active_days", "completed_before", "completed_after")
        },
        active_weeks=_.active_weeks.sort().fill_null(ibis.literal([], "array<int64>")),
        compared_days=ibis.literal(compared_days, "int32"),
    ).select(schema.USER_JOURNEYS.columns)


def rank_activities(intermediate_activity_events_enriched: ir.Table) -> ir.Table:
    """Rank the activities of each day by how often and how long they were played.

    Grain: one row per date and activity_id.

    Args:
        intermediate_activity_events_enriched: One row per event.

    Returns:
        ``ACTIVITY_POPULARITY_DAILY``. Equals share a rank, and the next rank is skipped.
    """
    played = intermediate_activity_events_enriched.group_by("date", "activity_id").aggregate(
        # an activity has one description, so any aggregate that ignores NULL finds it
        activity_name=_.activity_name.max(),
        activity_type=_.activity_type.max(),
        **metrics.MEASURES,
    )
    return played.mutate(
        rank_by_count=_rank_within_day(played.activities_played),
        rank_by_time=_rank_within_day(played.total_time_spent),
    ).select(schema.ACTIVITY_POPULARITY_DAILY.columns)


def _sliced(events: ir.Table, os_names: dict[str, str]) -> ir.Table:
    """The events with the slice they count in: no column of it is NULL."""
    return events.mutate(
        **{
            column: events[column].fill_null(metrics.UNKNOWN)
            for column in ("country_code", "os_version", "app_version", "activity_type")
        },
        os_name=_respelled(events.os_name, os_names).fill_null(metrics.UNKNOWN),
        collection_id=events.collection_id.fill_null(metrics.NO_COLLECTION),
    )


def _completed(user_days: ir.Table, in_days: ir.BooleanValue) -> ir.IntegerValue:
    return user_days.completed.sum(where=in_days).cast("int64")


def _main_systems(played: ir.Table) -> ir.Table:
    """The operating system each user played most on; of equals, the first by name.

    Grain: one row per user of whom one is known.
    """
    systems = (
        played.filter(_.os_name != metrics.UNKNOWN)
        .group_by("user_id", main_os_name=_.os_name)
        .aggregate(exits=_.activities_played.sum())
    )
    place = ibis.row_number().over(
        group_by="user_id", order_by=[ibis.desc("exits"), "main_os_name"]
    )
    return systems.mutate(place=place).filter(_.place == 0).select("user_id", "main_os_name")


def _respelled(name: ir.StringValue, spellings: dict[str, str]) -> ir.StringValue:
    return name.cases(*spellings.items(), else_=name) if spellings else name


def _rank_within_day(measure: ir.NumericValue) -> ir.IntegerValue:
    place = ibis.rank().over(group_by="date", order_by=measure.desc())
    return (place + 1).cast("int64")  # ibis counts places from 0
