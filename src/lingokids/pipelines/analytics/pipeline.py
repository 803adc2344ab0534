"""The analytics pipeline: the three questions of the exercise."""

from kedro.pipeline import Pipeline

from lingokids.pipelines import Node
from lingokids.pipelines.analytics.nodes import (
    answer_completion_rate,
    answer_price_tier_engagement,
    answer_subscription_impact,
)


def create_pipeline() -> Pipeline:
    """Answer three questions from the CSV files of the exercise."""
    return Pipeline(
        [
            Node(
                func=answer_completion_rate,
                inputs=["activity_events", "activities"],
                outputs="q1_completion_rate",
                name="answer_completion_rate",
                namespace="analytics",
            ),
            Node(
                func=answer_price_tier_engagement,
                inputs=["activity_events", "activities"],
                outputs="q2_price_tier_engagement",
                name="answer_price_tier_engagement",
                namespace="analytics",
            ),
            Node(
                func=answer_subscription_impact,
                inputs=[
                    "activity_events",
                    "subscriptions",
                    "params:subscription_impact.month",
                    "params:subscription_impact.days",
                ],
                outputs="q3_subscription_impact",
                name="answer_subscription_impact",
                namespace="analytics",
            ),
        ]
    )
