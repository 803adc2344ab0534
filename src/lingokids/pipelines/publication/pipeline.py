"""The publication pipeline: bronze and gold for every reader of the lake."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.publication.nodes import publish_bronze, publish_gold


def create_pipeline() -> Pipeline:
    """Bronze and gold tables to Delta tables."""
    return Pipeline(
        [
            Node(
                func=publish_bronze,
                inputs=[
                    "bronze_events",
                    "bronze_users",
                    "bronze_activities",
                    "quarantined_lines",
                    "ingested_objects",
                    "rescued_values",
                ],
                outputs=[
                    "published_bronze_events",
                    "published_bronze_users",
                    "published_bronze_activities",
                    "published_quarantined_lines",
                    "published_ingested_objects",
                    "published_rescued_values",
                ],
                name="publish_bronze",
            ),
            Node(
                func=publish_gold,
                inputs=[
                    "activity_engagement_metrics",
                    "activity_popularity_daily",
                    "q1_completion_rate",
                    "q2_price_tier_engagement",
                    "q3_subscription_impact",
                ],
                outputs=[
                    "published_activity_engagement_metrics",
                    "published_activity_popularity_daily",
                    "published_q1_completion_rate",
                    "published_q2_price_tier_engagement",
                    "published_q3_subscription_impact",
                ],
                name="publish_gold",
            ),
        ]
    )
