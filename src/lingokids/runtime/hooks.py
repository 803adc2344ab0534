"""The life of a run: check, begin, restrict inputs, commit or roll back, publish.

One run is one transaction. Whatever ends a run before its commit (an error, Ctrl-C, a kill)
leaves every table as it was; running again is the cure.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from lingokids.errors import LingokidsError
from lingokids.incremental.links import Step, readers_of, steps_of
from lingokids.runtime import preconditions, secrets
from lingokids.runtime.viz import folder_of, keep_row_counts
from lingokids.schema.parameters import Parameters, Window

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.checks.inspection import Inspection
    from lingokids.runtime.records import Run
    from lingokids.storage import BronzeDataset, TableDataset
    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)


class RunHooks:
    """The life of a run."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._read: Warehouse | None = None
        self._inspection: Inspection | None = None
        self._all_tables: dict[str, TableDataset] = {}
        self._steps: dict[str, Step] = {}
        self._window = Window()
        self._rebuild = False
        self._shown = Path()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep credentials out of the log, and refuse wrong parameters."""
        secrets.hide_in_logs(_credentials(context))
        self._shown = folder_of(context.project_path, context.env)
        Parameters.read(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check what was asked for, take the warehouse and begin the transaction."""
        from lingokids.checks.inspection import Inspection
        from lingokids.runtime.records import Run

        preconditions.refuse_unsafe_ways_to_run(run_params)
        preconditions.refuse_checks_beside_others(pipeline)
        parameters = Parameters.read(catalog.load("parameters"))
        rebuild = parameters.rebuild
        preconditions.refuse_what_would_be_ignored(pipeline, parameters)
        self._all_tables = _tables(catalog, _names_of_tables(catalog))
        tables = _tables(catalog, pipeline.datasets())
        # checks read tables through no entry, so this run is known by its one output
        is_checking = "due_checks" in pipeline.all_outputs()
        warehouse = _only_warehouse(self._all_tables if is_checking else tables)
        if warehouse is None:
            return
        is_reading = not is_checking and _writes_no_table(catalog, pipeline)
        preconditions.refuse_reporting_beside_others(pipeline, is_reading=is_reading)
        if is_reading:
            warehouse.begin_reading(
                gold_alone=all(table.layer == "gold" for table in tables.values())
            )
            self._read = warehouse
            return
        warehouse.begin()
        try:
            if rebuild == "raw":
                preconditions.refuse_to_lose_objects(catalog, pipeline)
            preconditions.refuse_to_restore_over_loads(catalog, pipeline, warehouse)
            self._steps = steps_of(pipelines["__default__"], self._all_tables)
            self._window = parameters.window
            self._rebuild = bool(rebuild)
            if rebuild:
                written = [tables[name] for name in tables.keys() & pipeline.all_outputs()]
                self._prepare_rebuild(parameters, written)
            looked_at = [*tables.values(), *(self._beside_bronze() if _bronze(tables) else ())]
            preconditions.refuse_tables_of_another_version(looked_at)
        except BaseException:  # Kedro calls no hook for an error in a hook
            warehouse.close()
            raise
        self._inspection = Inspection(warehouse, self._all_tables, parameters.checks)
        self._run = Run(
            warehouse=warehouse,
            run_id=run_params["run_id"],
            environment=run_params["env"] or "base",
            pipelines=", ".join(run_params["pipeline_names"] or ["__default__"]),
            parameters=run_params["runtime_params"] or {},
            is_checking=is_checking,
        )

    def _prepare_rebuild(self, parameters: Parameters, written: list[TableDataset]) -> None:
        """Empty what is taken in again from raw, or was made by another version.

        Other tables are rebuilt in place: what differs is written, so readers learn what changed.
        """
        bronze = _bronze(self._all_tables)
        if parameters.rebuild == "bronze":
            bronze[0].warehouse.prepare_rebuild(bronze, parameters.instants)
            written = [table for table in written if table not in bronze and table.is_outdated]
        else:
            beside = self._beside_bronze() if set(bronze) <= set(written) else []
            written = [
                *(table for table in beside if table.is_outdated),
                *(table for table in written if table in bronze or table.is_outdated),
            ]
        for table in written:
            table.stored.clear()
            readers = readers_of(table.table_name, self._steps.values())
            table.warehouse.forget_rules(readers)

    def _beside_bronze(self) -> list[TableDataset]:
        """The tables that no node makes: they are written with each of the bronze tables."""
        from lingokids import schema

        beside = (schema.INGESTED_OBJECTS, schema.QUARANTINED_LINES, schema.RESCUED_VALUES)
        return [self._all_tables[contract.table_name] for contract in beside]

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any], is_async: bool) -> dict[str, Any]:
        """Note that a step begins, and restrict its inputs to the units due."""
        preconditions.refuse_async(is_async=is_async)
        if self._run is None:
            return {}
        self._run.begin_step(node.name)
        step = self._steps.get(node.name)
        return self._restricted(step, node, inputs) if step else {}

    def _restricted(self, step: Step, node: Node, inputs: dict[str, Any]) -> dict[str, Any]:
        from lingokids.incremental.fingerprint import fingerprint

        read = {link.entry: self._all_tables[link.entry] for link in step.links}
        readable = {name: table.readable_schema for name, table in read.items()}
        try:
            rules = fingerprint(node, step, inputs, readable)
        except Exception as error:  # each kind of use has an error of its own in Ibis
            preconditions.refuse_to_read_silent_columns(node, read, error)
            raise
        return self._all_tables[node.outputs[0]].stored.find_due(
            step,
            rules,
            {name: table.stored for name, table in read.items()},
            self._window,
            rebuild=self._rebuild,
        )

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check what was changed, commit, say what was done, and publish it."""
        if self._read is not None:
            _log_files(self._read, catalog, pipeline)
            self._read.close()
            self._read = None
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
                warehouse.prune_marks(self._steps.values())
                run.record_success()
            if _makes_what_is_published(pipeline):
                _offer(pipelines["publication"], catalog)
            warehouse.commit()
            self._write_page(run, "The run was kept.")
            warehouse.publish(_names_of_gold(self._all_tables))
            keep_row_counts(self._shown, warehouse, self._all_tables)
            _log_outcome(warehouse, run)
            _publish_to_lakes(warehouse, run.run_id)
        finally:
            warehouse.close()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Roll back, and record why."""
        if self._read is not None:
            self._read.close()
            self._read = None
        if self._run is None:
            return
        run, self._run = self._run, None
        self._fail(run, error)

    def _inspect(self, run: Run, inspection: Inspection) -> None:
        """Check what the run changed or was asked to check; a broken rule ends it."""
        from lingokids.checks import evidence

        if run.is_checking:
            inspection.check_tables()
        elif run.warehouse.has_changed:
            inspection.check_changes()
        if not inspection.results:
            return
        inspection.log()
        if (error := inspection.broken) is not None:
            raise error
        evidence.save(run.warehouse, run.run_id, inspection.results)

    def _fail(self, run: Run, error: Exception) -> None:
        """Roll back, and record why, with what checks found, in a transaction of its own."""
        from lingokids.checks import evidence

        run.warehouse.close()
        if not run.is_checking:
            LOGGER.error("The run failed. Every table is as it was before.")
        try:
            run.warehouse.begin()
            run.record_failure(error)
            if self._inspection is not None and self._inspection.results:
                evidence.save(run.warehouse, run.run_id, self._inspection.results)
            run.warehouse.commit()
            outcome = "nothing was changed" if run.is_checking else "every table is as it was"
            self._write_page(run, f"A rule is broken, and {outcome}.")
        except Exception as second:  # the first error is the one to be seen
            LOGGER.warning("The failure could not be recorded in runs: %s", second)
        finally:
            run.warehouse.close()

    def _write_page(self, run: Run, outcome: str) -> None:
        from lingokids.checks import evidence

        if self._inspection is None or not self._inspection.results:
            return
        about = f"{self._inspection.about} {outcome} Pipelines: {run.pipelines}."
        evidence.write_page(run.warehouse, run.run_id, about, self._inspection.results)


