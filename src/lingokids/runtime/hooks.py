"""The life of a run: check, begin, restrict inputs, commit or roll back, publish.

One run is one transaction. Whatever ends a run before its commit (an error, Ctrl-C, a kill)
leaves every table as it was; running again is the cure.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from lingokids.errors import LingokidsError, add_sentence
from lingokids.incremental.links import Step, readers_of, steps_of
from lingokids.runtime import (
    aftermath,
    configuration,
    erasing,
    preconditions,
    retention,
    secrets,
)
from lingokids.runtime.viz import folder_of, keep_row_counts
from lingokids.schema.parameters import Parameters, Retention, Window

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.checks.inspection import Inspection
    from lingokids.checks.results import Result
    from lingokids.runtime.records import Run
    from lingokids.storage import BronzeDataset, TableDataset
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.engine import Change

LOGGER = logging.getLogger(__name__)


class RunHooks(threading.local):
    """The life of a run. Each thread has its own: a server may run several at once."""

    def __init__(self) -> None:
        self._is_begun = False  # stays so in threads that a runner starts
        self._run: Run | None = None
        self._read: Warehouse | None = None
        self._inspection: Inspection | None = None
        self._all_tables: dict[str, TableDataset] = {}
        self._steps: dict[str, Step] = {}
        self._window = Window()
        self._rebuild = False
        self._retention: Retention | None = None
        self._time_zone = "UTC"

    @property
    def done(self) -> tuple[bool, list[tuple[str, Change]], list[Result]]:
        """Whether what the run has made stays, what it wrote, by node, and what checks found."""
        if self._run is None or self._inspection is None:
            return True, [], []
        return self._run.is_kept, self._run.changes, self._inspection.results

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep credentials out of the log, and refuse a wrong environment or parameters."""
        preconditions.refuse_unknown_environment(
            Path(context.config_loader.conf_source), context.config_loader.env
        )
        secrets.hide_in_logs(configuration.credentials_of(context.config_loader))
        Parameters.read(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check what was asked for, take the warehouse and begin the transaction."""
        from lingokids.checks.inspection import Inspection
        from lingokids.runtime.records import Run

        self._is_begun, self._run, self._read, self._inspection = True, None, None, None
        parameters = Parameters.read(catalog.load("parameters"))
        preconditions.refuse_request(run_params, pipeline, parameters)
        self._all_tables = tables_of(catalog, _names_of_tables(catalog))
        # checks read tables through no entry, so this run is known by its one output
        is_checking = "due_checks" in pipeline.all_outputs()
        tables = self._all_tables if is_checking else tables_of(catalog, pipeline.datasets())
        warehouse = _only_warehouse(tables)
        if warehouse is None:
            return
        aftermath.note(warehouse, parameters.checks, run_params["env"])
        if is_checking or _writes_tables(catalog, pipeline):
            preconditions.refuse_reporting_beside_others(pipeline)
            warehouse.begin()
            self._prepare(warehouse, run_params, pipeline, catalog, parameters)
            self._inspection = Inspection(warehouse, self._all_tables, parameters.checks)
            self._run = Run.begin(warehouse, run_params, is_checking=is_checking)
            aftermath.begin_run(self._run)
            if not is_checking:
                self._run.begin_step("forget_lines")
                sources = preconditions.sources_of(catalog, pipeline)
                now, bronze = self._run.started_at, _bronze(self._all_tables)
                retention.forget_lines(parameters.retention, now, sources, bronze)
        else:
            preconditions.refuse_another_copy(warehouse.published, run_params["env"])
            if "params:time_zone" in pipeline.inputs():
                preconditions.refuse_other_days(warehouse.published, parameters.time_zone)
            gold_alone = all(table.layer == "gold" for table in tables.values())
            warehouse.begin_reading(gold_alone=gold_alone)
            self._read = warehouse

    def _prepare(
        self,
        warehouse: Warehouse,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: DataCatalog,
        parameters: Parameters,
    ) -> None:
        """Refuse what the tables do not allow, and empty what a rebuild fills again."""
        rebuild = parameters.rebuild
        taken_again = pipeline.inputs() if rebuild == "raw" else set()
        preconditions.refuse_another_origin(warehouse, run_params["env"], catalog, taken_again)
        if rebuild == "raw":
            preconditions.refuse_to_lose_objects(catalog, pipeline)
        preconditions.refuse_to_restore_over_loads(catalog, pipeline, warehouse)
        self._steps = steps_of(pipelines["__default__"], self._all_tables)
        self._window, self._rebuild = parameters.window, bool(rebuild)
        self._retention, self._time_zone = parameters.retention, parameters.time_zone
        tables = tables_of(catalog, pipeline.datasets())
        if rebuild:
            written = [tables[name] for name in tables.keys() & pipeline.all_outputs()]
            self._prepare_rebuild(parameters, written)
        looked_at = [*tables.values(), *(self._beside_bronze() if _bronze(tables) else ())]
        preconditions.refuse_tables_of_another_version(looked_at)
        bronze = _bronze(self._all_tables) if makes_what_is_published(pipeline) else []
        erasing.begin(warehouse, preconditions.sources_of(catalog, pipeline), bronze)

    def _prepare_rebuild(self, parameters: Parameters, written: list[TableDataset]) -> None:
        """Empty what is taken in again from raw, or was made by another version.

        Other tables are rebuilt in place: what differs is written, so readers learn what changed.
        """
        bronze = _bronze(self._all_tables)
        whole = [each.table_name for each in written if not (each.unit or each in bronze)]
        bronze[0].warehouse.forget_rules(whole)
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

        return [self._all_tables[contract.table_name] for contract in schema.BESIDE_BRONZE]

    @hook_impl
    def before_dataset_loaded(self) -> None:
        """Refuse threads that load, of which Kedro tells before no run."""
        preconditions.refuse_threads(not self._is_begun)

    @hook_impl
    def before_node_run(self, node: Node, inputs: dict[str, Any], is_async: bool) -> dict[str, Any]:
        """Note that a step begins, and restrict its inputs to the units due."""
        preconditions.refuse_threads(is_async or not self._is_begun)
        if self._run is None:
            return {}
        self._run.begin_step(node.name)
        return self.restricted(node, inputs)

    def restricted(self, node: Node, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs of an incremental table, of the units due."""
        from lingokids.incremental.fingerprint import fingerprint

        if (step := self._steps.get(node.name)) is None:
            return {}
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
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check what was changed, commit, say what was done, and publish it."""
        if self._read is not None:
            _hand_out_files(self._read, catalog, pipeline)
        if self._run is None or self._inspection is None:
            return
        run, warehouse = self._run, self._run.warehouse
        try:
            self._complete(run, self._inspection, pipeline, catalog)
        except Exception as error:  # Kedro calls no hook for an error in a hook
            self._fail(run, error)
            raise
        self._write_page(run, "The run was kept.")
        is_whole = makes_what_is_published(pipeline)
        warehouse.publish(_names_of_gold(self._all_tables), self._time_zone, is_whole=is_whole)
        folder = folder_of(run_params["project_path"], run_params["env"])
        keep_row_counts(folder, warehouse, self._all_tables)
        run.log_outcome()
        _publish_to_lakes(warehouse, anew=self._rebuild)
        erasing.end(warehouse)

    def _complete(
        self, run: Run, inspection: Inspection, pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check what the run did, record it and commit."""
        if not run.is_checking and self._retention is not None:
            run.begin_step("expire")
            bronze, reports = _bronze(self._all_tables), run.warehouse.reports
            retention.expire(self._retention, run.started_at, bronze, reports)
        run.end_step()
        self._inspect(run, inspection)
        if run.warehouse.has_changed:
            run.warehouse.prune_marks(self._steps.values())
        run.record_success()
        erasing.complete(run.warehouse)
        if makes_what_is_published(pipeline):
            _offer(pipelines["publication"], catalog)
        run.warehouse.commit()
        run.is_kept = True

    @hook_impl(tryfirst=True)  # of a plugin that fails there, Kedro tells no further hook
    def on_pipeline_error(self, error: Exception) -> None:
        """Roll back, and record why."""
        if self._run is not None:
            self._fail(self._run, error)

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
        run.warehouse.erasing.leaves_no_trace = False  # nothing was taken out
        add_sentence(error, run.warehouse.sentence_of)
        if not run.is_checking:
            LOGGER.error("The run failed%s. Every table is as it was before.", run.where)
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

    def _write_page(self, run: Run, outcome: str) -> None:
        from lingokids.checks import evidence
        from lingokids.runtime.faults import where_of

        if self._inspection is not None and self._inspection.results:
            about = f"{self._inspection.about} {outcome} Pipelines: {run.pipelines}."
            evidence.write_page(run.warehouse, run.run_id, about, self._inspection.results)
        elif not run.is_recorded:
            return
        evidence.write_index(run.warehouse, run.environment, where_of)


def tables_of(catalog: DataCatalog, names: set[str]) -> dict[str, TableDataset]:
    """The tables of the warehouse among entries of the catalog."""
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


def makes_what_is_published(pipeline: Pipeline) -> bool:
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


def _writes_tables(catalog: DataCatalog, pipeline: Pipeline) -> bool:
    """Whether a run does not only read tables."""
    from lingokids.storage import DeltaDataset, TableDataset

    outputs = (catalog.get(name) for name in pipeline.all_outputs() if name in catalog)
    return any(isinstance(data, TableDataset | DeltaDataset) for data in outputs)


def _publish_to_lakes(warehouse: Warehouse, *, anew: bool) -> None:
    if warehouse.offers:
        from lingokids.storage.lake.publication import publish

        publish(warehouse, anew=anew)


def _hand_out_files(read: Warehouse, catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Of a run that wrote no table: let everyone read what is shared, and say where files lie."""
    # no dataset says publicly where it writes; one without the attribute is not named
    files = {name: getattr(catalog.get(name), "_filepath", None) for name in pipeline.all_outputs()}
    written = sorted(str(path) for path in files.values() if path is not None)
    for name in pipelines["reporting"].all_outputs() & files.keys():
        if (path := files[name]) is not None:
            with contextlib.suppress(OSError):  # a folder of someone else
                Path(path).chmod(0o644)
                Path(path).parent.chmod(0o755)
    for folder, paths in itertools.groupby(written, key=lambda path: str(Path(path).parent)):
        LOGGER.info("Written from %s: %s files in %s.", read.read_from.name, len([*paths]), folder)
