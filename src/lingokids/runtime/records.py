"""What a run did, kept in tables: ``runs``, ``run_steps`` and ``run_units``.

A run that changed nothing leaves no record: it writes nothing at all. But for one: after a run of
its kind that failed it is recorded as ``unchanged``, so that the failure is seen to be over.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.errors import sentence_of
from lingokids.runtime import log
from lingokids.runtime.environment import name_of
from lingokids.storage.records import id_of_run, insert_records

if TYPE_CHECKING:
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.engine import Change

LOGGER = logging.getLogger(__name__)


@dataclass
class Run:
    """One run in hand: which it is, and the steps it has made.

    Attributes:
        warehouse: The tables it writes.
        run_id: The instant it was asked for; later than that of any run before.
        environment: The ``--env``.
        pipelines: The pipelines asked for.
        parameters: The parameters given with the run.
        is_checking: Whether it checks tables and builds none.
        is_kept: Whether it is committed.
    """

    warehouse: Warehouse
    run_id: str
    environment: str
    pipelines: str
    parameters: dict[str, Any]
    is_checking: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))
    _started: float = field(default_factory=time.perf_counter)
    _cpu_started: float = field(default_factory=time.process_time)
    has_ingested: bool = False
    is_kept: bool = False
    is_recorded: bool = False
    _node_name: str = ""
    _node_started: float = 0.0
    _seen: int = 0
    _steps: list[tuple[str, Change]] = field(default_factory=list)

    @classmethod
    def begin(cls, warehouse: Warehouse, run_params: dict[str, Any], *, is_checking: bool) -> Run:
        """The run that Kedro begins with these parameters."""
        run = cls(
            warehouse=warehouse,
            run_id=id_of_run(run_params["run_id"], warehouse.last_run()),
            environment=name_of(run_params["env"]),
            pipelines=", ".join(run_params["pipeline_names"] or ["__default__"]),
            parameters=run_params["runtime_params"] or {},
            is_checking=is_checking,
        )
        warehouse.bytes_read = 0
        _forget_peak_memory()
        log.note(run=run.run_id, step=None)
        return run

    def begin_step(self, node_name: str) -> None:
        """Note that a node begins; the step before it is over."""
        self.end_step()
        self._node_name, self._node_started = node_name, time.perf_counter()
        log.note(step=node_name)
        self.has_ingested |= node_name.startswith("ingestion.")

    def end_step(self) -> None:
        """Note and log what the step in hand did to each table, if it did anything."""
        changes = self.warehouse.changes[self._seen :]
        self._seen += len(changes)
        self._steps += [(self._node_name, change) for change in changes]
        if not self._node_name:
            return
        seconds = time.perf_counter() - self._node_started
        if done := _in_words(changes):
            about = {"rows": _rows_written(changes), "ms": round(1000 * seconds)}
            LOGGER.info("%-32s %6.2f s  %s", self._node_name, seconds, done, extra=about)
        self._node_name = ""
        log.note(step=None)

    @property
    def changes(self) -> list[tuple[str, Change]]:
        """What each step that is over did to each table, by node."""
        return _totals(self._steps)

    @property
    def so_far(self) -> dict[str, int]:
        """Rows written and milliseconds, as a line of the log has them."""
        seconds = time.perf_counter() - self._started
        return {"rows": _rows_written(self.warehouse.changes), "ms": round(1000 * seconds)}

    @property
    def where(self) -> str:
        """The node in hand, in a sentence."""
        return f" in {self._node_name}" if self._node_name else ""

    def log_outcome(self) -> None:
        """Say what the run did, after its commit."""
        if self.is_checking:
            return
        if not self.warehouse.has_changed:
            listed = "0 objects read, " if self.has_ingested else ""
            LOGGER.info("Nothing new: %s0 rows written.", listed, extra=self.so_far)
            return
        LOGGER.info(
            "Committed: %s rows inserted, %s deleted, in %s.",
            f"{sum(change.rows_inserted for change in self.warehouse.changes):,}",
            f"{sum(change.rows_deleted for change in self.warehouse.changes):,}",
            self.warehouse.name,
            extra=self.so_far,
        )

    def record_success(self) -> None:
        """Write the record of a run that changed something, inside its transaction."""
        if self.warehouse.has_changed:
            self._write("succeeded", None, self._steps)
        elif self._ends_a_failure:
            self._write("unchanged", None, [])

    @property
    def _ends_a_failure(self) -> bool:
        """Whether the run before failed, and this one does what that one could not."""
        failed = self.warehouse.failed_before()
        is_whole = self.pipelines == "__default__" and failed not in (None, "checks")
        return is_whole or failed == self.pipelines

    def figures(self) -> dict[str, Any]:
        """What the run has cost so far, and what it did, as in ``runs``."""
        changes = self.warehouse.changes
        return {
            "run_seconds": time.perf_counter() - self._started,
            "cpu_seconds": time.process_time() - self._cpu_started,
            "peak_memory_bytes": _peak_memory(),
            "bytes_read": self.warehouse.bytes_read,
            "rows_deleted": sum(change.rows_deleted for change in changes),
            "rows_inserted": sum(change.rows_inserted for change in changes),
        }

    def record_failure(self, error: BaseException) -> None:
        """Write why a run failed; the run itself was rolled back before."""
        said = sentence_of(error) or str(error)
        failure = f"{self._node_name}: {said}" if self._node_name else said
        # a name that is no UTF-8 stands in an error as half a surrogate pair
        self._write("failed", failure.encode(errors="replace").decode(), [])

    def _write(self, status: str, failure: str | None, steps: list[tuple[str, Change]]) -> None:
        self.is_recorded = True
        run = {
            "run_id": self.run_id,
            "environment": self.environment,
            "pipelines": self.pipelines,
            "parameters": json.dumps(self.parameters, default=str),
            "status": status,
            "failure": failure,
            "started_at": self.started_at,
            **self.figures(),
        }
        insert_records(self.warehouse, schema.RUNS, [run])
        steps_made = [
            {
                "run_id": self.run_id,
                "step": step,
                "node_name": node_name,
                "table_name": change.table_name,
                "rows_read": change.rows_read,
                "rows_deleted": change.rows_deleted,
                "rows_inserted": change.rows_inserted,
                "run_seconds": change.seconds,
                "cpu_seconds": change.cpu_seconds,
            }
            for step, (node_name, change) in enumerate(_totals(steps), start=1)
        ]
        insert_records(self.warehouse, schema.RUN_STEPS, steps_made)
        self._write_units()

    def _write_units(self) -> None:
        """Note the loads and days that the run wrote."""
        written = [{"run_id": self.run_id} | unit for unit in self.warehouse.units_written()]
        insert_records(self.warehouse, schema.RUN_UNITS, written)


def _totals(steps: list[tuple[str, Change]]) -> list[tuple[str, Change]]:
    """Add up the saves of a step into one table, such as the batches of an ingestion."""
    totals: dict[tuple[str, str], Change] = {}
    for node_name, change in steps:
        key = (node_name, change.table_name)
        before = totals.get(key)
        totals[key] = (
            change
            if before is None
            else before._replace(
                rows_deleted=before.rows_deleted + change.rows_deleted,
                rows_inserted=before.rows_inserted + change.rows_inserted,
                seconds=before.seconds + change.seconds,
                cpu_seconds=before.cpu_seconds + change.cpu_seconds,
                rows_read=before.rows_read + change.rows_read,
            )
        )
    return [(node_name, change) for (node_name, _), change in totals.items()]


def _forget_peak_memory() -> None:
    """Begin to measure again: a process that stays has held more in some run before."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """The most memory that the process held, in bytes; where Linux says so, in this run."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _rows_written(changes: list[Change]) -> int:
    return sum(change.rows_deleted + change.rows_inserted for change in changes)


def _in_words(changes: list[Change]) -> str:
    parts = []
    for _, change in _totals([("", change) for change in changes]):
        counts = [f"+{change.rows_inserted:,}"] if change.rows_inserted else []
        counts += [f"-{change.rows_deleted:,}"] if change.rows_deleted else []
        if counts:
            parts.append(f"{change.table_name} {' '.join(counts)}")
    return ", ".join(parts)
