"""Publication: the tables offered to readers of the lake.

Which of their rows are not yet exported, and the tables there: ``storage.lake``.
"""

from __future__ import annotations

import ibis.expr.types as ir


def publish_bronze(
    bronze_events: ir.Table,
    bronze_users: ir.Table,
    bronze_activities: ir.Table,
    quarantined_lines: ir.Table,
    ingested_objects: ir.Table,
    rescued_values: ir.Table,
) -> tuple[ir.Table, ...]:
    """Offer bronze as it is: all that is needed to restore it without raw."""
    return (
        *(bronze_events, bronze_users, bronze_activities),
        *(quarantined_lines, ingested_objects, rescued_values),
    )


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
