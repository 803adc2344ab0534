"""What must hold before a run begins; else it is refused and nothing changes.

What one parameter may be: ``schema.parameters``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError, did_you_mean, in_one_line
from lingokids.runtime.environment import PROJECT, name_of
from lingokids.schema.days import have_same_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.schema.parameters import Parameters
    from lingokids.storage import ObjectsDataset
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.tables import TableDataset


ASYNC = (
    "--async cannot be used, nor another way to have threads load and save: a run is one "
    "transaction on one connection, which they would break. Leave it out."
)


def sources_of(catalog: DataCatalog, pipeline: Pipeline) -> list[ObjectsDataset]:
    """The raw objects that a run takes in."""
    from lingokids.storage import ObjectsDataset

    found = (catalog.get(name) for name in sorted(pipeline.inputs()))
    return [source for source in found if isinstance(source, ObjectsDataset)]


def refuse_to_lose_objects(catalog: DataCatalog, pipeline: Pipeline) -> None:
    """Refuse rebuild=raw where raw objects expired or were overwritten since."""
    for source in sources_of(catalog, pipeline):
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
    from lingokids.storage import DeltaDataset

    if not any(isinstance(catalog.get(name), DeltaDataset) for name in pipeline.inputs()):
        return
    if (last_load := warehouse.last_load()) is not None:
        cure = (
            "move the file away"
            if warehouse.is_one_file
            else "name an empty database as warehouse.catalog in globals.yml"
        )
        raise LingokidsError(
            f"{warehouse.database.name} holds loads (up to number {last_load:,}), and restore "
            f"fills an empty warehouse only: {cure} and run again."
        )


def refuse_tables_of_another_version(tables: Iterable[TableDataset]) -> None:
    """Refuse tables stored with other columns: only a rebuild alters them."""
    for table in tables:
        if not (faults := table.stored.faults):
            continue
        can_be_mended = all(fault.startswith(("lacks ", "keeps ")) for fault in faults)
        is_mended = table.table_name.startswith("bronze_") and can_be_mended
        layer = "bronze" if is_mended or table.layer != "bronze" else "raw"
        is_of_persons = any(fault.startswith("keeps ") for fault in faults)
        raise LingokidsError(
            f"{table.table_name} was made by another version or with other settings: it "
            f"{', '.join(faults)}. Nothing was changed; uv run kedro run --params rebuild={layer} "
            "rebuilds it"
            + (", with what was delivered for it before." if is_mended else ".")
            + (
                " Ids that are not kept now are then gone, and those that were not come back by "
                "rebuild=raw alone: set what was set before, if it was right."
                if is_of_persons
                else ""
            )
        )


def refuse_request(run_params: dict[str, Any], pipeline: Pipeline, parameters: Parameters) -> None:
    """Refuse what no run may be asked for, whatever the tables."""
    _refuse_unsafe_ways_to_run(run_params)
    _refuse_checks_beside_others(pipeline)
    _refuse_what_would_be_ignored(pipeline, parameters)


def _refuse_unsafe_ways_to_run(run_params: dict[str, Any]) -> None:
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


def refuse_threads(are_used: bool) -> None:
    """Refuse threads that load and save; Kedro tells of them only when a node runs."""
    if are_used:
        raise LingokidsError(ASYNC)


def refuse_unknown_environment(conf: Path, env: str | None) -> None:
    """Refuse an ``--env`` that has no folder."""
    if env is None or not conf.is_dir() or (conf / env).is_dir():
        return
    known = sorted(path.name for path in conf.iterdir() if path.is_dir())
    raise LingokidsError(
        f"There is no environment {in_one_line(env)}.{did_you_mean(env, known)} There are: "
        f"{', '.join(known)}."
    )


_PLACES = """warehouse:
  database: "${{project:data/lingokids-{name}.duckdb}}"
  published: "${{project:data/lingokids-{name}-gold.duckdb}}"
  reports: "${{project:data/08_reporting_{name}}}"
lake:
  bronze: "${{project:data/02_bronze_{name}}}"
  gold: "${{project:data/03_gold_{name}}}"
