"""Publication: the tables offered to readers as files.

Which of their rows are not yet exported, and the files: ``storage.lake``.
"""

from __future__ import annotations

import ibis.expr.types as ir
from ibis import _


def publish_bronze(
    bronze_events: ir.Table,
    bronze_users: ir.Table,
    bronze_activities: ir.Table,
    quarantined_lines: ir.Table,
    ingested_objects: ir.Table,
    rescued_values: ir.Table,
) -> tuple[ir.Table, ...]:
    """Offer bronze by arrival day: all that is needed to restore it without raw.

    Returns:
        The tables as they are, each with ``arrival_date``, the UTC day of ``landed_at``.
    """
    delivered = (
        *(bronze_events, bronze_users, bronze_activities),
        *(quarantined_lines, ingested_objects, rescued_values),
    )
    return tuple(table.mutate(arrival_date=_.landed_at.date()) for table in delivered)


def publish_gold(
    activity_engagement_metrics: ir.Table,
    activity_popularity_daily: ir.Table,
    q1_completion_rate: ir.Table,
    q2_price_tier_engagement: ir.Table,
    q3_subscription_impact: ir.Table,
) -> tuple[ir.Table, ir.Table, ir.Table, ir.Table, ir.Table]:
    """Offer the gold tables as they are."""
    return (
        activity_engagement_metrics,
        activity_popularity_daily,
        q1_completion_rate,
        q2_price_tier_engagement,
        q3_subscription_impact,
    )
