"""The contracts of what runs keep: state, what they did, what checks found."""

from __future__ import annotations

from lingokids.schema.contract import Contract

RUNS = Contract(
    "runs",
    "One row per run that changed something, failed, or followed one of its kind that failed.",
    ("run_id",),
    (
        *("run_id", "environment", "pipelines", "parameters", "status", "failure"),
        *("started_at", "run_seconds", "cpu_seconds", "peak_memory_bytes", "bytes_read"),
        *("rows_deleted", "rows_inserted"),
    ),
    ("environment", "pipelines", "parameters", "status", "started_at", "run_seconds"),
)

RUN_STEPS = Contract(
    "run_steps",
    "One row per table and step of a recorded run, in order.",
    ("run_id", "step"),
    (
        *("run_id", "step", "node_name", "table_name"),
        *("rows_read", "rows_deleted", "rows_inserted", "run_seconds", "cpu_seconds"),
    ),
    ("node_name", "table_name", "rows_deleted", "rows_inserted", "run_seconds"),
)

RUN_UNITS = Contract(
    "run_units",
    "One row per load or day of a table that a recorded run wrote.",
    (),
    ("run_id", "table_name", "load_id", "date"),
    ("run_id", "table_name"),
)

TABLE_STATE = Contract(
    "table_state",
    "One row per table: the last run whose writes to its inputs it reflects, and its rules.",
    ("table_name",),
    ("table_name", "version", "rules"),
    ("version",),
)

GONE = Contract(
    "gone",
    "One row per unit that a row left: the run in which it did. Rows that are there cannot say so.",
    ("table_name", "unit", "version"),
    ("table_name", "unit", "version"),
)

CHECK_RESULTS = Contract(
    "check_results",
    "One row per run, table and rule that was checked, whether the run was kept or not.",
    ("run_id", "table_name", "rule"),
    (
        *("run_id", "table_name", "rule", "severity", "verdict"),
        *("rows_checked", "rows_failed", "check_seconds"),
    ),
    ("severity", "verdict", "rows_checked", "rows_failed", "check_seconds"),
)

CHECK_FAILURES = Contract(
    "check_failures",
    "One row per failing row of a check, the first 1,000 of each, with the line it came from.",
    ("run_id", "table_name", "rule", "failure_number"),
    (
        *("run_id", "table_name", "rule", "failure_number"),
        *("row_key", "row_values", "object_key", "line_number"),
    ),
    ("row_key", "row_values"),
)
