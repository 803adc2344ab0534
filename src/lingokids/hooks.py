"""What every run does, whatever the pipeline: check, begin, log, commit or roll back, publish.

Here: the order of these. Elsewhere: the transaction itself (``datasets.warehouse``), what is
recorded (``runs``), which parameters mean what (``windows``).

One run is one transaction. Whatever ends a run before its commit (an error, Ctrl-C, a kill)
leaves every table as it was; running again is the cure.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from lingokids import secrets
from lingokids.errors import LingokidsError, did_you_mean

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.datasets import TableDataset
    from lingokids.datasets.warehouse import Warehouse
    from lingokids.inspections import Inspection
    from lingokids.runs import Run

LOGGER = logging.getLogger(__name__)


class RunHooks:
    """The life of a run."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._inspection: Inspection | None = None
        self._all_tables: dict[str, TableDataset] = {}
        self._project_path = Path()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep credentials out of the log, and refuse parameters that do not exist."""
        secrets.hide_in_logs(_credentials(context))
        self._project_path = context.project_path
        if given := context._runtime_params:
            _refuse_unknown_parameters(given, _declared_parameters(context))

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check what was asked for, take the warehouse and begin the transaction."""
        from lingokids import checks, windows
        from lingokids.inspections import Inspection
        from lingokids.runs import Run

        _refuse_unsafe_ways_to_run(run_params)
        _refuse_checks_beside_others(pipeline)
        parameters = catalog.load("parameters")
        rebuild = windows.check_parameters(parameters)
        asked = checks.check_parameters(parameters["checks"])
        self._all_tables = _tables(catalog, set(catalog.keys()))
        tables = _tables(catalog, pipeline.datasets())
        warehouse = _only_warehouse(tables)
        if warehouse is None:
            return
        warehouse.begin()
        try:
            if rebuild == "raw":
                _refuse_part_of_a_raw_rebuild(pipeline)
                _refuse_to_lose_objects(catalog, pipeline)
            _refuse_to_restore_over_loads(catalog, pipeline, warehouse)
            if rebuild:
                outputs = pipeline.all_outputs()
                _empty(rebuild, [table for name, table in tables.items() if name in outputs])
        except BaseException:  # Kedro calls no hook for an error in a hook
            warehouse.close()
            raise
        self._inspection = Inspection(warehouse, self._all_tables, asked)
        self._run = Run(
            warehouse=warehouse,
            run_id=run_params["run_id"],
            environment=run_params["env"] or "base",
            pipelines=", ".join(run_params["pipeline_names"] or ["__default__"]),
            parameters=run_params["runtime_params"] or {},
        )

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note that a step begins."""
        if self._run:
            self._run.begin_step(node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Check what was changed, commit, say what was done, and publish it."""
        if self._run is None or self._inspection is None:
            return
        run, self._run = self._run, None
        warehouse = run.warehouse
        try:
            run.end_step()
            try:
                self._inspect(run, self._inspection)
            except Exception as error:  # Kedro calls no hook for an error in a hook
                self._fail(run, error)
                raise
            if warehouse.has_changed:
                run.record_success()
            warehouse.commit()
            self._write_page(run, "The run was kept.")
            warehouse.publish()
            self._write_statistics()
            _log_outcome(warehouse)
            _publish_to_lakes(warehouse, run.run_id)
        finally:
            warehouse.close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Roll back, and record why."""
        if self._run is None:
            return
        run, self._run = self._run, None
        self._fail(run, error)

    def _inspect(self, run: Run, inspection: Inspection) -> None:
        """Check what the run changed, or what it was asked to check; a broken rule ends it."""
        from lingokids import evidence

        if "due_checks" in run.warehouse.run_tables:
            inspection.of_tables()
        elif run.warehouse.has_changed:
            inspection.of_changes()
        if not inspection.results:
            return
        inspection.log()
        if (error := inspection.broken) is not None:
            raise error
        evidence.record(run.warehouse, run.run_id, inspection.results)

    def _fail(self, run: Run, error: Exception) -> None:
        """Roll back, and record why, with what checks found, in a transaction of its own."""
        from lingokids import evidence

        run.warehouse.close()
        LOGGER.error("The run failed. Every table is as it was before.")
        try:
            run.warehouse.begin()
            run.record_failure(error)
            if self._inspection is not None and self._inspection.results:
                evidence.record(run.warehouse, run.run_id, self._inspection.results)
            run.warehouse.commit()
            self._write_page(run, "A rule is broken, and every table is as it was.")
        except Exception as second:  # the first error is the one to be seen
            LOGGER.warning("The failure could not be recorded in runs: %s", second)
        finally:
            run.warehouse.close()

    def _write_page(self, run: Run, outcome: str) -> None:
        from lingokids import evidence

        if self._inspection is None or not self._inspection.results:
            return
        about = f"{self._inspection.about} {outcome} Pipelines: {run.pipelines}."
        evidence.write_page(run.warehouse, run.run_id, about, self._inspection.results)

    def _write_statistics(self) -> None:
        """Give kedro-viz the row counts, which it can only count itself for pandas.

        After every run: kedro-viz's own hook has just emptied the file.
        """
        statistics = {
            name: {"rows": table.count_in_run(), "columns": len(table.columns)}
            for name, table in self._all_tables.items()
            if table.mode != "run" and table.table_name in table.warehouse.tables
        }
        path = self._project_path / ".viz" / "stats.json"
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(statistics))
        except OSError as error:  # a picture's numbers are no reason to fail a run
            LOGGER.warning("kedro-viz will show no row counts: %s", error)


def _tables(catalog: DataCatalog, names: set[str]) -> dict[str, TableDataset]:
    from lingokids.datasets import TableDataset

    datasets = {name: catalog.get(name) for name in sorted(names) if name in catalog}
    return {name: data for name, data in datasets.items() if isinstance(data, TableDataset)}


def _only_warehouse(tables: dict[str, TableDataset]) -> Warehouse | None:
    warehouses = {id(table.warehouse): table.warehouse for table in tables.values()}
    if len(warehouses) > 1:
        files = sorted(str(warehouse.database) for warehouse in warehouses.values())
        raise LingokidsError(
            f"The tables of one run lie in several files ({', '.join(files)}): one transaction "
            "cannot hold them. Give them one warehouse in globals.yml."
        )
    return next(iter(warehouses.values()), None)


def _empty(rebuild: str, outputs: list[TableDataset]) -> None:
    """Empty the tables that a rebuild makes anew; bronze only if it is made anew from raw."""
    for table in outputs:
        if table.mode == "run" or table.survives_rebuild:
            continue
        if table.layer != "bronze" or rebuild == "raw":
            table.clear()


def _refuse_part_of_a_raw_rebuild(pipeline: Pipeline) -> None:
    """Loads are numbered anew, so every layer that remembers their numbers must go along."""
    if not {"ingested_objects", "staged_loads", "enriched_loads"} <= pipeline.all_outputs():
        raise LingokidsError(
            "rebuild=raw numbers the loads anew, so it runs all pipelines or none: leave "
            "--pipeline out, or use rebuild=bronze."
        )


def _refuse_checks_beside_others(pipeline: Pipeline) -> None:
    """A run that builds tables checks what it changed; this pipeline checks all that there is."""
    outputs = pipeline.all_outputs()
    if "due_checks" in outputs and len(outputs) > 1:
        raise LingokidsError(
            "The pipeline checks runs alone: run the others first, then uv run kedro run "
            "--pipeline checks."
        )


def _refuse_to_lose_objects(catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Raw objects may have expired or been overwritten since bronze took them in."""
    from lingokids.datasets import ObjectsDataset

    for name in sorted(pipeline.inputs()):
        source = catalog.get(name)
        if not isinstance(source, ObjectsDataset):
            continue
        if lost := source.lost_from(catalog.load("known_objects")):
            raise LingokidsError(
                f"rebuild=raw would lose {len(lost):,} objects of {source.dataset} that bronze has "
                f"and {source.path} has no longer, such as {lost[0]}: use rebuild=bronze. To "
                "forget them, delete the warehouse file and run."
            )


