"""The replay pipeline: quarantined lines that are usable now, to bronze."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.replay.nodes import replay_activities, replay_events, replay_users


def create_pipeline() -> Pipeline:
    """Quarantine to bronze, each line in its place."""
    return Pipeline(
        [
            Node(
                func=replay_events,
                inputs=["raw_events", "params:instants"],
                outputs="bronze_events",
                name="replay_events",
                namespace="replay",
            ),
            Node(
                func=replay_users,
                inputs=["raw_users", "params:instants"],
                outputs="bronze_users",
                name="replay_users",
                namespace="replay",
            ),
            Node(
                func=replay_activities,
                inputs=["raw_activities", "params:instants"],
                outputs="bronze_activities",
                name="replay_activities",
                namespace="replay",
            ),
        ]
    )
