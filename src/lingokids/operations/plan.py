"""``kedro plan``: what the next run would do, found out by a rehearsal that is rolled back.

The rehearsal asks the run's own code: which objects it would take in, which units are due, what
its nodes make of them. Lines are not read, so of tables made from new objects rows and days are
estimates from past runs; all else is what the run would do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.operations.project import list_as_a_run, silence
from lingokids.operations.words import columns, counted, size_of
from lingokids.runtime import retention
from lingokids.runtime.hooks import RunHooks, tables_of
from lingokids.schema import BESIDE_BRONZE
from lingokids.schema.parameters import Parameters
from lingokids.storage import BronzeDataset, ObjectsDataset
from lingokids.storage.duckdb.history import Estimates, history_of
from lingokids.storage.duckdb.opening import rehearsal
from lingokids.storage.duckdb.units import why_due

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.raw.stores import RawObject


@dataclass
class Taken:
    """What the run would take in of one dataset.

    Attributes:
        objects: Exact, and so is ``size_bytes``.
        usable_lines: An estimate; None: no past run lets expect anything.
    """

    dataset: str
    objects: int
    size_bytes: int
    usable_lines: int | None
    reason: str


@dataclass
class Made:
    """What the run would do to one table.

    Attributes:
        is_exact: Whether rows and days are; else estimates, and None is not known.
        days: How many days it would rebuild, if the table is kept by days.
    """

    table_name: str
    reason: str
    is_exact: bool
    rows_deleted: int | None = None
    rows_inserted: int | None = None
    days: int | None = None
    first_day: date | None = None
    last_day: date | None = None


@dataclass
class Plan:
    """What the next run would do.

    Attributes:
        load_id: The number of the load that it would take in; None: it would take in nothing.
        seconds: For how long it would run, beside its start: an estimate.
        past_runs: From how many runs the estimates are.
        is_whole: Whether it was worked out in the time for which a run may wait; else more is due.
    """

    pipeline: str
    load_id: int | None = None
    objects: list[Taken] = field(default_factory=list)
    tables: list[Made] = field(default_factory=list)
    seconds: float | None = None
    past_runs: int = 0
    is_whole: bool = True


def plan_of(
    project_path: Path, env: str | None, name: str, runtime_params: dict[str, Any] | None = None
) -> Plan:
    """What the next run of a pipeline would do.

    Raises:
        LingokidsError: It would be refused, or would fail.
    """
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession

    if name not in pipelines:
        raise LingokidsError(f"There is no pipeline {name}. There are: {', '.join(pipelines)}.")
    with KedroSession.create(project_path, env=env, runtime_params=runtime_params) as session:
        context = session.load_context()  # type: ignore[attr-defined]
        asked = as_asked(context.env, name, runtime_params)
        return rehearse(pipelines[name], context.catalog, asked)


def as_asked(env: str | None, name: str, runtime_params: dict[str, Any] | None) -> dict[str, Any]:
    """A run as Kedro tells hooks of it."""
    return {
        "run_id": "",
        "env": env,
        "pipeline_names": [name],
        "runtime_params": runtime_params,
        "runner": "SequentialRunner",
    }


def may_begin(project_path: Path, env: str | None) -> None:
    """Begin a run, and roll it back.

    Raises:
        LingokidsError: It is refused.
    """
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path, env=env) as session:
        context, pipeline = session.load_context(), pipelines["__default__"]  # type: ignore[attr-defined]
        asked = as_asked(context.env, "__default__", None)
        with silence(), rehearsal(_warehouse(pipeline, context.catalog)):
            RunHooks().before_pipeline_run(asked, pipeline, context.catalog)


def rehearse(pipeline: Pipeline, catalog: DataCatalog, asked: dict[str, Any]) -> Plan:
    """Go through a run up to its commit, without reading lines.

    Args:
        pipeline: What would be run.
        catalog: With the parameters of the run.
        asked: See ``as_asked``.
    """
    _refuse_others(pipeline)
    parameters = Parameters.read(catalog.load("parameters"))
    sources = {
        node.outputs[0]: catalog.load(node.inputs[0])
        for node in pipeline.nodes
        if isinstance(catalog.get(node.inputs[0]), ObjectsDataset)
    }
    now = datetime.now(UTC).replace(tzinfo=None)
    list_as_a_run(sources.values(), parameters, now)
    # listed before the file is held
    listed = {entry: each.listing(parameters.listing.since) for entry, each in sources.items()}
    tables = tables_of(catalog, {*catalog.keys()})
    warehouse = _warehouse(pipeline, catalog)
    with history_of(warehouse.database, warehouse.published) as history:
        estimates = history.estimates()
        known = {entry: history.known(each.dataset) for entry, each in sources.items()}
    plan = Plan(asked["pipeline_names"][0], past_runs=estimates.runs)
    hooks, rehearsed = RunHooks(), _Rehearsal(warehouse, catalog, parameters)
    due: dict[str, list[RawObject]] = {}
    with silence(), rehearsal(warehouse) as is_over:
        try:
            hooks.before_pipeline_run(asked, pipeline, catalog)
            found = {entry: each.due(listed[entry]) for entry, each in sources.items()}
            due = {entry: objects for entry, objects in found.items() if objects}
            rehearsed.news.update((entry, {sources[entry].dataset}) for entry in due)
            for node in pipeline.nodes:
                if node.outputs[0] not in sources:
                    rehearsed.make(node, hooks)
            if not due:
                bronze = [table for table in tables.values() if isinstance(table, BronzeDataset)]
                retention.expire(parameters.retention, now, bronze, reports=None)
            plan.tables, plan.seconds = rehearsed.tables(), rehearsed.seconds
        except Exception:
            plan.is_whole = not is_over.is_set()
            if plan.is_whole:
                raise
    plan.objects = [
        _taken(sources[entry].dataset, objects, known[entry], estimates)
        for entry, objects in due.items()
    ]
    plan.load_id = next((objects[0].load_id for objects in due.values()), None)
    size_bytes = sum(each.size_bytes for each in plan.objects)
    plan.tables += rehearsed.expected(size_bytes, estimates)
    if due:
        plan.seconds = estimates.seconds(size_bytes)
    return plan


class _Rehearsal:
    """A rehearsal in hand.

    Attributes:
        news: By entry that is made from objects that are not read yet, their datasets.
    """

    def __init__(self, warehouse: Warehouse, catalog: DataCatalog, parameters: Parameters) -> None:
        self._warehouse, self._catalog, self._parameters = warehouse, catalog, parameters
        self._reasons: dict[str, str] = {}
        self.news: dict[str, set[str]] = {}

    def make(self, node: Node, hooks: RunHooks) -> None:
        """Run a node, unless its inputs are not known."""
        (entry, *_) = node.outputs
        if news := set().union(*(self.news.get(name, set()) for name in node.inputs)):
            self.news[entry] = news
            return
        inputs = {name: self._catalog.load(name) for name in node.inputs}
        inputs |= hooks.restricted(node, inputs)
        if (due := self._warehouse.due.get(entry)) and not due.is_nothing:
            self._reasons[entry] = why_due(due, self._warehouse, self._parameters.window)
        for name, rows in node.run(inputs).items():
            self._catalog.save(name, rows)

    @property
    def _filed(self) -> set[str]:
        """The tables that are written with lines that are not read yet."""
        return {table.table_name for table in BESIDE_BRONZE} if self.news else set()

    @property
    def seconds(self) -> float:
        """For how long tables were written."""
        return sum(change.seconds for change in self._warehouse.changes)

    def tables(self) -> list[Made]:
        """What was done to each table that was made as a whole."""
        made: dict[str, Made] = {}
        days = defaultdict(list)
        for unit in self._warehouse.units_written():
            days[unit["table_name"]].append(unit.get("date"))
        for name, deleted, inserted, *_ in self._warehouse.changes:
            if name in self.news or name in self._filed or not (deleted or inserted):
                continue
            reason = self._reasons.get(name, "what it is made from changed")
            table = made.setdefault(
                name, Made(name, reason, is_exact=True, rows_deleted=0, rows_inserted=0)
            )
            table.rows_deleted = (table.rows_deleted or 0) + deleted
            table.rows_inserted = (table.rows_inserted or 0) + inserted
        for name, table in made.items():
            if rebuilt := [day for day in days[name] if day]:
                table.days, table.first_day, table.last_day = len(rebuilt), *_ends(rebuilt)
        return [*made.values()]

    def expected(self, size_bytes: int, estimates: Estimates) -> Iterator[Made]:
        """What past runs let expect of the other tables."""
        for name, datasets in self.news.items():
            rows = estimates.rows_a_byte.get(name)
            days = estimates.days_a_run.get(name)
            yield Made(
                name,
                f"new objects of {', '.join(sorted(datasets))}",
                is_exact=False,
                rows_inserted=None if rows is None else round(rows * size_bytes),
                days=None if days is None else round(days),
            )


def _warehouse(pipeline: Pipeline, catalog: DataCatalog) -> Warehouse:
    return next(iter(tables_of(catalog, pipeline.datasets()).values())).warehouse


def _refuse_others(pipeline: Pipeline) -> None:
    """Refuse pipelines that read lines again, or write no table."""
    from kedro.framework.project import pipelines

    kept = {*pipelines["__default__"].nodes}
    if not {*pipeline.nodes} <= kept:
        names = [name for name, each in pipelines.items() if {*each.nodes} <= kept]
        raise LingokidsError(
            "A plan is of pipelines that keep tables up to date: name one of "
            f"{', '.join(names)}, or leave --pipeline out."
        )


def _taken(
    dataset: str, due: list[RawObject], known: set[tuple[Any, ...]], estimates: Estimates
) -> Taken:
    size_bytes = sum(each.size_bytes for each in due)
    kept = estimates.kept_a_byte.get(dataset)
    lines = None if kept is None else round(kept * size_bytes)
    keys = {key for key, *_ in known}
    again = sum((each.object_key, each.etag, each.landed_at) in known for each in due)
    versions = sum(each.object_key in keys for each in due) - again
    counts = {"new": len(due) - again - versions, "sent again": versions, "rebuilt": again}
    reason = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    return Taken(dataset, len(due), size_bytes, lines, reason)


def _ends(days: list[date]) -> tuple[date, date]:
    return min(days), max(days)


# --- print ----------------------------------------------------------------------------------


def as_text(plan: Plan) -> str:
    """What would be done, line by line; estimates have a ~."""
    if plan.is_whole and not plan.objects and not plan.tables:
        return f"{plan.pipeline}: nothing is due. A run would write nothing."
    lines = [f"{plan.pipeline}: the next run would", ""]
    if plan.objects:
        lines.append(f"take in, as load {plan.load_id:,}")
        lines += columns(
            [
                each.dataset,
                counted(each.objects, "object"),
                size_of(each.size_bytes),
                f"{_about(each.usable_lines)} usable lines",
                each.reason,
            ]
            for each in plan.objects
        )
        lines.append("")
    if plan.tables:
        lines.append("make")
        lines += columns(
            [each.table_name, _rows(each), _days(each), each.reason] for each in plan.tables
        )
        lines.append("")
    if plan.seconds is not None:
        source = f", from {counted(plan.past_runs, 'past run')}" if plan.objects else ""
        lines.append(f"in ~ {plan.seconds:,.1f} s beside its start{source}.")
    if not plan.is_whole:
        lines.append("More is due than can be worked out while a run may wait for the warehouse.")
    if not all(each.is_exact for each in plan.tables):
        lines.append("~ is an estimate: what new objects hold is known when they are read.")
    return "\n".join(lines)


def _about(number: int | None) -> str:
    return "?" if number is None else f"~ {number:,}"


def _rows(made: Made) -> str:
    if not made.is_exact:
        return f"{_about(made.rows_inserted)} rows"
    return f"+{made.rows_inserted:,} -{made.rows_deleted:,} rows"


def _days(made: Made) -> str:
    if made.days is None:
        return ""
    if not made.is_exact:
        return f"~ {counted(made.days, 'day')}"
    return f"{counted(made.days, 'day')}, {made.first_day} to {made.last_day}"
