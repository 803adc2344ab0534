"""What a run did, kept in tables: ``runs``, ``run_steps`` and ``run_units``.

A run that changed nothing leaves no record: it writes nothing at all.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
    has_ingested: bool = False
    is_kept: bool = False
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
        self._write("succeeded", None, self._steps)

    def record_failure(self, error: BaseException) -> None:
        """Write why a run failed; the run itself was rolled back before."""
        said = sentence_of(error) or str(error)
        failure = f"{self._node_name}: {said}" if self._node_name else said
        # a name that is no UTF-8 stands in an error as half a surrogate pair
        self._write("failed", failure.encode(errors="replace").decode(), [])

    def _write(self, status: str, failure: str | None, steps: list[tuple[str, Change]]) -> None:
        run = {
            "run_id": self.run_id,
            "environment": self.environment,
            "pipelines": self.pipelines,
            "parameters": json.dumps(self.parameters, default=str),
            "status": status,
            "failure": failure,
            "started_at": self.started_at,
            "run_seconds": time.perf_counter() - self._started,
            "rows_deleted": sum(change.rows_deleted for _, change in steps),
            "rows_inserted": sum(change.rows_inserted for _, change in steps),
        }
        insert_records(self.warehouse, schema.RUNS, [run])
        steps_made = [
            {
                "run_id": self.run_id,
                "step": step,
                "node_name": node_name,
                "table_name": change.table_name,
                "rows_deleted": change.rows_deleted,
                "rows_inserted": change.rows_inserted,
                "run_seconds": change.seconds,
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
            )
        )
    return [(node_name, change) for (node_name, _), change in totals.items()]


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
