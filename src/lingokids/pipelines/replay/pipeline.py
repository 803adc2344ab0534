"""The replay pipeline: quarantined lines that are usable now, to bronze."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.replay.nodes import (
    find_changed_lines,
    find_objects_to_reread,
    number_replay,
    record_replayed_lines,
    recount_objects,
    rejudge_activities,
    rejudge_events,
    rejudge_users,
    replay_bronze,
    requarantine_lines,
    rescue_replayed_values,
)


def create_pipeline() -> Pipeline:
    """Quarantine to bronze, each line in its place."""
    return Pipeline(
        [
            Node(
                func=find_objects_to_reread,
                inputs=["known_quarantined_lines", "known_objects"],
                outputs="objects_to_reread",
                name="find_objects_to_reread",
            ),
            Node(
                func=rejudge_events,
                inputs=["raw_events", "known_quarantined_lines", "objects_to_reread"],
                outputs=["rejudged_events", "reread_events"],
                name="rejudge_events",
            ),
            Node(
                func=rejudge_users,
                inputs=["raw_users", "known_quarantined_lines", "objects_to_reread"],
                outputs=["rejudged_users", "reread_users"],
                name="rejudge_users",
            ),
            Node(
                func=rejudge_activities,
                inputs=["raw_activities", "known_quarantined_lines", "objects_to_reread"],
                outputs=["rejudged_activities", "reread_activities"],
                name="rejudge_activities",
            ),
            Node(
                func=find_changed_lines,
                inputs=[
                    "rejudged_events",
                    "rejudged_users",
                    "rejudged_activities",
                    "reread_events",
                    "reread_users",
                    "reread_activities",
                    "known_quarantined_lines",
                ],
                outputs="changed_lines",
                name="find_changed_lines",
            ),
            Node(
                func=number_replay,
                inputs=["changed_lines", "known_objects", "known_replayed_lines"],
                outputs="replay_load",
                name="number_replay",
            ),
            Node(
                func=replay_bronze,
                inputs=["rejudged_events", "rejudged_users", "rejudged_activities", "replay_load"],
                outputs=["bronze_events", "bronze_users", "bronze_activities"],
                name="replay_bronze",
            ),
            Node(
                func=rescue_replayed_values,
                inputs=["rejudged_events", "rejudged_users", "rejudged_activities", "replay_load"],
                outputs=["rescued_values", "unknown_keys"],
                name="rescue_replayed_values",
            ),
            Node(
                func=record_replayed_lines,
                inputs=["changed_lines", "replay_load"],
                outputs="replayed_lines",
                name="record_replayed_lines",
            ),
            Node(
                func=requarantine_lines,
                inputs="changed_lines",
                outputs="requarantined_lines",
                name="requarantine_lines",
            ),
            Node(
                func=recount_objects,
                inputs=["changed_lines", "known_objects"],
                outputs="recounted_objects",
                name="recount_objects",
            ),
        ]
    )
