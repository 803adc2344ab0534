"""The script's gold: the marts, the tables of users, and their published copies.

The parameters are those of ``conf/base/parameters.yml``, written out again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from handwritten_silver import ENRICHED

SLICE = """
    date, coalesce(country_code, 'unknown') AS country_code,
    coalesce(os_name, 'unknown') AS os_name, coalesce(os_version, 'unknown') AS os_version,
    coalesce(app_version, 'unknown') AS app_version, subscription_status,
    coalesce(activity_type, 'unknown') AS activity_type,
    coalesce(collection_id, 'none') AS collection_id"""
MEASURES = """
    count(*) AS activities_played, count_if(completed_flag)::BIGINT AS activities_completed,
    coalesce(sum(duration_seconds), 0)::DECIMAL(18,3) AS total_time_spent"""
MARTS = {
    "activity_engagement_metrics": f"""
        SELECT *, activities_completed / activities_played AS completion_rate
        FROM (SELECT {SLICE}, {MEASURES} FROM events GROUP BY ALL)""",
    "activity_popularity_daily": f"""
        SELECT *, rank() OVER (PARTITION BY date ORDER BY activities_played DESC) AS rank_by_count,
            rank() OVER (PARTITION BY date ORDER BY total_time_spent DESC) AS rank_by_time
        FROM (
            SELECT date, activity_id, max(activity_name) AS activity_name,
                max(activity_type) AS activity_type, {MEASURES}
            FROM events GROUP BY date, activity_id
        )""",
}
USER_ACTIVITY = f"""
    SELECT {SLICE}, activity_id, user_id, max(activity_name) AS activity_name, {MEASURES},
        sum(capped_seconds)::DECIMAL(18,3) AS capped_time_spent,
        count_if(
            left_before IS NULL
            OR occurred_at - (capped_seconds * 1000)::BIGINT * INTERVAL 1 MILLISECOND
                > left_before + INTERVAL 30 MINUTE
        )::BIGINT AS sessions
    FROM (
        SELECT *, least(coalesce(duration_seconds, 0), 3600)::DECIMAL(12,3) AS capped_seconds,
            lag(occurred_at) OVER (
                PARTITION BY user_id, date ORDER BY occurred_at, event_id
            ) AS left_before
        FROM events
    )
    GROUP BY ALL"""
USER_JOURNEYS = """
    played AS (
        SELECT p.user_id, p.date, p.os_name, p.activities_played, p.activities_completed,
            (date_trunc('week', p.date)::DATE - date_trunc('week', u.registration_at)::DATE) // 7
                AS weeks_after,
            date_diff('day', u.subscription_start_at::DATE, p.date) AS days_after
        FROM user_activity_daily AS p JOIN users AS u ON u.user_id = p.user_id
    ),
    active AS (
        SELECT user_id, count(DISTINCT date) AS active_days,
            list_sort(list(DISTINCT weeks_after) FILTER (weeks_after >= 0)) AS active_weeks,
            sum(activities_completed) FILTER (days_after BETWEEN -7 AND -1) AS completed_before,
            sum(activities_completed) FILTER (days_after BETWEEN 1 AND 7) AS completed_after,
            min(date) AS first_active_date, max(date) AS last_active_date
        FROM played GROUP BY user_id
    ),
    systems AS (
        SELECT user_id, os_name FROM played WHERE os_name <> 'unknown' GROUP BY user_id, os_name
        QUALIFY row_number() OVER (
            PARTITION BY user_id ORDER BY sum(activities_played) DESC, os_name) = 1
    )
    SELECT u.user_id, coalesce(country_code, 'unknown') AS country_code,
        coalesce(os_name, 'unknown') AS main_os_name, coalesce(active_days, 0) AS active_days,
        coalesce(active_weeks, []::BIGINT[]) AS active_weeks, 7 AS compared_days,
        coalesce(completed_before, 0)::BIGINT AS completed_before,
        coalesce(completed_after, 0)::BIGINT AS completed_after,
        registration_at::DATE AS registration_date, trial_start_at::DATE AS trial_start_date,
        subscription_start_at::DATE AS subscription_start_date, first_active_date,
        last_active_date
    FROM users AS u
    LEFT JOIN active AS a ON a.user_id = u.user_id
    LEFT JOIN systems AS s ON s.user_id = u.user_id"""
#: The published tables, and the condition that selects the rows an increment replaced.
PUBLISHED = {
    **dict.fromkeys(MARTS, "date IN (FROM touched_days)"),
    "user_activity_daily": "(date, user_id) IN (FROM touched_user_days)",
    "user_journeys": "user_id IN (FROM touched_users)",
}
BRONZE = (
    *("bronze_events", "bronze_users", "bronze_activities"),
    *("quarantined_lines", "ingested_objects"),
)


def rebuild_marts(con: duckdb.DuckDBPyConnection) -> None:
    """Make both marts from all enriched events."""
    for mart, query in MARTS.items():
        con.execute(f"CREATE OR REPLACE TABLE {mart} AS WITH events AS (FROM {ENRICHED}) {query}")


def refresh_marts(con: duckdb.DuckDBPyConnection) -> None:
    """Replace the touched days of both marts."""
    for mart, query in MARTS.items():
        where_touched = PUBLISHED[mart]
        con.execute(f"DELETE FROM {mart} WHERE {where_touched}")
        con.execute(f"""
            INSERT INTO {mart}
            WITH events AS (FROM {ENRICHED} WHERE {where_touched}) {query}""")


def rebuild_users(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of users from all enriched events."""
    con.execute(f"""
        CREATE OR REPLACE TABLE user_activity_daily AS
        WITH events AS (FROM {ENRICHED}) {USER_ACTIVITY}""")
    con.execute(f"""
        CREATE OR REPLACE TABLE user_journeys AS
        WITH users AS (FROM stg_users), {USER_JOURNEYS}""")


