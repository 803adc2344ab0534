"""The limit: the project's job as one hand-written script in plain Python and DuckDB SQL.

Reads ``events/``, ``users/`` and ``activities/`` below a folder of JSON Lines objects and brings
bronze (typed, with quarantine and ledger), the enriched events and gold (``handwritten_gold``) up
to date, in one transaction, and publishes them. Usage: ``python
tests/benchmark/handwritten.py RAW_DIR DATABASE``; it prints one line of JSON: CPU and wall seconds
of each stage, counts of rows and peak memory. With ``--two-marts`` it ends with the marts: no
tables of users, nothing published.

Table names, columns and meanings are those of ``schema`` and ``quality``, written out again.
It does less than the project where that is honest for a script: no ``stg_events`` beside the
enriched events, no keys rescued, no window, no checks, no record of runs. Only local objects are
read; an object lands at the ``<day>/<hour>/`` in its key, else when last modified. Unusable lines
are held in memory until their dataset is read.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

import handwritten_gold
import raw_lines
import raw_records
from raw_lines import BadLine, LineReader, RawObject
from raw_records import FIELDS

BLANK = " \t\r\n"
LATEST = "ORDER BY landed_at DESC, object_key DESC, line_number DESC, etag DESC"


# --- lines to bronze ----------------------------------------------------------------------


def create_bronze(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables that lines and objects go to."""
    for dataset, fields in FIELDS.items():
        columns = ", ".join(f"{field.column} {field.type}" for field in fields)
        con.execute(
            f"CREATE OR REPLACE TABLE bronze_{dataset} (object_key VARCHAR, etag VARCHAR, "
            f"line_number INTEGER, {columns}, landed_at TIMESTAMP, load_id INTEGER)"
        )
    con.execute("""
        CREATE OR REPLACE TABLE quarantined_lines (
            dataset VARCHAR, object_key VARCHAR, etag VARCHAR, line_number INTEGER,
            line_text VARCHAR, reason VARCHAR, landed_at TIMESTAMP, load_id INTEGER)""")
    con.execute("""
        CREATE OR REPLACE TABLE ingested_objects (
            dataset VARCHAR, object_key VARCHAR, etag VARCHAR, size_bytes BIGINT, lines BIGINT,
            blank BIGINT, kept BIGINT, quarantined BIGINT, landed_at TIMESTAMP, load_id INTEGER)""")


def ingest(
    con: duckdb.DuckDBPyConnection, dataset: str, objects: list[RawObject], load_id: int
) -> None:
    """Bring the lines of ``objects`` into bronze and quarantine, the objects into the ledger."""
    reader = LineReader(objects)

    def reject(object_index: int, line_number: int, line: str) -> bool:
        reader.bad_lines.append(BadLine(object_index, line_number, line, ""))
        return False

    # A function with side effects sees each line that is not right in the pass that inserts the
    # others; and it keeps the engine from typing every line twice, once to filter.
    con.create_function(
        f"reject_{dataset}", reject, ["INTEGER", "INTEGER", "VARCHAR"], "BOOLEAN", side_effects=True
    )
    columns = ", ".join(field.column for field in FIELDS[dataset])
    con.register("lines", reader.stream())
    con.execute(f"""
        INSERT INTO bronze_{dataset}
        SELECT object_key, etag, line_number, {columns}, landed_at, {load_id}
        FROM (
            SELECT *, CASE
                WHEN {raw_records.are_right(dataset)} THEN true
                ELSE reject_{dataset}(object_index, line_number, line)
            END AS is_right
            FROM ({raw_records.records(dataset, "lines")})
        )
        WHERE is_right""")
    for bad in reader.bad_lines:
        raw = objects[bad.object_index]
        if bad.reason:  # its line was emptied, so it has come here as a blank line, too
            raw.quarantined += 1
            raw.blank -= 1
        elif bad.text.strip(BLANK):
            raw.quarantined += 1
        else:
            raw.blank += 1
    unusable = [bad for bad in reader.bad_lines if bad.reason or bad.text.strip(BLANK)]
    con.register("unusable", _bad_line_stream(objects, unusable))
    con.execute(f"""
        INSERT INTO quarantined_lines
        SELECT '{dataset}', object_key, etag, line_number, rtrim(line, E' \\t\\r\\n'),
            coalesce(nullif(known_reason, ''), {raw_records.reason(dataset)}), landed_at, {load_id}
        FROM ({raw_records.records(dataset, "unusable")})""")
    con.register("objects", _object_stream(objects))
    con.execute(f"""
        INSERT INTO ingested_objects
        SELECT '{dataset}', object_key, etag, size_bytes, lines, blank,
            lines - blank - quarantined, quarantined, landed_at, {load_id}
        FROM objects""")


