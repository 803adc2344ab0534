"""What must hold before a run begins; else it is refused and nothing changes.

What one parameter may be: ``schema.parameters``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.schema.parameters import Parameters
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.tables import TableDataset


ASYNC = (
    "--async cannot be used: a run is one transaction on one connection, which threads would "
    "break. Leave it out."
)


def refuse_to_lose_objects(catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Refuse rebuild=raw where raw objects expired or were overwritten since."""
    from lingokids.storage import ObjectsDataset

    for name in sorted(pipeline.inputs()):
        source = catalog.get(name)
        if not isinstance(source, ObjectsDataset):
            continue
        if lost := source.lost():
            raise LingokidsError(
                f"rebuild=raw would lose {len(lost):,} objects of {source.dataset} that bronze has "
                f"and {source.path} has no longer, such as {lost[0]}: use rebuild=bronze. To "
                "forget them, delete the warehouse file and run."
            )


def refuse_to_restore_over_loads(
    catalog: DataCatalog, pipeline: Pipeline, warehouse: Warehouse
) -> None:
    """Refuse a restore into a warehouse with loads.

    Its loads would have the numbers of those restored, and lines of one object would be doubled.
    """
    from lingokids.storage import ParquetDataset

    if not any(isinstance(catalog.get(name), ParquetDataset) for name in pipeline.inputs()):
        return
    if (last_load := warehouse.last_load()) is not None:
        raise LingokidsError(
            f"{warehouse.database.name} holds loads (up to number {last_load:,}), and restore "
            "fills an empty warehouse only: move the file away and run again."
        )


def refuse_tables_of_another_version(tables: Iterable[TableDataset]) -> None:
    """Refuse tables stored with other columns: only a rebuild alters them."""
    for table in tables:
        if not table.is_outdated:
            continue
        stored, promised = table.warehouse.columns[table.table_name], table.stored.stored_columns
        lacking, spare = sorted(promised - stored), sorted(stored - promised)
        faults = [f"lacks {name}" for name in lacking]
        faults += [f"has an unexpected column {name}" for name in spare]
        can_be_filled = table.table_name.startswith("bronze_") and not spare
        layer = "bronze" if can_be_filled or table.layer != "bronze" else "raw"
        raise LingokidsError(
            f"{table.table_name} was made by another version: it {', '.join(faults)}. Nothing was "
            f"changed; uv run kedro run --params rebuild={layer} rebuilds it"
            + (", with what was delivered for it before." if can_be_filled else ".")
        )


def refuse_unsafe_ways_to_run(run_params: dict[str, Any]) -> None:
    """Runners and parts of pipelines that would break the one transaction, or lose rows."""
    runner = str(run_params["runner"])
    for name in ("ThreadRunner", "ParallelRunner"):
        if name in runner:
            raise LingokidsError(
                f"{name} cannot be used: a run is one transaction on one connection, which threads "
                "and processes would break. Leave --runner out."
            )
    if run_params.get("only_missing_outputs"):
        raise LingokidsError(
            "--only-missing-outputs cannot be used: the tables always exist, so every step would "
            "be skipped. Leave it out; a run does only what is due."
        )


def refuse_async(*, is_async: bool) -> None:
    """Refuse threads that load and save; Kedro tells of them only when a node runs."""
    if is_async:
        raise LingokidsError(ASYNC)


def refuse_what_would_be_ignored(pipeline: Pipeline, parameters: Parameters) -> None:
    """Refuse parameters of the pipeline checks to a run that builds, and vice versa."""
    if "due_checks" in pipeline.all_outputs():
        if parameters.rebuild:
            raise LingokidsError(
                f"rebuild={parameters.rebuild} is given, and the pipeline checks builds nothing: "
                "leave one of them out."
            )
        return
    given = {"checks.table": parameters.checks.table, "checks.rule": parameters.checks.rule}
    for name, value in given.items():
        if value is not None:
            raise LingokidsError(
                f"{name}={value} is for checks on demand; a run that builds tables checks all "
                "that it changed: add --pipeline checks, or leave it out."
            )


def refuse_reporting_beside_others(pipeline: Pipeline, *, is_reading: bool) -> None:
    """Refuse reporting beside others: it would draw rows that may be rolled back."""
    if "dashboard" in pipeline.all_outputs() and not is_reading:
        raise LingokidsError(
            "The pipeline reporting runs alone, on what is published: run the others first, then "
            "uv run kedro run --pipeline reporting."
        )


def refuse_checks_beside_others(pipeline: Pipeline) -> None:
    """Refuse the pipeline checks beside others: a run checks what it changed anyway."""
    outputs = pipeline.all_outputs()
    if "due_checks" in outputs and len(outputs) > 1:
        raise LingokidsError(
            "The pipeline checks runs alone: run the others first, then uv run kedro run "
            "--pipeline checks."
        )


def refuse_to_read_silent_columns(
    node: Node, read: Mapping[str, TableDataset], error: Exception
) -> None:
    """Refuse a node that reads a column whose changes are no changes to readers."""
    for entry, table in read.items():
        if named := sorted(name for name in table.silent if name in str(error)):
            raise LingokidsError(
                f"{node.name} reads {', '.join(named)} of {entry}, which its catalog entry calls "
                "silent: no change of it alone makes a reader due. Take it out of silent there."
            ) from error