def _tables(catalog: DataCatalog, names: set[str]) -> dict[str, TableDataset]:
    from lingokids.storage import TableDataset

    datasets = {name: catalog.get(name) for name in sorted(names) if name in catalog}
    return {name: data for name, data in datasets.items() if isinstance(data, TableDataset)}


def _names_of_tables(catalog: DataCatalog) -> set[str]:
    """The entries that are tables."""
    # read from the configuration: making every dataset would load plotly, for the charts
    entries = catalog.config_resolver.config.items()
    types = (".TableDataset", ".BronzeDataset")
    return {name for name, entry in entries if str(entry["type"]).endswith(types)}


def _names_of_gold(tables: dict[str, TableDataset]) -> list[str]:
    return [table.table_name for table in tables.values() if table.layer == "gold"]


def _bronze(tables: dict[str, TableDataset]) -> list[BronzeDataset]:
    from lingokids.storage import BronzeDataset

    return [table for table in tables.values() if isinstance(table, BronzeDataset)]


def _makes_what_is_published(pipeline: Pipeline) -> bool:
    """Whether a run makes every published table: a plain run does, and a replay."""
    made = pipelines["publication"].inputs() & pipelines["__default__"].all_outputs()
    return made <= pipeline.all_outputs()


def _offer(publication: Pipeline, catalog: DataCatalog) -> None:
    """Offer the tables to the lakes, as the publication pipeline does."""
    for node in publication.nodes:
        outputs = node.run({name: catalog.load(name) for name in node.inputs})
        for name, rows in outputs.items():
            catalog.save(name, rows)


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
    """Whether a run only reads tables."""
    from lingokids.storage import ParquetDataset, TableDataset

    outputs = (catalog.get(name) for name in pipeline.all_outputs() if name in catalog)
    return not any(isinstance(data, TableDataset | ParquetDataset) for data in outputs)


def _credentials(context: KedroContext) -> dict[str, Any]:
    try:
        return dict(context.config_loader["credentials"])
    except MissingConfigException:
        return {}


def _publish_to_lakes(warehouse: Warehouse, run_id: str) -> None:
    if warehouse.offers:
        from lingokids.storage.lake.publication import publish

        publish(warehouse, run_id)


def _log_files(read: Warehouse, catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Say where the outputs of a run lie that wrote no table."""
    # no dataset says publicly where it writes; one without the attribute is not named
    written = sorted(
        str(path)
        for name in pipeline.all_outputs()
        if (path := getattr(catalog.get(name), "_filepath", None)) is not None
    )
    for folder, paths in itertools.groupby(written, key=lambda path: str(Path(path).parent)):
        LOGGER.info("Written from %s: %s files in %s.", read.read_from.name, len([*paths]), folder)


def _log_outcome(warehouse: Warehouse, run: Run) -> None:
    if run.is_checking:
        return
    if not warehouse.has_changed:
        listed = "0 objects read, " if run.has_ingested else ""
        LOGGER.info("Nothing new: %s0 rows written.", listed)
        return
    LOGGER.info(
        "Committed: %s rows inserted, %s deleted, in %s.",
        f"{sum(change.rows_inserted for change in warehouse.changes):,}",
        f"{sum(change.rows_deleted for change in warehouse.changes):,}",
        warehouse.database.name,
    )
