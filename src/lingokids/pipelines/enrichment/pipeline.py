"""The enrichment pipeline: staged events joined with their users and activities."""

from kedro.pipeline import Node, Pipeline

from lingokids.incremental.due import DueNode
from lingokids.pipelines.enrichment.nodes import (
    enrich_events,
    find_outdated_events,
    find_unenriched_loads,
    mark_changed_user_days,
    mark_enriched_days,
    record_enriched_loads,
)


def create_pipeline() -> Pipeline:
    """Staged events to enriched events, and the days and users that changed."""
    return Pipeline(
        [
            Node(
                func=find_unenriched_loads,
                inputs=["staged_loads", "known_enriched_loads"],
                outputs="unenriched_loads",
                name="find_unenriched_loads",
            ),
            DueNode(
                func=find_outdated_events,
                inputs=[
                    "known_enriched",
                    "stg_users",
                    "stg_activities",
                    "superseded_deliveries",
                    "changed_users",
                    "changed_activities",
                    "unenriched_loads",
                    "params:window",
                ],
                outputs="outdated_events",
                name="find_outdated_events",
                due=["unenriched_loads", "params:window"],
            ),
            DueNode(
                func=enrich_events,
                inputs=[
                    "stg_events",
                    "stg_users",
                    "stg_activities",
                    "outdated_events",
                    "unenriched_loads",
                    "params:window",
                ],
                outputs="intermediate_activity_events_enriched",
                name="enrich_events",
                due=["outdated_events", "unenriched_loads", "params:window"],
            ),
            DueNode(
                func=mark_enriched_days,
                inputs=[
                    "stg_events",
                    "outdated_events",
                    "unenriched_loads",
                    "known_enriched_days",
                    "params:window",
                    "params:rebuild",
                ],
                outputs="enriched_days",
                name="mark_enriched_days",
                due=["outdated_events", "unenriched_loads", "params:window", "params:rebuild"],
            ),
            DueNode(
                func=mark_changed_user_days,
                inputs=[
                    "stg_events",
                    "outdated_events",
                    "unenriched_loads",
                    "enriched_days",
                    "params:window",
                ],
                outputs="changed_user_days",
                name="mark_changed_user_days",
                # a window's days are made as a whole, so none of its users is noted
                due=["outdated_events", "unenriched_loads"],
            ),
            DueNode(
                func=record_enriched_loads,
                inputs="unenriched_loads",
                outputs="enriched_loads",
                name="record_enriched_loads",
                due=["unenriched_loads"],
            ),
        ]
    )
