"""The contracts of what runs did."""

from __future__ import annotations

from lingokids.contracts.contract import Contract

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
    "One row per load of whose lines a recorded run changed the verdict.",
    ("run_id", "load_id"),
    ("run_id", "load_id"),
)
