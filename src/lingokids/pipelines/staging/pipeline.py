"""The staging pipeline: bronze to one row per event, user and activity."""

from kedro.pipeline import Node, Pipeline

from lingokids.incremental.due import DueNode
from lingokids.pipelines.staging.nodes import (
    find_earlier_deliveries,
    find_last_activities,
    find_last_users,
    find_superseded_deliveries,
    find_unstaged_loads,
    record_staged_loads,
    stage_activities,
    stage_events,
    stage_users,
)


def create_pipeline() -> Pipeline:
    """Bronze to silver: the last delivery of each event, user and activity."""
    return Pipeline(
        [
            Node(
                func=find_unstaged_loads,
                inputs=["ingested_objects", "replayed_lines", "known_staged_loads"],
                outputs="unstaged_loads",
                name="find_unstaged_loads",
            ),
            DueNode(
                func=find_earlier_deliveries,
                inputs=["bronze_events", "unstaged_loads"],
                outputs="earlier_deliveries",
                name="find_earlier_deliveries",
                due=["unstaged_loads"],
            ),
            DueNode(
                func=find_superseded_deliveries,
                inputs=["bronze_events", "earlier_deliveries", "unstaged_loads"],
                outputs="superseded_deliveries",
                name="find_superseded_deliveries",
                due=["unstaged_loads"],
            ),
            Node(
                func=stage_events,
                inputs=["bronze_events", "superseded_deliveries", "staged_loads"],
                outputs="stg_events",
                name="stage_events",
            ),
            DueNode(
                func=find_last_users,
                inputs=["bronze_users", "known_users", "unstaged_loads"],
                outputs="last_users",
                name="find_last_users",
                due=["unstaged_loads"],
            ),
            DueNode(
                func=stage_users,
                inputs=["last_users", "known_users", "unstaged_loads"],
                outputs=["changed_users", "stg_users"],
                name="stage_users",
                due=["last_users"],
            ),
            DueNode(
                func=find_last_activities,
                inputs=["bronze_activities", "known_activities", "unstaged_loads"],
                outputs="last_activities",
                name="find_last_activities",
                due=["unstaged_loads"],
            ),
            DueNode(
                func=stage_activities,
                inputs=["last_activities", "known_activities", "unstaged_loads"],
                outputs=["changed_activities", "stg_activities"],
                name="stage_activities",
                due=["last_activities"],
            ),
            DueNode(
                func=record_staged_loads,
                inputs="unstaged_loads",
                outputs="staged_loads",
                name="record_staged_loads",
                due=["unstaged_loads"],
            ),
        ]
    )
