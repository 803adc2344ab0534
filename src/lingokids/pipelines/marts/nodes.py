"""Marts: engagement per day, rebuilt for the days that are due.

Here: which days are due, and by what the measures are grouped. Elsewhere: what a measure is
(``metrics``), when a day changes (the enrichment pipeline).
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import contracts, metrics, windows


def find_due_days(
    enriched_days: ir.Table, known_gold_days: ir.Table, window: dict[str, Any]
) -> ir.Table:
    """Find the days whose gold rows are older than the rows they are made from.

    Grain: one row per day.

    Args:
        enriched_days: The revision each day has now; a day that lost its last row stays here.
        known_gold_days: ``GOLD_DAYS`` before this run: the revision gold reflects.
        window: The ``window`` parameters: its days are due on purpose.
    """
    return windows.find_due_days(enriched_days, known_gold_days, windows.parse_window(window))


def build_engagement_metrics(
    intermediate_activity_events_enriched: ir.Table,
    due_days: ir.Table,
    os_names: dict[str, str],
) -> ir.Table:
    """Count and add up the activities of the due days per slice.

    Grain: one row per date, country_code, os_name, os_version, app_version,
    subscription_status, activity_type and collection_id that occurred.

    Args:
        intermediate_activity_events_enriched: One row per event.
        due_days: The days to build.
        os_names: Spellings of os_name to be counted under another one.

    Returns:
        ``ACTIVITY_ENGAGEMENT_METRICS``. What is not known of user, device or activity is
        ``unknown``; the collection of an activity opened outside any is ``none``.
    """
    events = intermediate_activity_events_enriched.semi_join(due_days, "date")
    sliced = _sliced(events, os_names)
    measured = sliced.group_by(contracts.ENGAGEMENT_GRAIN).aggregate(**metrics.MEASURES)
    return measured.mutate(completion_rate=metrics.RATES["completion_rate"]).select(
        contracts.ACTIVITY_ENGAGEMENT_METRICS.columns
    )


def build_user_activity(
    intermediate_activity_events_enriched: ir.Table,
    due_days: ir.Table,
    os_names: dict[str, str],
) -> ir.Table:
    """Count and add up what each user played on the due days, per slice and activity.

    Grain: one row per slice of ``ACTIVITY_ENGAGEMENT_METRICS``, activity_id and user_id.

    Args:
        intermediate_activity_events_enriched: One row per event.
        due_days: The days to build.
        os_names: Spellings of os_name to be counted under another one.

    Returns:
        ``USER_ACTIVITY_DAILY``: slices as in ``build_engagement_metrics``.
    """
    events = intermediate_activity_events_enriched.semi_join(due_days, "date")
    played = _sliced(events, os_names).group_by(contracts.USER_ACTIVITY_GRAIN)
    return played.aggregate(
        # an activity has one name, so any aggregate that ignores NULL finds it
        activity_name=_.activity_name.max(),
        **metrics.MEASURES,
    ).select(contracts.USER_ACTIVITY_DAILY.columns)


def rank_activities(
    intermediate_activity_events_enriched: ir.Table, due_days: ir.Table
) -> ir.Table:
    """Rank the activities of the due days by how often and how long they were played.

    Grain: one row per date and activity_id.

    Args:
        intermediate_activity_events_enriched: One row per event.
        due_days: The days to build.

    Returns:
        ``ACTIVITY_POPULARITY_DAILY``. Equals share a rank, and the next rank is skipped.
    """
    events = intermediate_activity_events_enriched.semi_join(due_days, "date")
    played = events.group_by("date", "activity_id").aggregate(
        # an activity has one description, so any aggregate that ignores NULL finds it
        activity_name=_.activity_name.max(),
        activity_type=_.activity_type.max(),
        **metrics.MEASURES,
    )
    return played.mutate(
        rank_by_count=_rank_within_day(played.activities_played),
        rank_by_time=_rank_within_day(played.total_time_spent),
    ).select(contracts.ACTIVITY_POPULARITY_DAILY.columns)


def record_gold_days(due_days: ir.Table) -> ir.Table:
    """Note the revision that each rebuilt day reflects.

    Grain: one row per rebuilt day.
    """
    return due_days


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


def _respelled(name: ir.StringValue, spellings: dict[str, str]) -> ir.StringValue:
    return name.cases(*spellings.items(), else_=name) if spellings else name


def _rank_within_day(measure: ir.NumericValue) -> ir.IntegerValue:
    place = ibis.rank().over(group_by="date", order_by=measure.desc())
    return (place + 1).cast("int64")  # ibis counts places from 0
