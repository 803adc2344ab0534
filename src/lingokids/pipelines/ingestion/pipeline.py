"""The ingestion pipeline: raw objects to bronze."""

from kedro.pipeline import Node, Pipeline

from lingokids.incremental.due import DueNode
from lingokids.pipelines.ingestion.nodes import (
    find_new_objects,
    find_unknown_keys,
    ingest_activities,
    ingest_events,
    ingest_users,
    quarantine_lines,
    record_objects,
    rescue_values,
)


def create_pipeline() -> Pipeline:
    """Raw objects to bronze tables, quarantine and ledger."""
    return Pipeline(
        [
            Node(
                func=find_new_objects,
                inputs=[
                    "raw_events",
                    "raw_users",
                    "raw_activities",
                    "known_objects",
                    "known_replayed_lines",
                    "params:listing",
                ],
                outputs="new_objects",
                name="find_new_objects",
            ),
            DueNode(
                func=ingest_events,
                inputs=["raw_events", "new_objects"],
                outputs=[
                    "bronze_events",
                    "unusable_events",
                    "unread_events",
                    "event_line_counts",
                ],
                name="ingest_events",
                due=["new_objects"],
            ),
            DueNode(
                func=ingest_users,
                inputs=["raw_users", "new_objects"],
                outputs=["bronze_users", "unusable_users", "unread_users", "user_line_counts"],
                name="ingest_users",
                due=["new_objects"],
            ),
            DueNode(
                func=ingest_activities,
                inputs=["raw_activities", "new_objects"],
                outputs=[
                    "bronze_activities",
                    "unusable_activities",
                    "unread_activities",
                    "activity_line_counts",
                ],
                name="ingest_activities",
                due=["new_objects"],
            ),
            DueNode(
                func=quarantine_lines,
                inputs=["unusable_events", "unusable_users", "unusable_activities"],
                outputs="quarantined_lines",
                name="quarantine_lines",
                due=["unusable_events", "unusable_users", "unusable_activities"],
            ),
            DueNode(
                func=record_objects,
                inputs=[
                    "new_objects",
                    "event_line_counts",
                    "user_line_counts",
                    "activity_line_counts",
                ],
                outputs="ingested_objects",
                name="record_objects",
                due=["new_objects"],
            ),
            DueNode(
                func=rescue_values,
                inputs=["unread_events", "unread_users", "unread_activities"],
                outputs="rescued_values",
                name="rescue_values",
                due=["unread_events", "unread_users", "unread_activities"],
            ),
            DueNode(
                func=find_unknown_keys,
                inputs=[
                    "unread_events",
                    "unread_users",
                    "unread_activities",
                    "ingested_objects",
                ],
                outputs="unknown_keys",
                name="find_unknown_keys",
                due=["unread_events", "unread_users", "unread_activities"],
            ),
        ]
    )
