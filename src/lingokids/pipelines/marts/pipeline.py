"""The marts pipeline: enriched events to gold."""

from kedro.pipeline import Pipeline

from lingokids.pipelines import Node
from lingokids.pipelines.marts.nodes import (
    build_engagement_metrics,
    build_user_activity,
    build_user_journeys,
    rank_activities,
)


def create_pipeline() -> Pipeline:
    """Enriched events to gold tables."""
    return Pipeline(
        [
            Node(
                func=build_engagement_metrics,
                inputs=["intermediate_activity_events_enriched", "params:os_names"],
                outputs="activity_engagement_metrics",
                name="build_engagement_metrics",
                namespace="marts",
            ),
            Node(
                func=rank_activities,
                inputs="intermediate_activity_events_enriched",
                outputs="activity_popularity_daily",
                name="rank_activities",
                namespace="marts",
            ),
            Node(
                func=build_user_activity,
                inputs=[
                    "intermediate_activity_events_enriched",
                    "params:os_names",
                    "params:duration_cap_seconds",
                    "params:session_gap_minutes",
                ],
                outputs="user_activity_daily",
                name="build_user_activity",
                namespace="marts",
            ),
            Node(
                func=build_user_journeys,
                inputs=[
                    "stg_users",
                    "user_activity_daily",
                    "params:subscription_impact.days",
                    "params:time_zone",
                ],
                outputs="user_journeys",
                name="build_user_journeys",
                namespace="marts",
            ),
        ]
    )
