"""The enrichment pipeline: staged events joined with their users and activities."""

from kedro.pipeline import Pipeline

from lingokids.pipelines import Node
from lingokids.pipelines.enrichment.nodes import enrich_events


def create_pipeline() -> Pipeline:
    """Staged events to enriched events."""
    return Pipeline(
        [
            Node(
                func=enrich_events,
                inputs=["stg_events", "stg_users", "stg_activities"],
                outputs="intermediate_activity_events_enriched",
                name="enrich_events",
                namespace="enrichment",
            ),
        ]
    )
