"""The restore pipeline: published tables to bronze."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.restore.nodes import restore_bronze


def create_pipeline() -> Pipeline:
    """Published tables to bronze tables, quarantine and ledger."""
    return Pipeline(
        [
            Node(
                func=restore_bronze,
                inputs=[
                    "published_bronze_events",
                    "published_bronze_users",
                    "published_bronze_activities",
                    "published_quarantined_lines",
                    "published_ingested_objects",
                    "published_rescued_values",
                ],
                outputs=[
                    "bronze_events",
                    "bronze_users",
                    "bronze_activities",
                    "quarantined_lines",
                    "ingested_objects",
                    "rescued_values",
                ],
                name="restore_bronze",
            )
        ]
    )
