"""A warehouse of the version before is refused in a sentence, and carried over by a rebuild."""

from __future__ import annotations

import duckdb
import pytest
from kedro.io import DatasetError

from builders import a_user_record, an_activity_record, an_event_record
from lingokids import schema

BRONZE = tuple(f"bronze_{dataset}" for dataset in schema.FIELDS)
#: What that version kept of what is due, with the columns that are read when it is carried over.
KEPT = {
    "staged_loads": "load_id INTEGER",
    "gold_days": "date DATE",
    "replayed_lines": "dataset VARCHAR, object_key VARCHAR, etag VARCHAR, line_number INTEGER, "
    "past_reason VARCHAR, load_id INTEGER",
    "unknown_keys": "unknown_key VARCHAR",
    "run_days": "run_id VARCHAR, date DATE",
    "run_loads": "run_id VARCHAR, load_id INTEGER",
    "run_replays": "run_id VARCHAR, load_id INTEGER",
}


def _as_the_version_before(database) -> None:
    with duckdb.connect(str(database)) as con:
        versions = "SELECT table_name FROM duckdb_columns() WHERE column_name = 'version'"
        for (name,) in con.execute(f"{versions} AND schema_name = 'main'").fetchall():
            if name not in {"table_state", "gone"}:
                con.execute(f"ALTER TABLE {name} DROP COLUMN version")
        con.execute("ALTER TABLE quarantined_lines DROP COLUMN lines_alike")
        for name in BRONZE:
            con.execute(f"ALTER TABLE {name} DROP COLUMN past_reason")
        for name in (*BRONZE, "ingested_objects"):
            con.execute(f"ALTER TABLE {name} DROP COLUMN is_current")
        con.execute("DROP VIEW unknown_keys; ALTER TABLE rescued_values DROP COLUMN unknown_keys")
        for name, columns in KEPT.items():
            con.execute(f"CREATE TABLE {name} ({columns})")
        con.execute("INSERT INTO run_loads SELECT max(run_id), 1 FROM runs")
        con.execute("DROP TABLE stg_events; CREATE VIEW stg_events AS FROM bronze_events")
        con.execute("DROP TABLE run_units; DROP TABLE table_state; DROP TABLE gone")


@pytest.mark.slow
def test_a_warehouse_of_the_version_before_is_carried_over_by_a_rebuild(project):
    sent_again = {"experiment": {"arm": "a"}}
    project.deliver("events", "a", [an_event_record(1), an_event_record(2)])
    project.deliver("events", "b", [an_event_record(3) | sent_again, {"event_id": "x"}])
    project.deliver("users", "u", [a_user_record()])
    project.deliver("activities", "c", [an_activity_record()])
    project.run()
    before, keys = project.snapshot(), project.table("unknown_keys")
    _as_the_version_before(project.database)

    with pytest.raises(
        DatasetError, match=r"another version or with other settings: it lacks .* rebuild=bronze"
    ):
        project.run()
    project.run(rebuild="bronze")

    assert project.snapshot() == before
    assert project.table("unknown_keys") == keys
    assert project.rows("SELECT DISTINCT load_id FROM run_units WHERE load_id IS NOT NULL")
    (last_run,) = project.rows("SELECT max(run_id) FROM runs")
    project.run()
    assert project.rows("SELECT max(run_id) FROM runs") == [last_run]
