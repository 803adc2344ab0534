"""A run as OpenLineage tells it: one job for the run, one for each node, one for its checks.

What the events say stands here; ``runtime.lineage_events`` says when, and sends them. In them are
names, types and counts of whole tables; never a value of a row, the name of an object, a parameter
of the run or the text of a failure, which may name a family.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    set_producer,
)
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)
from openlineage.client.uuid import generate_static_uuid

from lingokids import schema
from lingokids.checks.results import HELD, SKIPPED
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import LINE, Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kedro.pipeline.node import Node

    from lingokids.checks.results import Result
    from lingokids.lineage.graph import Graph, Link
    from lingokids.storage.engine import Change

CHECKS = "checks"
#: Kinds of links as OpenLineage names them.
_KINDS = {
    "copied": ("DIRECT", "IDENTITY"),
    "computed": ("DIRECT", "TRANSFORMATION"),
    "windowed": ("DIRECT", "TRANSFORMATION"),
    "aggregated": ("DIRECT", "AGGREGATION"),
    "unnest": ("INDIRECT", "JOIN"),  # with a list of the row
}
_WORD = re.compile(r"(?<!^)(?=[A-Z])")

set_producer(f"urn:lingokids:{version('lingokids')}")


@dataclass(frozen=True)
class Step:
    """A node as it ran.

    Attributes:
        ended_at: None: it failed, or the run was stopped in it.
    """

    node: Node
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True)
class RunOutcome:
    """What a run did, and whether that stays.

    Attributes:
        steps: Its nodes.
        is_kept: Whether what they made stays; else each table is as before.
        changes: The rows written, by node.
        results: The rules checked.
    """

    steps: list[Step]
    is_kept: bool
    changes: Sequence[tuple[str, Change]]
    results: Sequence[Result]


@dataclass(frozen=True)
class RunEvents:
    """The events of a run.

    Attributes:
        namespace: That of its jobs.
        name: The pipelines that were asked for.
        run_id: The instant it was asked for by.
    """

    namespace: str
    name: str
    run_id: str
    started_at: datetime

    def start(self) -> RunEvent:
        """That it has begun."""
        return self._event(self.name, RunState.START, self.started_at)

    def failure(self, error: BaseException) -> RunEvent:
        """That it has failed, of its nodes nothing."""
        return self._event(self.name, RunState.FAIL, datetime.now(UTC), facets=_failure(error))

    def end(
        self, graph: Graph, places: Places, outcome: RunOutcome, error: BaseException | None
    ) -> Iterator[RunEvent]:
        """How it has ended, after how its nodes and its checks have.

        Of a run that is rolled back, the nodes that were done by then count as stopped.
        """
        datasets = Datasets(graph, places, self.namespace)
        written: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for node_name, change in outcome.changes if outcome.is_kept else ():
            written[node_name][change.table_name] = change.rows_inserted
        for step in outcome.steps:
            name = step.node.name
            ended = RunState.COMPLETE if outcome.is_kept else RunState.ABORT
            if step.ended_at is None:
                ended = RunState.FAIL
            inputs, outputs = datasets.of(step.node, written[name])
            yield self._event(name, RunState.START, step.started_at, parent=self)
            yield self._event(
                *(name, ended, step.ended_at or datetime.now(UTC)),
                parent=self,
                inputs=inputs,
                outputs=outputs,
                facets=_failure(error) if step.ended_at is None else None,
            )
        now = datetime.now(UTC)
        if outcome.results:
            are_kept = all(result.verdict != "failed" for result in outcome.results)
            ended = RunState.COMPLETE if are_kept else RunState.FAIL
            yield self._event(CHECKS, RunState.START, now, parent=self)
            yield self._event(
                *(CHECKS, ended, now), parent=self, inputs=datasets.checked(outcome.results)
            )
        ended = RunState.COMPLETE if error is None else RunState.FAIL
        yield self._event(self.name, ended, now, facets=_failure(error))

    def _id_of(self, job: str) -> str:
        data = f"{self.namespace} {self.run_id} {job}".encode()
        return str(generate_static_uuid(self.started_at, data))

    def _event(  # noqa: PLR0913
        self,
        job: str,
        state: RunState,
        at: datetime,
        *,
        parent: RunEvents | None = None,
        facets: dict[str, Any] | None = None,
        inputs: list[InputDataset] | None = None,
        outputs: list[OutputDataset] | None = None,
    ) -> RunEvent:
        facets = dict(facets or {})
        if parent is not None:
            facets["parent"] = parent_run.ParentRunFacet(
                run=parent_run.Run(runId=self._id_of(parent.name)),
                job=parent_run.Job(namespace=self.namespace, name=parent.name),
            )
        kind = "PIPELINE" if parent is None else "CHECK" if job == CHECKS else "NODE"
        about = job_type_job.JobTypeJobFacet("BATCH", "KEDRO", kind)
        return RunEvent(
            eventTime=at.isoformat(),
            eventType=state,
            run=Run(runId=self._id_of(job), facets=facets),
            job=Job(namespace=self.namespace, name=job, facets={"jobType": about}),
            inputs=inputs or [],
            outputs=outputs or [],
        )


def _failure(error: BaseException | None) -> dict[str, Any]:
    """Which kind of failure it was: its text may name a user, an object or a line."""
    if error is None:
        return {}
    said = f"{type(error).__name__}: why stands in the log, and in the table runs"
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(said, "PYTHON")}


# --- datasets -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where what an entry of the catalog names lies."""

    entries: Mapping[str, Any]

    def of(self, name: str) -> tuple[str, str] | None:
        """Namespace and name, by the naming specification; None: it is in memory."""
        entry = self.entries.get(name, {})
        if not entry and name in schema.STORED:  # what runs keep of themselves
            entry = self.entries["ingested_objects"] | {"table_name": name}
        if "table_name" in entry:
            database = Path(entry["warehouse"]["database"]).absolute()
            return f"duckdb://{database}", f"{database.stem}.main.{entry['table_name']}"
        if "lake" in entry:
            return _of_file(f"{entry['lake'].rstrip('/')}/{entry['table']}")
        place = entry.get("path") or entry.get("filepath")
        return _of_file(place) if place else None