def _bad_line_stream(objects: list[RawObject], bad_lines: list[BadLine]) -> Any:
    of_objects = [objects[bad.object_index] for bad in bad_lines]
    return raw_lines.stream(
        object_key=raw_lines.texts(raw.key for raw in of_objects),
        etag=raw_lines.texts(raw.etag for raw in of_objects),
        landed_at=raw_lines.instants(raw.landed_at for raw in of_objects),
        line_number=raw_lines.integers(bad.line_number for bad in bad_lines),
        line=raw_lines.texts(bad.text for bad in bad_lines),
        known_reason=raw_lines.texts(bad.reason for bad in bad_lines),
    )


def _object_stream(objects: list[RawObject]) -> Any:
    return raw_lines.stream(
        object_key=raw_lines.texts(raw.key for raw in objects),
        etag=raw_lines.texts(raw.etag for raw in objects),
        landed_at=raw_lines.instants(raw.landed_at for raw in objects),
        size_bytes=raw_lines.integers(raw.size for raw in objects),
        lines=raw_lines.integers(raw.lines for raw in objects),
        blank=raw_lines.integers(raw.blank for raw in objects),
        quarantined=raw_lines.integers(raw.quarantined for raw in objects),
    )


# --- bronze to silver ---------------------------------------------------------------------

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


def refine_everything(con: duckdb.DuckDBPyConnection) -> None:
    """Make silver from all of bronze: the last delivery of each event, joined."""
    for dataset, key in RECORDS.items():
        con.execute(f"""
            CREATE OR REPLACE TABLE stg_{dataset} AS
            SELECT * FROM bronze_{dataset}
            QUALIFY row_number() OVER (PARTITION BY {key} {LATEST}) = 1""")
    # Sorting hashes finds the few ids that occur twice for a tenth of what grouping ids costs;
    # two ids of one hash do no harm, for the window tells them apart.
    hashes = con.execute("SELECT hash(event_id) AS id_hash FROM bronze_events").fetchnumpy()
    ordered = np.sort(hashes["id_hash"])
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    con.register("repeated", raw_lines.stream(id_hash=raw_lines.numbers(repeated)))
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE superseded AS
        SELECT rowid AS place FROM bronze_events
        WHERE hash(event_id) IN (SELECT id_hash FROM repeated)
        QUALIFY row_number() OVER (PARTITION BY event_id {LATEST}) > 1""")
    con.execute(f"""
        CREATE OR REPLACE TABLE intermediate_activity_events_enriched AS
        {_enriched("rowid NOT IN (SELECT place FROM superseded)")}""")


def refine_increment(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Bring silver up to date with a load; ``touched_days`` says which days changed."""
    for dataset, key in RECORDS.items():
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
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE touched_events AS
        SELECT event_id FROM bronze_events WHERE load_id = {load_id}
        UNION
        SELECT e.event_id
        FROM intermediate_activity_events_enriched AS e
        JOIN changed_users AS u ON u.user_id = e.user_id
        WHERE e.subscription_status <> {STATUS}
            OR e.country_code IS DISTINCT FROM u.country_code
        UNION
        SELECT e.event_id
        FROM intermediate_activity_events_enriched AS e
        JOIN changed_activities AS a ON a.activity_id = e.activity_id
        WHERE e.activity_name IS DISTINCT FROM a.activity_name
            OR e.activity_type IS DISTINCT FROM a.activity_type
            OR e.activity_subtype IS DISTINCT FROM a.activity_subtype""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE current AS
        SELECT rowid AS place FROM bronze_events
        WHERE event_id IN (SELECT event_id FROM touched_events)
        QUALIFY row_number() OVER (PARTITION BY event_id {LATEST}) = 1""")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE touched_rows AS
        SELECT rowid AS place, date, user_id FROM intermediate_activity_events_enriched
        WHERE event_id IN (SELECT event_id FROM touched_events)""")
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE fresh_rows AS
        {_enriched("rowid IN (SELECT place FROM current)")}""")
    con.execute("""
        DELETE FROM intermediate_activity_events_enriched
        WHERE rowid IN (SELECT place FROM touched_rows)""")
    con.execute("INSERT INTO intermediate_activity_events_enriched SELECT * FROM fresh_rows")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE touched_days AS
        SELECT date FROM touched_rows UNION SELECT date FROM fresh_rows""")