shared: "${{project:data/09_shared_{name}}}"
"""


def refuse_another_origin(
    warehouse: Warehouse, env: str | None, catalog: DataCatalog, taken_again: set[str]
) -> None:
    """Refuse a warehouse or copy of another environment or other raw places; note a new one's.

    Args:
        warehouse: The warehouse, in a run.
        env: The environment of the run.
        catalog: Its entries name the raw places.
        taken_again: The entries whose objects are all taken in again, from wherever they are now.
    """
    from lingokids.storage.duckdb.published_copy import origin_of_copy

    origin = {"environment": name_of(env)} | _raw_places(catalog, warehouse.database.parent)
    copied = origin_of_copy(warehouse.published)
    for thing, known in (warehouse.name, warehouse.origin), (warehouse.published.name, copied):
        _refuse_what_differs(thing, known, origin, taken_again)
    if warehouse.origin | origin != warehouse.origin:  # else a run with nothing new would write
        warehouse.origin = warehouse.origin | origin


def refuse_another_copy(published: Path, env: str | None) -> None:
    """Refuse to read a published copy of another environment."""
    from lingokids.storage.duckdb.published_copy import origin_of_copy

    origin = {"environment": name_of(env)}
    _refuse_what_differs(published.name, origin_of_copy(published), origin, set())


def refuse_other_days(published: Path, time_zone: str) -> None:
    """Refuse to report on days of a published copy as those of a time zone that they are not of."""
    from lingokids.storage.duckdb.published_copy import SEVERAL_ZONES, origin_of_copy, zone_of

    origin = origin_of_copy(published)
    noted = zone_of(origin)
    if origin and (noted == SEVERAL_ZONES or not have_same_days(noted, time_zone)):
        raise LingokidsError(
            f"{published.name} has days in {noted}, and time_zone is {time_zone}: a plain uv run "
            "kedro run counts all days in the time_zone of conf/base/parameters.yml."
        )


def _refuse_what_differs(
    thing: str, known: dict[str, str], origin: dict[str, str], taken_again: set[str]
) -> None:
    for name in sorted((known.keys() & origin.keys()) - taken_again):
        if known[name] != origin[name]:
            raise _is_of_another(thing, name, known[name], origin)


def _raw_places(catalog: DataCatalog, near: Path) -> dict[str, str]:
    """The places of raw objects, by entry; a project that is moved has the same ones."""
    entries = catalog.config_resolver.config.items()
    return {
        name: _place(entry["path"], near)
        for name, entry in entries
        if str(entry["type"]).endswith(".ObjectsDataset")
    }


def _place(path: str, near: Path) -> str:
    """A place, as it is from the warehouse's folder or the project, if it is below one of them."""
    if "://" in path:
        return path.rstrip("/")
    place = Path(path).absolute()
    for prefix, folder in (("", near.absolute()), ("project:", PROJECT)):
        if place.is_relative_to(folder):
            return f"{prefix}{place.relative_to(folder)}"
    return str(place)


def _is_of_another(thing: str, name: str, known: str, origin: dict[str, str]) -> LingokidsError:
    environment = origin["environment"]
    if name == "environment":
        differs = f"environment {known}, and this run is of {environment}"
        cure = "Give it places of its own"
        places = environment
    else:
        differs = f"{name} at {known}, and this run has it at {origin[name]}"
        cure = (
            "If the same objects are there now, uv run kedro run --params rebuild=raw takes them "
            "in again; else give them places of their own"
        )
        places = "other"
    folder = "local" if environment == "base" else environment
    return LingokidsError(
        f"{thing} is of {differs}. Nothing was changed. {cure}, in conf/{folder}/globals.yml:",
        "\n\n" + _PLACES.format(name=places),
    )


def _refuse_what_would_be_ignored(pipeline: Pipeline, parameters: Parameters) -> None:
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


def refuse_reporting_beside_others(pipeline: Pipeline) -> None:
    """Refuse reporting in a run that writes: it would draw rows that may be rolled back."""
    if "dashboard" in pipeline.all_outputs():
        raise LingokidsError(
            "The pipeline reporting runs alone, on what is published: run the others first, then "
            "uv run kedro run --pipeline reporting."
        )


def _refuse_checks_beside_others(pipeline: Pipeline) -> None:
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
