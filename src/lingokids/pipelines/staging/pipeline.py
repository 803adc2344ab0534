"""The staging pipeline: bronze to one row per event, user and activity."""

from kedro.pipeline import Pipeline

from lingokids.pipelines import Node
from lingokids.pipelines.staging.nodes import stage_activities, stage_events, stage_users


def create_pipeline() -> Pipeline:
    """Bronze to silver: the last delivery of each event, user and activity."""
    return Pipeline(
        [
            Node(
                func=stage_events,
                inputs=["bronze_events", "params:time_zone"],
                outputs="stg_events",
                name="stage_events",
                namespace="staging",
            ),
            Node(
                func=stage_users,
                inputs="bronze_users",
                outputs="stg_users",
                name="stage_users",
                namespace="staging",
            ),
            Node(
                func=stage_activities,
                inputs="bronze_activities",
                outputs="stg_activities",
                name="stage_activities",
                namespace="staging",
            ),
        ]
    )
