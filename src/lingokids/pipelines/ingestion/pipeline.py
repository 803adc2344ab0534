"""The ingestion pipeline: raw objects to bronze."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.ingestion.nodes import ingest_activities, ingest_events, ingest_users


def create_pipeline() -> Pipeline:
    """Raw objects to bronze tables, with quarantine and ledger."""
    return Pipeline(
        [
            Node(
                func=ingest_events,
                inputs=["raw_events", "params:listing.since", "params:instants"],
                outputs="bronze_events",
                name="ingest_events",
                namespace="ingestion",
            ),
            Node(
                func=ingest_users,
                inputs=["raw_users", "params:listing.since", "params:instants"],
                outputs="bronze_users",
                name="ingest_users",
                namespace="ingestion",
            ),
            Node(
                func=ingest_activities,
                inputs=["raw_activities", "params:listing.since", "params:instants"],
                outputs="bronze_activities",
                name="ingest_activities",
                namespace="ingestion",
            ),
        ]
    )