def _of_file(place: str) -> tuple[str, str]:
    scheme, is_url, path = place.partition("://")
    if not is_url:
        return "file", str(Path(place).absolute())
    bucket, _slash, key = path.rstrip("/").partition("/")
    return f"{scheme}://{bucket}", key or "/"


class Datasets:
    """The inputs and outputs of nodes, with their facets."""

    def __init__(self, graph: Graph, places: Places, namespace: str) -> None:
        self._tables = graph.tables
        self._places = places
        self._namespace = namespace
        self._links: defaultdict[str, list[Link]] = defaultdict(list)
        for link in graph.links:
            self._links[link.node].append(link)

    def of(
        self, node: Node, rows_written: Mapping[str, int]
    ) -> tuple[list[InputDataset], list[OutputDataset]]:
        """What a node reads and makes."""
        links = self._links[node.name]
        read = dict.fromkeys([*node.inputs, *(link.source.table for link in links)])
        made = dict.fromkeys([*node.outputs, *(link.target.table for link in links)])
        return (
            [self._input(name) for name in read if name in self._tables and name not in made],
            [
                self._output(name, [link for link in links if link.target.table == name], rows)
                for name in made
                if name in self._tables
                for rows in [rows_written.get(name, 0)]
            ],
        )

    def checked(self, results: Iterable[Result]) -> list[InputDataset]:
        """The tables that were checked, and what was found."""
        of_table: defaultdict[str, list[Result]] = defaultdict(list)
        for result in results:
            of_table[result.table_name].append(result)
        return [
            InputDataset(*self._name(name), inputFacets=_quality(found))
            for name, found in of_table.items()
        ]

    def _name(self, name: str) -> tuple[str, str]:
        return self._places.of(name) or (self._namespace, name)

    def _input(self, name: str) -> InputDataset:
        return InputDataset(*self._name(name), facets={"schema": self._schema(name)})

    def _output(self, name: str, links: list[Link], rows: int) -> OutputDataset:
        facets = {"schema": self._schema(name), "columnLineage": self._column_lineage(links)}
        is_counted = self._tables[name].layer in {"bronze", "silver", "gold"}
        written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rows)
        return OutputDataset(
            *self._name(name),
            facets=facets,
            outputFacets={"outputStatistics": written} if is_counted else {},
        )

    def _schema(self, name: str) -> schema_dataset.SchemaDatasetFacet:
        contract = schema.CONTRACTS.get(self._places.entries.get(name, {}).get("table", name))
        types = contract.schema if contract else {}
        return schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(
                    column,
                    str(types[column].copy(nullable=True)) if column in types else None,
                    schema.COLUMNS[column].comment if column in schema.COLUMNS else None,
                    position,
                )
                for position, column in enumerate(self._tables[name].columns, start=1)
            ]
        )

    def _column_lineage(
        self, links: Iterable[Link]
    ) -> column_lineage_dataset.ColumnLineageDatasetFacet:
        found: defaultdict[str, defaultdict[Column, dict[str, None]]]
        found = defaultdict(lambda: defaultdict(dict))
        for link in links:
            for source in self._columns(link):
                found[link.target.column][source][link.kind] = None
        rows = found.pop(ROWS, defaultdict(dict))
        return column_lineage_dataset.ColumnLineageDatasetFacet(
            {
                column: column_lineage_dataset.Fields(self._input_fields(sources))
                for column, sources in found.items()
            },
            self._input_fields(rows),
        )

    def _columns(self, link: Link) -> Iterator[Column]:
        """The columns that a link comes from; of rows, those that say which row it is."""
        source = link.source
        if source.column != ROWS:
            yield source
        elif link.target.column != ROWS:  # that rows come from rows is said by the datasets
            contract = schema.CONTRACTS.get(source.table)
            is_raw = self._tables[source.table].layer == "raw" and contract is None
            names = (LINE,) if is_raw else contract.grain if contract else ()
            yield from (Column(source.table, name) for name in names)

    def _input_fields(
        self, sources: Mapping[Column, Iterable[str]]
    ) -> list[column_lineage_dataset.InputField]:
        return [
            column_lineage_dataset.InputField(
                *self._name(source.table),
                source.column,
                [
                    column_lineage_dataset.Transformation(
                        *_KINDS.get(kind, ("INDIRECT", kind.upper()))
                    )
                    for kind in kinds
                ],
            )
            for source, kinds in sources.items()
        ]


def _quality(results: Iterable[Result]) -> dict[str, Any]:
    """What was found in a table: each rule, and how many values are missing in each column."""
    results = [result for result in results if result.verdict != SKIPPED]
    counted = [result for result in results if isinstance(result.rule, schema.NotNull)]
    facets: dict[str, Any] = {
        "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [_assertion(result) for result in results]
        )
    }
    if counted:
        facets["dataQualityMetrics"] = (
            data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
                {
                    result.rule.column: data_quality_metrics_input_dataset.ColumnMetrics(
                        nullCount=result.rows_failed
                    )
                    for result in counted
                    if isinstance(result.rule, schema.NotNull)
                },
                rowCount=max(result.rows_checked for result in counted),
            )
        )
    return facets


def _assertion(result: Result) -> data_quality_assertions_dataset.Assertion:
    rule = result.rule
    return data_quality_assertions_dataset.Assertion(
        assertion=_WORD.sub("_", type(rule).__name__).lower(),
        success=result.verdict == HELD,
        column=getattr(rule, "column", None),
        severity=result.severity,
        name=rule.name,
        description=rule.meaning,
        actual=f"{result.rows_failed} of {result.rows_checked} fail",
    )
