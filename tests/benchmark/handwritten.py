"""The limit: the project's job as one hand-written script in plain Python and DuckDB SQL.

``uv run python tests/benchmark/handwritten.py RAW_DIR DATABASE`` reads ``events/``, ``users/`` and
``activities/`` below a folder of JSON Lines objects, brings bronze, the enriched events and gold up
to date in one transaction, publishes them, and prints one line of JSON: CPU and wall seconds of
each stage, counts of rows, peak memory.

The modules ``handwritten*`` share no code with the project on purpose: they inherit neither a cost
nor a mistake from it, so their tables are a second opinion on its tables. Table names, columns and
meanings are those of the project's contracts, written out again. The script does less where that is
honest for a script: it rescues no unknown keys, has no window, checks and record of runs, and reads
only local objects. An object lands at the ``<day>/<hour>/`` in its key, else when last modified.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

# NumPy starts these threads when it is imported; nothing here uses them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import duckdb

from handwritten_bronze import create_bronze, ingest_new_objects
from handwritten_gold import publish, rebuild_marts, rebuild_users, refresh_marts, refresh_users
from handwritten_silver import rebuild_silver, refresh_silver


class Stopwatch:
    """CPU seconds (of all threads) and wall seconds by stage, from the start of the process."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._cpu, self._wall = 0.0, time.perf_counter()

    def lap(self, stage: str) -> None:
        """Record the seconds since the last lap as ``stage``."""
        cpu, wall = time.process_time(), time.perf_counter()
        self.stages[stage] = {
            "cpu_s": round(cpu - self._cpu, 3),
            "wall_s": round(wall - self._wall, 3),
        }
        self._cpu, self._wall = cpu, wall


def main() -> None:
    """Read the command line, run, print one line of JSON."""
    print(json.dumps(run(_arguments())))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The hand-written script: the limit.")
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("database", type=Path)
    parser.add_argument("--incremental", action="store_true", help="only objects not in the ledger")
    parser.add_argument(
        "--two-marts", action="store_true", help="no tables of users, nothing published"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="2GB")
    return parser.parse_args()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Bring the tables up to date in one transaction, publish them, and report on the run."""
    watch = Stopwatch()
    con = _connect(options)
    con.begin()
    is_incremental = options.incremental and bool(con.execute("FROM duckdb_tables()").fetchone())
    if not is_incremental:
        create_bronze(con)
    watch.lap("start")
    load_id, objects = ingest_new_objects(con, options.raw_dir)
    watch.lap("read_and_parse")
    # Rows that are not committed are scanned by one thread, and meanwhile DuckDB's Python client
    # burns the other, waiting: the join of 1 M events took 6.0 CPU s with two, 2.7 with one.
    con.execute("SET threads = 1")
    if is_incremental:
        _refresh_tables(con, load_id, watch, options)
    else:
        _rebuild_tables(con, watch, options)
    con.commit()
    con.execute("CHECKPOINT")
    watch.lap("commit")
    if not options.two_marts:
        publish(con, options.database.with_suffix(""), load_id, is_incremental=is_incremental)
        watch.lap("publish")
    rows = _row_counts(con)
    con.close()
    watch.lap("close")
    return _report(watch, options.database, objects, rows)


def _connect(options: argparse.Namespace) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(
        options.database,
        config={
            "threads": options.threads,
            "memory_limit": options.memory_limit,
            "preserve_insertion_order": False,
            "storage_compatibility_version": "latest",
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    return con


def _rebuild_tables(
    con: duckdb.DuckDBPyConnection, watch: Stopwatch, options: argparse.Namespace
) -> None:
    rebuild_silver(con)
    watch.lap("dedup_and_join")
    rebuild_marts(con)
    watch.lap("marts")
    if not options.two_marts:
        rebuild_users(con)
        watch.lap("users")


def _refresh_tables(
    con: duckdb.DuckDBPyConnection, load_id: int, watch: Stopwatch, options: argparse.Namespace
) -> None:
    refresh_silver(con, load_id)
    watch.lap("dedup_and_join")
    refresh_marts(con)
    watch.lap("marts")
    if not options.two_marts:
        refresh_users(con)
        watch.lap("users")


def _row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()
    return {table: _count(con, table) for (table,) in tables}


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    (count,) = con.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return count


def _report(watch: Stopwatch, database: Path, objects: int, rows: dict[str, int]) -> dict[str, Any]:
    cpu = sum(stage["cpu_s"] for stage in watch.stages.values())
    return {
        "objects": objects,
        "stages": watch.stages,
        "cpu_s": round(cpu, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "database_mib": database.stat().st_size >> 20,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
