"""The contracts of what runs did, and of what their checks were asked and found."""

from __future__ import annotations

from lingokids.schema.contract import Contract

RUNS = Contract(
    "runs",
    "One row per run that changed something or failed.",
    ("run_id",),
    (
        *("run_id", "environment", "pipelines", "parameters", "status", "failure"),
        *("started_at", "run_seconds", "rows_deleted", "rows_inserted"),
    ),
    ("environment", "pipelines", "parameters", "status", "started_at", "run_seconds"),
)

RUN_STEPS = Contract(
    "run_steps",
    "One row per table and step of a recorded run, in order.",
    ("run_id", "step"),
    ("run_id", "step", "node_name", "table_name", "rows_deleted", "rows_inserted", "run_seconds"),
    ("node_name", "table_name", "rows_deleted", "rows_inserted", "run_seconds"),
)

RUN_DAYS = Contract(
    "run_days",
    "One row per day whose gold rows a recorded run rebuilt.",
    ("run_id", "date"),
    ("run_id", "date"),
)

RUN_LOADS = Contract(
    "run_loads",
    "One row per load that a recorded run took in.",
    ("run_id", "load_id"),
    ("run_id", "load_id"),
)

RUN_REPLAYS = Contract(
    "run_replays",
    "One row per load of whose lines a recorded run changed the verdict, or gave bronze a value.",
    ("run_id", "load_id"),
    ("run_id", "load_id"),
)

DUE_CHECKS = Contract(
    "due_checks",
    "One row per rule that the run was asked to check.",
    ("table_name", "rule"),
    ("table_name", "rule"),
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