def refresh_users(con: duckdb.DuckDBPyConnection) -> None:
    """Replace the touched days of users, and the journeys of these users and of changed ones."""
    con.execute("""
        CREATE OR REPLACE TEMP TABLE touched_user_days AS
        SELECT date, user_id FROM touched_rows UNION SELECT date, user_id FROM fresh_rows""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE touched_users AS
        SELECT user_id FROM touched_user_days UNION SELECT user_id FROM last_users""")
    where_day, where_user = PUBLISHED["user_activity_daily"], PUBLISHED["user_journeys"]
    con.execute(f"DELETE FROM user_activity_daily WHERE {where_day}")
    con.execute(f"""
        INSERT INTO user_activity_daily
        WITH events AS (FROM {ENRICHED} WHERE {where_day}) {USER_ACTIVITY}""")
    con.execute(f"DELETE FROM user_journeys WHERE {where_user}")
    con.execute(f"""
        INSERT INTO user_journeys
        WITH users AS (FROM stg_users WHERE {where_user}), {USER_JOURNEYS}""")


def publish(
    con: duckdb.DuckDBPyConnection, folder: Path, load_id: int, *, is_incremental: bool
) -> None:
    """Publish gold as a DuckDB file, and the load's bronze and the marts as Parquet."""
    folder.mkdir(exist_ok=True)
    _publish_copy(con, folder, is_incremental=is_incremental)
    for table in BRONZE:
        con.execute(f"""
            COPY (FROM {table} WHERE load_id = {load_id})
            TO '{folder}/{table}-{load_id}.parquet' (COMPRESSION zstd)""")
    for mart in MARTS:
        days = f"WHERE {PUBLISHED[mart]}" if is_incremental else ""
        con.execute(f"""
            COPY (FROM {mart} {days}) TO '{folder}/{mart}'
            (FORMAT parquet, PARTITION_BY date, OVERWRITE_OR_IGNORE, COMPRESSION zstd)""")


def _publish_copy(con: duckdb.DuckDBPyConnection, folder: Path, *, is_incremental: bool) -> None:
    """Write the copy aside and rename it when whole, so that a reader never sees half of it."""
    copy, aside = folder / "copy.duckdb", folder / "copy.duckdb.aside"
    if is_incremental:
        shutil.copyfile(copy, aside)
    con.execute(f"ATTACH '{aside}' AS copy")
    for table, where_touched in PUBLISHED.items():
        if is_incremental:
            con.execute(f"DELETE FROM copy.{table} WHERE {where_touched}")
            con.execute(f"INSERT INTO copy.{table} FROM {table} WHERE {where_touched}")
        else:
            con.execute(f"CREATE OR REPLACE TABLE copy.{table} AS FROM {table}")
    con.execute("DETACH copy")
    aside.replace(copy)
