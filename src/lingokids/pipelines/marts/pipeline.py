"""The marts pipeline: enriched events to gold."""

from kedro.pipeline import Node, Pipeline

from lingokids.incremental.due import DueNode
from lingokids.pipelines.marts.nodes import (
    build_engagement_metrics,
    build_user_activity,
    build_user_journeys,
    find_due_days,
    find_due_journeys,
    find_due_user_days,
    rank_activities,
    record_gold_days,
)


def create_pipeline() -> Pipeline:
    """Enriched events to gold tables, for the days and users that are due."""
    return Pipeline(
        [
            Node(
                func=find_due_days,
                inputs=[
                    "enriched_days",
                    "known_gold_days",
                    "params:window",
                    "params:os_names",
                    "params:duration_cap_seconds",
                    "params:session_gap_minutes",
                ],
                outputs="due_days",
                name="find_due_days",
            ),
            DueNode(
                func=find_due_user_days,
                inputs=[
                    "due_days",
                    "changed_user_days",
                    "intermediate_activity_events_enriched",
                    "known_user_activity",
                ],
                outputs="due_user_days",
                name="find_due_user_days",
                due=["due_days"],
            ),
            DueNode(
                func=build_engagement_metrics,
                inputs=["intermediate_activity_events_enriched", "due_days", "params:os_names"],
                outputs="activity_engagement_metrics",
                name="build_engagement_metrics",
                due=["due_days"],
            ),
            DueNode(
                func=rank_activities,
                inputs=["intermediate_activity_events_enriched", "due_days"],
                outputs="activity_popularity_daily",
                name="rank_activities",
                due=["due_days"],
            ),
            DueNode(
                func=build_user_activity,
                inputs=[
                    "intermediate_activity_events_enriched",
                    "due_user_days",
                    "params:os_names",
                    "params:duration_cap_seconds",
                    "params:session_gap_minutes",
                ],
                outputs="user_activity_daily",
                name="build_user_activity",
                due=["due_user_days"],
            ),
            Node(
                func=find_due_journeys,
                inputs=[
                    "due_user_days",
                    "stg_users",
                    "known_user_journeys",
                    "params:subscription_impact",
                ],
                outputs="due_journeys",
                name="find_due_journeys",
            ),
            DueNode(
                func=build_user_journeys,
                inputs=[
                    "stg_users",
                    "user_activity_daily",
                    "due_journeys",
                    "params:subscription_impact",
                ],
                outputs="user_journeys",
                name="build_user_journeys",
                due=["due_journeys"],
            ),
            DueNode(
                func=record_gold_days,
                inputs="due_days",
                outputs="gold_days",
                name="record_gold_days",
                due=["due_days"],
            ),
        ]
    )