def _credentials(context: KedroContext) -> dict[str, Any]:
    try:
        return dict(context.config_loader["credentials"])
    except MissingConfigException:
        return {}


def _refuse_to_restore_over_loads(
    catalog: DataCatalog, pipeline: Pipeline, warehouse: Warehouse
) -> None:
    """Loads of two warehouses have the same numbers, and lines of one object would stand twice."""
    from lingokids.datasets import ParquetDataset

    if not any(isinstance(catalog.get(name), ParquetDataset) for name in pipeline.inputs()):
        return
    if (last_load := warehouse.last_load()) is not None:
        raise LingokidsError(
            f"{warehouse.database.name} holds loads (up to number {last_load:,}), and restore "
            "fills an empty warehouse only: move the file away and run again."
        )


def _declared_parameters(context: KedroContext) -> dict[str, Any]:
    """The parameters as the files have them, without those given with the run."""
    loader = context.config_loader
    given, loader.runtime_params = loader.runtime_params, {}
    try:
        return dict(loader["parameters"])
    finally:
        loader.runtime_params = given


def _refuse_unknown_parameters(
    given: dict[str, Any], declared: dict[str, Any], prefix: str = ""
) -> None:
    for name, value in given.items():
        if name not in declared:
            names = ", ".join(f"{prefix}{known}" for known in declared)
            hint = did_you_mean(name, declared, prefix)
            raise LingokidsError(
                f"There is no parameter {prefix}{name}.{hint} There are: {names}. See "
                "conf/base/parameters.yml."
            )
        # an empty mapping in the file takes keys of the operator's own (os_names)
        if isinstance(declared[name], dict) and declared[name]:
            if not isinstance(value, dict):
                names = ", ".join(f"{prefix}{name}.{known}" for known in declared[name])
                raise LingokidsError(
                    f"{prefix}{name} is a group of parameters: give one of {names}."
                )
            _refuse_unknown_parameters(value, declared[name], f"{prefix}{name}.")