def _enriched(condition: str) -> str:
    """Join the events chosen, in a query of their own: else the engine joins all, then chooses."""
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


# --- the run ------------------------------------------------------------------------------


class Stopwatch:
    """CPU seconds (of all threads) and wall seconds by stage, from the start of the process."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._cpu, self._wall = 0.0, time.perf_counter()

    def lap(self, stage: str) -> None:
        """Enter what has passed since the last lap under ``stage``."""
        cpu, wall = time.process_time(), time.perf_counter()
        self.stages[stage] = {
            "cpu_s": round(cpu - self._cpu, 3),
            "wall_s": round(wall - self._wall, 3),
        }
        self._cpu, self._wall = cpu, wall


def run(
    raw_dir: Path,
    database: Path,
    *,
    is_incremental: bool,
    ends_with_marts: bool,
    threads: int,
    memory_limit: str,
) -> dict[str, Any]:
    """Bring every table in ``database`` up to date in one transaction, and report on it."""
    watch = Stopwatch()
    con = duckdb.connect(
        database,
        config={
            "threads": threads,
            "memory_limit": memory_limit,
            "preserve_insertion_order": False,
            "storage_compatibility_version": "latest",
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    con.begin()
    is_incremental = is_incremental and bool(con.execute("FROM duckdb_tables()").fetchone())
    if not is_incremental:
        create_bronze(con)
    watch.lap("start")
    known = set(con.execute("SELECT dataset, object_key, etag FROM ingested_objects").fetchall())
    (load_id,) = con.execute(
        "SELECT coalesce(max(load_id), 0) + 1 FROM ingested_objects"
    ).fetchone() or (1,)
    objects = 0
    for dataset in FIELDS:
        listed = raw_lines.list_objects(raw_dir / dataset)
        new = [raw for raw in listed if (dataset, raw.key, raw.etag) not in known]
        ingest(con, dataset, new, load_id)
        objects += len(new)
    watch.lap("read_and_parse")
    # Rows that are not committed are scanned by one thread, and meanwhile DuckDB's Python client
    # burns the other, waiting: the join of 1 M events took 6.0 CPU s with two, 2.7 with one.
    con.execute("SET threads = 1")
    if is_incremental:
        refine_increment(con, load_id)
        watch.lap("dedup_and_join")
        handwritten_gold.rebuild_touched_days(con)
    else:
        refine_everything(con)
        watch.lap("dedup_and_join")
        handwritten_gold.build_marts(con)
    watch.lap("marts")
    if not ends_with_marts:
        if is_incremental:
            handwritten_gold.rebuild_touched_users(con)
        else:
            handwritten_gold.build_users(con)
        watch.lap("users")
    con.commit()
    con.execute("CHECKPOINT")
    watch.lap("commit")
    if not ends_with_marts:
        folder = database.with_suffix("")
        handwritten_gold.publish(con, folder, load_id, is_incremental=is_incremental)
        watch.lap("publish")
    rows = {
        table: _count(con, table)
        for (table,) in con.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT temporary"
        ).fetchall()
    }
    con.close()
    watch.lap("close")
    cpu = sum(stage["cpu_s"] for stage in watch.stages.values())
    return {
        "objects": objects,
        "stages": watch.stages,
        "cpu_s": round(cpu, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "database_mib": database.stat().st_size >> 20,
        "rows": rows,
    }


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return count


def main() -> None:
    """Read the command line, run, print one line of JSON."""
    parser = argparse.ArgumentParser(description="The hand-written script: the limit.")
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("database", type=Path)
    parser.add_argument("--incremental", action="store_true", help="only objects not in the ledger")
    parser.add_argument("--two-marts", action="store_true", help="end with the marts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="2GB")
    arguments = parser.parse_args()
    report = run(
        arguments.raw_dir,
        arguments.database,
        is_incremental=arguments.incremental,
        ends_with_marts=arguments.two_marts,
        threads=arguments.threads,
        memory_limit=arguments.memory_limit,
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
