"""What is done when a run has ended, however it did: close the warehouse, alert, write metrics.

Neither alerts nor metrics ever fail a run. One that is killed can tell nothing: the file that marks
a run under way stays, and ``kedro status`` finds it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.session import KedroSession
from kedro.framework.session.service_session import KedroServiceSession

from lingokids.errors import LingokidsError
from lingokids.runtime import log
from lingokids.runtime.environment import name_of, variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingokids.runtime.records import Run
    from lingokids.schema.parameters import Checks
    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)
#: Addresses to alert, as apprise writes them, apart by white space: secrets.
ADDRESSES = "LINGOKIDS_ALERTS"


class _Here(threading.local):
    """What this thread knows of its run; nothing while none is asked for.

    Attributes:
        started: When it was asked for, by the clocks of the process.
        pipelines: Which.
        environment: Where.
        warehouse: Where its tables are, once that is known.
        checks: Its parameters.
        run: Itself, once it holds the warehouse.
    """

    started: tuple[float, float] | None = None
    pipelines: str = ""
    environment: str = ""
    warehouse: Warehouse | None = None
    checks: Checks | None = None
    run: Run | None = None
    mark: Path | None = None


_HERE = _Here()


def begin(pipeline_names: list[str] | None) -> None:
    """Note that a run of these pipelines is asked for."""
    _HERE.__dict__.clear()
    _HERE.pipelines = ", ".join(pipeline_names or ["__default__"])
    _HERE.started = time.perf_counter(), time.process_time()


def note(warehouse: Warehouse, checks: Checks, env: str | None) -> None:
    """Note what the run is of, before it may be refused."""
    _HERE.warehouse, _HERE.checks, _HERE.environment = warehouse, checks, name_of(env)


def begin_run(run: Run) -> None:
    """Mark that it holds the warehouse; a plan, which is no run, does not."""
    if _HERE.started is None:
        return
    from lingokids.runtime.faults import leave_mark

    _HERE.run = run
    _HERE.mark = leave_mark(run.warehouse.database, run.started_at)


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
    try:
        warehouse, addresses = _HERE.warehouse, variable(ADDRESSES, None)
        is_stopped = ended is not None and not isinstance(ended, Exception)
        if warehouse is not None and not is_stopped and (warehouse.metrics or addresses):
            _tell(warehouse, addresses, is_success=ended is None)
    except Exception as error:  # its text may have an address
        LOGGER.warning("Metrics and alerts of this run are not told: %s.", type(error).__name__)
    finally:
        _HERE.__dict__.clear()


def _tell(warehouse: Warehouse, addresses: str | None, *, is_success: bool) -> None:
    from lingokids.runtime import alerts, exposition, faults
    from lingokids.storage.duckdb.history import history_of

    assert _HERE.checks is not None
    checks, now = _HERE.checks, datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    found: list[faults.Fault] = []
    of_tables: exposition.Metrics = []
    is_whole = False
    # another process may hold the warehouse, before there is a copy
    with (
        contextlib.suppress(LingokidsError),
        history_of(warehouse.database, warehouse.published) as history,
    ):
        fresh = [*faults.freshness(checks, history, now)]
        killed_at = faults.killed_at(warehouse.database, history.held_by)
        found += faults.find(history, checks, history.runs(1), fresh, killed_at)
        of_tables += exposition.of_tables(history, fresh, found)
        is_whole = not history.held_by
    if warehouse.metrics:
        of_run = exposition.of_run(warehouse.metrics, _figures(), is_success=is_success)
        try:
            exposition.write(warehouse.metrics, _HERE.environment, of_run + of_tables)
        except OSError as error:  # alerts are sent all the same
            LOGGER.warning(
                "%s is not written (%s): give its folder to the user of runs, or change "
                "warehouse.metrics in globals.yml.",
                *(warehouse.metrics, error.strerror),
            )
    if addresses:
        if not is_success and not (_HERE.run is not None and _HERE.run.is_recorded):
            said = f"A run of {_HERE.pipelines} failed that no table records: its log says why."
            found.append(faults.Fault(faults.UNRECORDED_RUN, _HERE.pipelines, said))
        alerts.tell(
            *(addresses, warehouse.database, _HERE.environment, found),
            is_whole=is_whole,
            of_run=_HERE.pipelines,
        )


def _figures() -> dict[str, Any]:
    if _HERE.run is not None:
        return _HERE.run.figures()
    wall, cpu = _HERE.started or (0.0, 0.0)
    return {
        "run_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def _closing(run: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Have a run close the warehouse, and be told of, however it ends: Kedro tells of few ends.

    Not of Ctrl-C in a notebook, nor of a plugin that fails; the process, and what it holds open,
    lives on.
    """

    @functools.wraps(run)
    def run_and_close(*args: Any, **kwargs: Any) -> dict[str, Any]:
        from lingokids.storage.duckdb.warehouse import Warehouse

        ended: BaseException | None = None
        begin(kwargs.get("pipeline_names"))
        try:
            return run(*args, **kwargs)
        except BaseException as error:
            ended = error
            raise
        finally:
            end_run()  # while no other run can have begun
            Warehouse.close_all()
            tell(ended)
            log.note(run=None, step=None)

    return run_and_close


for _kind in KedroSession, KedroServiceSession:
    _kind.run = _closing(_kind.run)  # type: ignore[method-assign]