def _refuse_unsafe_ways_to_run(run_params: dict[str, Any]) -> None:
    runner = str(run_params["runner"])
    for name in ("ThreadRunner", "ParallelRunner"):
        if name in runner:
            raise LingokidsError(
                f"{name} cannot be used: a run is one transaction on one connection, which threads "
                "and processes would break. Leave --runner out."
            )
    parts = ("node_names", "from_nodes", "to_nodes", "from_inputs", "to_outputs", "tags")
    if given := [name for name in (*parts, "namespaces") if run_params.get(name)]:
        option = given[0].removesuffix("_names").replace("_", "-")
        raise LingokidsError(
            f"A pipeline runs whole or not at all, for its last steps record what its first ones "
            f"did ({option} was given): use --pipeline and leave that out."
        )
    if run_params.get("only_missing_outputs"):
        raise LingokidsError(
            "--only-missing-outputs cannot be used: the tables always exist, so every step would "
            "be skipped. Leave it out; a run does only what is due."
        )


def _publish_to_lakes(warehouse: Warehouse, run_id: str) -> None:
    if warehouse.offers:
        from lingokids.datasets.lake.publication import publish

        publish(warehouse, run_id)


def _log_outcome(warehouse: Warehouse) -> None:
    kept = [change for change in warehouse.changes if change.is_kept]
    inserted = sum(change.rows_inserted for change in kept)
    deleted = sum(change.rows_deleted for change in kept)
    if "due_checks" in warehouse.run_tables:
        return
    if not warehouse.has_changed:
        LOGGER.info("Nothing new: 0 objects read, 0 rows written.")
        return
    LOGGER.info(
        "Committed: %s rows inserted, %s deleted, in %s.",
        f"{inserted:,}",
        f"{deleted:,}",
        warehouse.database.name,
    )
