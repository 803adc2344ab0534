"""The three questions of the exercise, answered from its CSV files."""

from __future__ import annotations

from datetime import date

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import metrics, schema


def answer_completion_rate(activity_events: ir.Table, activities: ir.Table) -> ir.Table:
    """How many of the exits of each theme were completed?

    Grain: one row per theme that was played.

    Args:
        activity_events: Events of the exercise; only ``activity_exit`` rows count.
        activities: Their themes; events of unknown activities do not count.

    Returns:
        ``Q1_COMPLETION_RATE``; the percentage is rounded to 2 digits.
    """
    played = _exits(activity_events).inner_join(activities, "activity_id")
    measured = played.group_by("theme").aggregate(**metrics.MEASURES)
    return measured.mutate(
        completion_percentage=metrics.percentage(
            measured.activities_completed, measured.activities_played
        )
    ).pipe(_as_promised, schema.Q1_COMPLETION_RATE)


def answer_price_tier_engagement(activity_events: ir.Table, activities: ir.Table) -> ir.Table:
    """How much are the activities of each price tier played?

    Grain: one row per price tier that was played.

    Args:
        activity_events: Events of the exercise; only ``activity_exit`` rows count.
        activities: Their price tiers; events of unknown activities do not count.

    Returns:
        ``Q2_PRICE_TIER_ENGAGEMENT``; seconds per exit and the percentage are rounded.
    """
    played = _exits(activity_events).inner_join(activities, "activity_id")
    measured = played.group_by("price_tier").aggregate(
        users=_.user_id.nunique(), **metrics.MEASURES
    )
    return measured.mutate(
        average_time_spent=(
            measured.total_time_spent.cast("float64") / measured.activities_played
        ).round(2),
        completion_percentage=metrics.percentage(
            measured.activities_completed, measured.activities_played
        ),
    ).pipe(_as_promised, schema.Q2_PRICE_TIER_ENGAGEMENT)


def answer_subscription_impact(
    activity_events: ir.Table, subscriptions: ir.Table, subscription_month: str, compared_days: int
) -> ir.Table:
    """Do users complete more activities after they subscribe than before?

    Grain: one row per platform with a subscriber of the month.

    Args:
        activity_events: Events of the exercise; only completed exits count.
        subscriptions: One row per subscription.
        subscription_month: The month (YYYY-MM) of the subscriptions.
        compared_days: Days to compare before and after the day of subscription, that day excluded.

    Returns:
        ``Q3_SUBSCRIPTION_IMPACT``: averages per user; a user without activity counts as 0. The
        change in percent is NULL where nothing was completed before.
    """
    month = date.fromisoformat(f"{subscription_month}-01")
    of_month = subscriptions.filter(
        _.subscription_date.cast("timestamp").truncate("M").date() == ibis.literal(month)
    )
    completed = _exits(activity_events).filter(_.completed_flag).select("user_id", "created_at")
    both = of_month.left_join(completed, "user_id")
    days_after = both.created_at.date().epoch_days() - both.subscription_date.epoch_days()
    by_user = both.group_by("user_id", "subscription_date", "platform").aggregate(
        completed_before=days_after.between(-compared_days, -1).sum().fill_null(0),
        completed_after=days_after.between(1, compared_days).sum().fill_null(0),
    )
    by_platform = by_user.group_by("platform").aggregate(
        subscribers=_.count(), before=_.completed_before.sum(), after=_.completed_after.sum()
    )
    return by_platform.mutate(
        average_completed_before=(_.before.cast("float64") / _.subscribers).round(2),
        average_completed_after=(_.after.cast("float64") / _.subscribers).round(2),
        change_percentage=metrics.percentage(
            by_platform.after - by_platform.before, by_platform.before
        ),
    ).pipe(_as_promised, schema.Q3_SUBSCRIPTION_IMPACT)


def _exits(activity_events: ir.Table) -> ir.Table:
    return activity_events.filter(_.event_type == "activity_exit").rename(
        {"completed_flag": "completed"}
    )


def _as_promised(answer: ir.Table, contract: schema.Contract) -> ir.Table:
    return answer.select(contract.columns).cast(contract.nullable_schema)
