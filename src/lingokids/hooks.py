"""What every run does, whatever the pipeline: check, begin, log, commit or roll back, publish.

Here: the order of these. Elsewhere: the transaction itself (``datasets.warehouse``), what is
recorded (``runs``), which parameters mean what (``windows``).

One run is one transaction. Whatever ends a run before its commit (an error, Ctrl-C, a kill)
leaves every table as it was; running again is the cure.
"""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from lingokids import secrets
from lingokids.errors import LingokidsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.datasets import TableDataset
    from lingokids.datasets.warehouse import Warehouse
    from lingokids.runs import Run

LOGGER = logging.getLogger(__name__)


class RunHooks:
    """The life of a run."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._read: Warehouse | None = None
        self._statistics: str | None = None
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
        from lingokids import windows
        from lingokids.runs import Run

        _refuse_unsafe_ways_to_run(run_params)
        rebuild = windows.check_parameters(catalog.load("parameters"))
        self._all_tables = _tables(catalog, _names_of_tables(catalog))
        tables = _tables(catalog, pipeline.datasets())
        warehouse = _only_warehouse(tables)
        if warehouse is None:
            return
        if _writes_no_table(catalog, pipeline):
            self._statistics = _read_if_there(self._statistics_file)
            warehouse.begin_reading()
            self._read = warehouse
            return
        warehouse.begin()
        try:
            if rebuild == "raw":
                _refuse_part_of_a_raw_rebuild(pipeline)
                _refuse_to_lose_objects(catalog, pipeline)
            _refuse_to_restore_over_loads(catalog, pipeline, warehouse)
            if rebuild == "raw":
                _empty(rebuild, self._all_tables.values())
            elif rebuild:
                outputs = pipeline.all_outputs()
                _empty(rebuild, [table for name, table in tables.items() if name in outputs])
        except BaseException:  # Kedro calls no hook for an error in a hook
            warehouse.close()
            raise
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
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Commit, say what was done, and publish it."""
        if self._read is not None:
            _log_files(self._read, catalog, pipeline)
            self._end_reading(self._read)
        if self._run is None:
            return
        run, self._run = self._run, None
        warehouse = run.warehouse
        try:
            run.end_step()
            if warehouse.has_changed:
                run.record_success()
            warehouse.commit()
            warehouse.publish()
            self._write_statistics()
            _log_outcome(warehouse)
            _publish_to_lakes(warehouse, run.run_id)
        finally:
            warehouse.close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Roll back, and record why."""
        if self._read is not None:
            self._end_reading(self._read)
        if self._run is None:
            return
        run, self._run = self._run, None
        run.warehouse.close()
        LOGGER.error("The run failed. Every table is as it was before.")
        try:
            run.record_failure(error)
        except Exception as second:  # the first error is the one to be seen
            LOGGER.warning("The failure could not be recorded in runs: %s", second)
        finally:
            run.warehouse.close()

    def _write_statistics(self) -> None:
        """Give kedro-viz the row counts, which it can only count itself for pandas.

        After every run: kedro-viz's own hook has just emptied the file.
        """
        statistics = {
            name: {"columns": len(table.columns)}
            # counting a view is working it out
            | ({} if table.mode == "view" else {"rows": table.count_in_run()})
            for name, table in self._all_tables.items()
            if table.mode != "run" and table.table_name in table.warehouse.tables
        }
        self._keep_statistics(json.dumps(statistics))

    def _keep_statistics(self, text: str) -> None:
        try:
            self._statistics_file.parent.mkdir(exist_ok=True)
            self._statistics_file.write_text(text)
        except OSError as error:  # a picture's numbers are no reason to fail a run
            LOGGER.warning("kedro-viz will show no row counts: %s", error)

    @property
    def _statistics_file(self) -> Path:
        return self._project_path / ".viz" / "stats.json"

    def _end_reading(self, read: Warehouse) -> None:
        """Let the copy go, and give kedro-viz its row counts back: no table has changed."""
        self._read = None
        read.close()
        if self._statistics is not None:
            self._keep_statistics(self._statistics)


def _tables(catalog: DataCatalog, names: set[str]) -> dict[str, TableDataset]:
    from lingokids.datasets import TableDataset

    datasets = {name: catalog.get(name) for name in sorted(names) if name in catalog}
    return {name: data for name, data in datasets.items() if isinstance(data, TableDataset)}


def _names_of_tables(catalog: DataCatalog) -> set[str]:
    """The tables among all entries, without making the others: charts would load plotly."""
    entries = catalog.config_resolver.config.items()
    return {name for name, entry in entries if str(entry["type"]).endswith(".TableDataset")}


def _only_warehouse(tables: dict[str, TableDataset]) -> Warehouse | None:
    warehouses = {id(table.warehouse): table.warehouse for table in tables.values()}
    if len(warehouses) > 1:
        files = sorted(str(warehouse.database) for warehouse in warehouses.values())
        raise LingokidsError(
            f"The tables of one run lie in several files ({', '.join(files)}): one transaction "
            "cannot hold them. Give them one warehouse in globals.yml."
        )
    return next(iter(warehouses.values()), None)


def _writes_no_table(catalog: DataCatalog, pipeline: Pipeline) -> bool:
    """Whether a run only reads gold, so that the published copy will do."""
    from lingokids.datasets import ParquetDataset, TableDataset

    outputs = (catalog.get(name) for name in pipeline.all_outputs() if name in catalog)
    return not any(isinstance(data, TableDataset | ParquetDataset) for data in outputs)


def _read_if_there(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _empty(rebuild: str, outputs: Iterable[TableDataset]) -> None:
    """Empty the tables that a rebuild makes anew; bronze only if it is made anew from raw.

    From raw everything is: what replays noted of the loads before means nothing to the new ones.
    """
    for table in outputs:
        if table.mode in {"run", "read"} or table.survives_rebuild:
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


def _log_files(read: Warehouse, catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Say where the outputs of a run lie that wrote no table."""
    written = sorted(
        str(path)
        for name in pipeline.all_outputs()
        if (path := getattr(catalog.get(name), "_filepath", None)) is not None
    )
    for folder, paths in itertools.groupby(written, key=lambda path: str(Path(path).parent)):
        LOGGER.info("Written from %s: %s files in %s.", read.published.name, len([*paths]), folder)


def _log_outcome(warehouse: Warehouse) -> None:
    kept = [change for change in warehouse.changes if change.is_kept]
    inserted = sum(change.rows_inserted for change in kept)
    deleted = sum(change.rows_deleted for change in kept)
    if not warehouse.has_changed:
        listed = "0 objects read, " if "new_objects" in warehouse.run_tables else ""
        LOGGER.info("Nothing new: %s0 rows written.", listed)
        return
    LOGGER.info(
        "Committed: %s rows inserted, %s deleted, in %s.",
        f"{inserted:,}",
        f"{deleted:,}",
        warehouse.database.name,
    )
