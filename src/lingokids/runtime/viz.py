"""What kedro-viz shows of runs: how each node ended, and how many rows each table has.

Here: the two files in ``.viz`` that it reads for this. Elsewhere: previews of rows
(``storage.previews``), layers (``conf/base/catalog.yml``), when a run commits (``hooks``).
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro_viz.integrations.kedro.run_hooks import PipelineRunStatusHook

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from kedro.pipeline import Pipeline

    from lingokids.storage import TableDataset
    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)
#: The entry that says what was counted; no table has this name.
_COUNTED = "(counted)"


class RunStatus(PipelineRunStatusHook):
    """How each node of a whole run ended, noted when the run is committed or has failed.

    kedro-viz's own hook (12.5) notes success before a run is checked, takes a run of one pipeline
    for a whole one, adds a second run of a process to the first, and passes over notebooks.
    """

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Begin anew; a run of some pipelines leaves what is noted of the last whole run."""
        self._events: list[dict[str, Any]] = []
        self._should_collect_events = False
        if not run_params["pipeline_names"]:
            # every run is a sequential one: others are refused
            super().before_pipeline_run({**run_params, "runner": None}, pipeline)

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


def keep_row_counts(file: Path, warehouse: Warehouse, tables: dict[str, TableDataset]) -> None:
    """Write how many rows each table has, unless the file says so already.

    Args:
        file: ``.viz/stats.json``.
        warehouse: The warehouse, after a run's commit.
        tables: The tables by their names in the catalog.
    """
    counted = {"database": str(warehouse.database), "run_id": warehouse.last_success()}
    if _read(file).get(_COUNTED) == counted:
        return
    counts = {
        name: {"columns": len(table.columns), "rows": table.stored.count()}
        for name, table in tables.items()
        if table.table_name in warehouse.tables
    }
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(counts | {_COUNTED: counted}))
    except OSError as error:  # a picture's numbers are no reason to fail a run
        LOGGER.warning("kedro-viz will show no row counts: %s", error)


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}
