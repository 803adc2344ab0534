"""The contracts of what is asked of checks, and of what they find."""

from __future__ import annotations

from lingokids.contracts.contract import Contract

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
