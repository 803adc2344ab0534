"""What kedro-viz shows of runs: how each node ended, and how many rows each table has.

Runs of an environment keep both in a folder of its own, ``.viz/<environment>``. kedro-viz reads
``.viz``, whatever its ``--env``: there are links to the files of the environment that it was
started for, so that a run of another one changes nothing on its pages. Previews of rows are in
``storage.previews``, layers in ``conf/base/catalog.yml``, sizes of names in ``.viz/styles.json``.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro_viz.constants import PIPELINE_EVENTS_FILENAME, VIZ_METADATA_DIR
from kedro_viz.integrations.kedro.run_hooks import PipelineRunStatusHook

from lingokids.runtime.environment import name_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from kedro.pipeline import Pipeline

    from lingokids.storage import TableDataset
    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)
ROW_COUNTS = "stats.json"
RUN_STATUS = PIPELINE_EVENTS_FILENAME
_OF_NODES = frozenset(
    {"after_node_run", "on_node_error", "after_dataset_loaded", "after_dataset_saved"}
)
#: The entry that says what was counted; no table has this name.
_COUNTED = "(counted)"


def folder_of(project: str | Path, environment: str | None) -> Path:
    """Where runs of an environment keep what kedro-viz shows of them."""
    return Path(project, VIZ_METADATA_DIR, name_of(environment))


def show(project: Path, environment: str | None) -> None:
    """Have kedro-viz show row counts and run status of this environment, and of no other.

    It reads the row counts when it starts, and the run status each time it is asked: that of two
    servers of one project is of the environment of the later one.
    """
    folder = folder_of(project, environment)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (ROW_COUNTS, RUN_STATUS):
            link = folder.parent / name
            link.unlink(missing_ok=True)
            link.symlink_to(Path(folder.name) / name)
    except OSError as error:  # a picture's numbers are no reason to show no picture
        LOGGER.warning("kedro-viz may show row counts of another environment: %s", error)


class RunStatus(PipelineRunStatusHook, threading.local):
    """How each node last ended, noted when its run is committed or has failed.

    kedro-viz's own hook (12.5) notes success before a run is checked, passes over a run of a part
    or takes it for a whole one, adds a second run of a process to the first, notes all
    environments in one file, and passes over notebooks.
    """

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Begin again; a run that has none of the nodes shown leaves what is noted."""
        self._events: list[dict[str, Any]] = []
        self._current_node = None
        self._should_collect_events = False
        self._folder = folder_of(run_params["project_path"], run_params["env"])
        if {*pipeline.nodes} & {*pipelines["__default__"].nodes}:
            # without parameters it is taken for a whole, and a sequential one: others are refused
            super().before_pipeline_run({}, pipeline)

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Note the end when every other hook is done, or what one of them raised."""
        try:
            result = yield
        except Exception as error:
            self.on_pipeline_error(error)
            raise
        super().after_pipeline_run()
        return result

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Note which node failed, also before its function was called: Kedro tells no hook then."""
        noted = {each["event"] for each in self._events}
        if self._current_node is not None and "on_node_error" not in noted:
            self.on_node_error(error, self._current_node)
        super().on_pipeline_error(error)

    def _add_event(self, event: dict[str, Any], flush: bool = False) -> None:
        super()._add_event(event)
        if flush:
            file = self._folder / RUN_STATUS
            run_now = {each.get("node_id") for each in self._events}
            before = [each for each in _read(file, []) if each.get("node_id") not in run_now]
            kept = [each for each in before if each["event"] in _OF_NODES]
            _write(file, [*kept, *self._events])


def keep_row_counts(folder: Path, warehouse: Warehouse, tables: dict[str, TableDataset]) -> None:
    """Write how many rows each table has, unless the file says so already.

    Args:
        folder: That of the environment: see ``folder_of``.
        warehouse: The warehouse, after a run's commit.
        tables: The tables by their names in the catalog.
    """
    file = folder / ROW_COUNTS
    counted = {"database": str(warehouse.database), "run_id": warehouse.last_run()}
    if _read(file, {}).get(_COUNTED) == counted:
        return
    counts = {
        name: {"columns": len(table.columns), "rows": table.stored.count()}
        for name, table in tables.items()
        if table.table_name in warehouse.tables
    }
    _write(file, counts | {_COUNTED: counted})


def _read(file: Path, nothing: Any) -> Any:
    """What is in it; ``nothing`` where it is not there or has something else."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return nothing
    return content if isinstance(content, type(nothing)) else nothing


def _write(file: Path, content: object) -> None:
    """Write it whole: a server may read the file at any moment."""
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content))
        part.replace(file)
    except OSError as error:  # a picture's numbers are no reason to fail a run
        LOGGER.warning("kedro-viz will not show this run: %s", error)
