"""The script's silver: the last delivery of each event, joined with users and activities.

There is no ``stg_events`` beside the enriched events.
"""

from __future__ import annotations

import duckdb
import numpy as np

import handwritten_arrow as arrow
from handwritten_records import FIELDS

ENRICHED = "intermediate_activity_events_enriched"
LATEST = "ORDER BY landed_at DESC, object_key DESC, line_number DESC, etag DESC"
RECORDS = {"users": "user_id", "activities": "activity_id"}
STATUS = """
    CASE
        WHEN u.user_id IS NULL THEN 'unknown'
        WHEN e.occurred_at >= u.subscription_start_at
            AND (u.subscription_expire_at IS NULL OR e.occurred_at <= u.subscription_expire_at)
            THEN 'subscribed'
        WHEN e.occurred_at >= u.trial_start_at AND e.occurred_at <= u.trial_end_at THEN 'trial'
        WHEN u.trial_start_at IS NULL OR e.occurred_at < u.trial_start_at THEN 'free'
        ELSE 'lapsed'
    END"""


def rebuild_silver(con: duckdb.DuckDBPyConnection) -> None:
    """Make silver from all of bronze."""
    for dataset, key in RECORDS.items():
        con.execute(f"""
            CREATE OR REPLACE TABLE stg_{dataset} AS
            SELECT * FROM bronze_{dataset}
            QUALIFY row_number() OVER (PARTITION BY {key} {LATEST}) = 1""")
    con.register("repeated", arrow.stream(id_hash=arrow.numbers(_hashes_of_repeated_ids(con))))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE superseded AS
        SELECT rowid AS place FROM bronze_events
        WHERE hash(event_id) IN (SELECT id_hash FROM repeated)
        QUALIFY row_number() OVER (PARTITION BY event_id {LATEST}) > 1""")
    con.execute(f"""
        CREATE OR REPLACE TABLE {ENRICHED} AS
        {_enriched("rowid NOT IN (SELECT place FROM superseded)")}""")


def _hashes_of_repeated_ids(con: duckdb.DuckDBPyConnection) -> np.ndarray:
    """The hashes of event ids that bronze has more than once.

    Sorting hashes finds them for a tenth of what grouping ids costs. Two ids with one hash do no
    harm: the window over ids tells them apart.
    """
    hashes = con.execute("SELECT hash(event_id) AS id_hash FROM bronze_events").fetchnumpy()
    ordered = np.sort(hashes["id_hash"])
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def refresh_silver(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Bring silver up to date with a load.

    Gold is refreshed from the temporary tables that this leaves: ``touched_days``, ``touched_rows``
    (before), ``fresh_rows`` (after) and ``last_users``.
    """
    for dataset, key in RECORDS.items():
        _refresh_records(con, dataset, key, load_id)
    _find_touched_events(con, load_id)
    _replace_touched_rows(con)
    con.execute("""
        CREATE OR REPLACE TEMP TABLE touched_days AS
        SELECT date FROM touched_rows UNION SELECT date FROM fresh_rows""")


def _refresh_records(con: duckdb.DuckDBPyConnection, dataset: str, key: str, load_id: int) -> None:
    """Replace the users or activities of a load; ``changed_…`` has those that differ."""
    columns = ", ".join(field.column for field in FIELDS[dataset])
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE last_{dataset} AS
        WITH fresh AS (SELECT * FROM bronze_{dataset} WHERE load_id = {load_id})
        SELECT * FROM (
            SELECT * FROM fresh UNION ALL
            SELECT * FROM stg_{dataset} WHERE {key} IN (SELECT {key} FROM fresh))
        QUALIFY row_number() OVER (PARTITION BY {key} {LATEST}) = 1""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE changed_{dataset} AS
        SELECT {columns} FROM last_{dataset} EXCEPT SELECT {columns} FROM stg_{dataset}""")
    con.execute(f"""
        DELETE FROM stg_{dataset} WHERE {key} IN (SELECT {key} FROM last_{dataset})""")
    con.execute(f"INSERT INTO stg_{dataset} SELECT * FROM last_{dataset}")


def _find_touched_events(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Find the events of a load, and those whose user or activity changed what is joined."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE touched_events AS
        SELECT event_id FROM bronze_events WHERE load_id = {load_id}
        UNION
        SELECT e.event_id
        FROM {ENRICHED} AS e
        JOIN changed_users AS u ON u.user_id = e.user_id
        WHERE e.subscription_status <> {STATUS}
            OR e.country_code IS DISTINCT FROM u.country_code
        UNION
        SELECT e.event_id
        FROM {ENRICHED} AS e
        JOIN changed_activities AS a ON a.activity_id = e.activity_id
        WHERE e.activity_name IS DISTINCT FROM a.activity_name
            OR e.activity_type IS DISTINCT FROM a.activity_type
            OR e.activity_subtype IS DISTINCT FROM a.activity_subtype""")


def _replace_touched_rows(con: duckdb.DuckDBPyConnection) -> None:
    """Replace the enriched rows of touched events, by the last delivery of each."""
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE current AS
        SELECT rowid AS place FROM bronze_events
        WHERE event_id IN (SELECT event_id FROM touched_events)
        QUALIFY row_number() OVER (PARTITION BY event_id {LATEST}) = 1""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE touched_rows AS
        SELECT rowid AS place, date, user_id FROM {ENRICHED}
        WHERE event_id IN (SELECT event_id FROM touched_events)""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE fresh_rows AS
        {_enriched("rowid IN (SELECT place FROM current)")}""")
    con.execute(f"DELETE FROM {ENRICHED} WHERE rowid IN (SELECT place FROM touched_rows)")
    con.execute(f"INSERT INTO {ENRICHED} SELECT * FROM fresh_rows")


def _enriched(condition: str) -> str:
    """Join the chosen events, chosen in a subquery: else the engine joins all, then chooses."""
    return f"""
        SELECT e.event_id, e.user_id, e.child_id, e.activity_id, e.event_name, e.source,
            e.duration_seconds, e.completed_flag, e.collection_id, e.loading_time_seconds,
            e.device_id, e.device_brand, e.device_model, e.os_name, e.os_version, e.app_version,
            e.app_build, u.country_code, a.activity_name, a.activity_type, a.activity_subtype,
            {STATUS} AS subscription_status,
            e.occurred_at, e.occurred_at::DATE AS date, e.landed_at, e.load_id
        FROM (
            SELECT * FROM bronze_events WHERE event_name = 'activity_exit' AND {condition}
        ) AS e
        LEFT JOIN stg_users AS u ON u.user_id = e.user_id
        LEFT JOIN stg_activities AS a ON a.activity_id = e.activity_id"""
