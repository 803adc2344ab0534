"""Metrics of the last run and of the tables, as Prometheus reads them from a file.

node_exporter's textfile collector serves it: a run is no server that could be asked. It is open to
everyone, and has counts of whole tables alone.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.runtime import faults

if TYPE_CHECKING:
    from lingokids.runtime.faults import Fault
    from lingokids.storage.duckdb.history import History

_SUCCESS = "lingokids_last_success_timestamp_seconds"
_KINDS = (
    *(faults.FAILED_RUN, faults.KILLED_RUN, faults.BROKEN_RULE),
    *(faults.STALE_TABLE, faults.SLOW_RUN),
)
_FIGURES = {
    "run_seconds": ("lingokids_run_duration_seconds", "Duration of the last run."),
    "cpu_seconds": ("lingokids_run_cpu_seconds", "CPU time of the last run."),
    "peak_memory_bytes": ("lingokids_run_peak_memory_bytes", "Most memory that it held."),
    "bytes_read": ("lingokids_run_read_bytes", "Size of the raw objects that it read."),
    "rows_inserted": ("lingokids_run_rows_inserted", "Rows that it inserted."),
    "rows_deleted": ("lingokids_run_rows_deleted", "Rows that it deleted."),
}

Metrics = list[tuple[str, str, list[tuple[dict[str, str], float]]]]


def of_run(file: Path, figures: dict[str, Any], *, is_success: bool) -> Metrics:
    """How the run went.

    Args:
        file: That of the run before: when one last succeeded is in no table if it changed nothing.
        figures: See ``Run.figures``.
        is_success: Whether it did not fail.
    """
    now = time.time()
    succeeded = now if is_success else _last_success(file)
    cost: Metrics = [(*_FIGURES[name], [({}, value)]) for name, value in figures.items()]
    return [
        ("lingokids_run_success", "1: the last run succeeded.", [({}, float(is_success))]),
        ("lingokids_run_timestamp_seconds", "When the last run ended.", [({}, now)]),
        (_SUCCESS, "When a run last succeeded.", [({}, succeeded)] if succeeded else []),
        *cost,
    ]


def of_tables(history: History, fresh: list[dict[str, Any]], found: list[Fault]) -> Metrics:
    """How the tables are.

    Args:
        history: The records.
        fresh: See ``faults.freshness``.
        found: See ``faults.find``.
    """
    kinds = Counter(fault.kind for fault in found)
    written = history.written_at()
    lines: Counter[str] = Counter()
    for each in history.quarantined(datetime.min):
        lines[each["dataset"]] += each["lines"]
    return [
        (
            "lingokids_table_written_timestamp_seconds",
            "When the run began that last wrote the table.",
            [({"table": name}, _seconds(at)) for name, at in written.items()],
        ),
        (
            "lingokids_newest_timestamp_seconds",
            "The newest instant in the table.",
            [
                ({"table": each["table_name"], "of": faults.group_of(each)}, _seconds(newest))
                for each in fresh
                if isinstance(newest := each["newest"], datetime)
            ],
        ),
        (
            "lingokids_quarantined_lines",
            "Lines in quarantine.",
            [({"dataset": dataset}, lines[dataset]) for dataset in schema.FIELDS],
        ),
        (
            "lingokids_faults",
            "What kedro status finds wrong.",
            [({"kind": kind}, kinds[kind]) for kind in _KINDS],
        ),
    ]


def write(file: Path, environment: str, metrics: Metrics) -> None:
    """Write the file, whose folder is there, in one go: it may be read at any moment."""
    text = "".join(_lines(*metric, environment) for metric in metrics if metric[-1])
    part = file.with_name(f".{file.name}.{os.getpid()}")  # the collector reads *.prom
    part.write_text(text, encoding="utf-8")
    part.chmod(0o644)
    part.replace(file)


def _lines(
    name: str, meaning: str, samples: list[tuple[dict[str, str], float]], environment: str
) -> str:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        # names of tables, datasets and environments: none has a quote
        named = {"environment": environment, **labels}.items()
        said = ",".join(f'{label}="{of}"' for label, of in named)
        lines.append(f"{name}{{{said}}} {float(value)!r}")
    return "".join(f"{line}\n" for line in lines)


def _seconds(at: datetime) -> float:
    return at.replace(tzinfo=UTC).timestamp()


def _last_success(file: Path) -> float | None:
    """What the file says that is there: a run that changed nothing is in no table."""
    try:
        found = re.search(rf"^{_SUCCESS}{{.*}} (\S+)$", file.read_text(), re.MULTILINE)
        return float(found[1]) if found else None
    except (OSError, ValueError):
        return None
