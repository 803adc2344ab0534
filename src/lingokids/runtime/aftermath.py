"""What is told of a run when it has ended, however it did: alerts, and metrics for Prometheus.

Neither ever fails a run. One that is killed can tell nothing: the file that marks a run under way
stays, and ``kedro status`` finds it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.runtime.environment import name_of, variable

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

    from lingokids.runtime.records import Run
    from lingokids.schema.parameters import Parameters

LOGGER = logging.getLogger(__name__)
#: Addresses to alert, as apprise writes them, apart by white space: secrets.
ADDRESSES = "LINGOKIDS_ALERTS"


class _Here(threading.local):
    """What this thread knows of its run; of a command that runs nothing, the context alone."""

    context: KedroContext | None = None
    parameters: Parameters | None = None
    started: tuple[float, float] | None = None
    pipelines: str = ""
    run: Run | None = None
    mark: Path | None = None


_HERE = _Here()


def note(context: KedroContext, parameters: Parameters) -> None:
    """Note the configuration of what is begun."""
    _HERE.context, _HERE.parameters = context, parameters


def begin(pipeline_names: list[str] | None) -> None:
    """Note that a run of these pipelines is asked for."""
    _HERE.pipelines = ", ".join(pipeline_names or ["__default__"])
    _HERE.started = time.perf_counter(), time.process_time()
    _HERE.context = _HERE.run = _HERE.mark = None


def begin_run(run: Run) -> None:
    """Mark that it holds the warehouse; a plan, which is no run, does not."""
    if _HERE.started is None:
        return
    from lingokids.runtime.faults import mark_of

    _HERE.run, mark = run, mark_of(run.warehouse.database)
    with contextlib.suppress(OSError):  # the disk is full: the run will say so
        mark.write_text(json.dumps({"started_at": f"{run.started_at:%Y-%m-%d %H:%M}"}))
        _HERE.mark = mark


def end_run() -> None:
    """Take the mark away: it has not been killed."""
    if _HERE.mark is not None:
        with contextlib.suppress(OSError):
            _HERE.mark.unlink(missing_ok=True)


def tell(ended: BaseException | None) -> None:
    """Write metrics and send alerts, where they are asked for; not of a run that was stopped.

    Args:
        ended: What ended the run, if it failed.
    """
    context, _HERE.context = _HERE.context, None
    started, _HERE.started = _HERE.started, None
    if context is None or started is None or not (ended is None or isinstance(ended, Exception)):
        return
    try:
        places = context.config_loader["globals"]
        addresses, metrics = variable(ADDRESSES, None), places.get("metrics")
        if addresses or metrics:
            _tell(name_of(context.env), places, ended, _figures(started))
    except Exception as error:  # its text may have an address
        LOGGER.warning("Neither metrics nor alerts of this run: %s.", type(error).__name__)


def _figures(started: tuple[float, float]) -> dict[str, Any]:
    if _HERE.run is not None:
        return _HERE.run.figures()
    return {
        "run_seconds": time.perf_counter() - started[0],
        "cpu_seconds": time.process_time() - started[1],
    }


def _tell(
    environment: str, places: dict[str, Any], ended: Exception | None, figures: dict[str, Any]
) -> None:
    from lingokids.runtime import alerts, exposition, faults
    from lingokids.storage.duckdb.history import history_of

    assert _HERE.parameters is not None
    checks, now = _HERE.parameters.checks, datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    database, published = (Path(places["warehouse"][name]) for name in ("database", "published"))
    found: list[faults.Fault] = []
    of_tables: exposition.Metrics = []
    is_whole = False
    # another process may hold the warehouse, before there is a copy
    with contextlib.suppress(LingokidsError), history_of(database, published) as history:
        fresh = [*faults.freshness(checks, history, now)]
        killed_at = faults.killed_at(database, history.held_by)
        found += faults.find(history, checks, history.runs(1), fresh, killed_at)
        of_tables += exposition.of_tables(history, fresh, found)
        is_whole = not history.held_by
    if places.get("metrics"):
        file = Path(places["metrics"])
        of_run = exposition.of_run(file, figures, is_success=ended is None)
        exposition.write(file, environment, of_run + of_tables)
    if addresses := variable(ADDRESSES, None):
        if ended is not None and not (_HERE.run is not None and _HERE.run.is_recorded):
            said = f"A run of {_HERE.pipelines} failed that no table records: its log says why."
            found.append(faults.Fault(faults.UNRECORDED_RUN, _HERE.pipelines, said))
        alerts.tell(
            addresses, database, environment, found, is_whole=is_whole, of_run=_HERE.pipelines
        )
