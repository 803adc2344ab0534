"""Makes the graph: from the key of the raw JSON to metrics, charts and the lake.

Each node is given unbound tables of the contracts, and the expression that it returns is traced:
no engine, no data. What is no expression is ``declared``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from lingokids import metrics, query, schema
from lingokids.errors import LingokidsError
from lingokids.lineage import declared
from lingokids.lineage.expressions import ROWS, Edge, UnknownOperationError, column_lineage
from lingokids.lineage.graph import (
    ASSUMED,
    DECLARED,
    LINE,
    METRICS,
    OTHER_KEYS,
    TRACED,
    Column,
    Graph,
    Link,
    Table,
)
from lingokids.validation import drift, filing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.lineage.expressions import Lineage
    from lingokids.schema import Delivery
    from lingokids.schema.parameters import Parameters

_OBJECT = "(object)"
_LAYERS = {
    "ObjectsDataset": "raw",
    "CsvDataset": "raw",
    "DeltaDataset": "published",
    "AnswerDataset": "answer",
    "LastRunDataset": "run",
}


def trace(
    pipelines: Mapping[str, Pipeline], entries: Mapping[str, Any], parameters: Parameters
) -> Graph:
    """Trace every column of the project.

    Args:
        pipelines: All of them, by name.
        entries: The configuration of the catalog, by entry.
        parameters: What some nodes compute depends on them.

    Raises:
        LingokidsError: A node has an operation that is not known.
    """
    followed = [each for name, each in pipelines.items() if name not in declared.RESTORING]
    tracing = _Tracing(entries, parameters)
    for node in dict.fromkeys(node for pipeline in followed for node in pipeline.nodes):
        if any(tracing.type_of(name) == "ObjectsDataset" for name in node.inputs):
            tracing.ingest(node)
        elif node.outputs and not all(name.startswith("params:") for name in node.inputs):
            tracing.follow(node)
    tracing.count_unknown_keys()
    tracing.define_metrics()
    for name in schema.STORED:
        tracing.add(name)
    return Graph(tracing.tables, tuple(tracing.links), tracing.expressions)


class _Tracing:
    """The graph as far as it is traced."""

    def __init__(self, entries: Mapping[str, Any], parameters: Parameters) -> None:
        self._entries = entries
        self._parameters = parameters
        self.tables: dict[str, Table] = {}
        self.links: dict[Link, None] = {}
        self.expressions: dict[tuple[str, str], ir.Table] = {}
        #: Without rows, what has no contract: answers, and what nodes hand on in memory.
        self._made: dict[str, ir.Table] = {}

    # --- the catalog ---

    def type_of(self, name: str) -> str:
        """The class of an entry."""
        return str(self._entries.get(name, {}).get("type", "")).rpartition(".")[2]

    def _layer_of(self, name: str) -> str:
        entry = self._entries.get(name, {})
        if self.type_of(name) in {"TableDataset", "BronzeDataset"}:
            return str(entry["metadata"]["kedro-viz"]["layer"])
        if name not in self._entries:
            return "run" if name in schema.STORED else "memory"
        return _LAYERS.get(self.type_of(name), "file")

    def _contract_of(self, name: str) -> schema.Contract | None:
        return schema.CONTRACTS.get(self._entries.get(name, {}).get("table", name))

    def _columns_of(self, name: str) -> tuple[str, ...]:
        if self.type_of(name) == "ObjectsDataset":
            fields = schema.FIELDS[self._entries[name]["dataset"]]
            keys = (field.path for field in fields)
            return (*keys, OTHER_KEYS, LINE, *schema.RAW_OBJECTS.columns)
        if name in self._made:
            return self._made[name].columns
        contract = self._contract_of(name)
        return contract.columns if contract else ()

    def _without_rows(self, name: str) -> Any:
        """What a node is given for an input; None: it is not known."""
        if name.startswith("params:"):
            return reduce(getattr, name.removeprefix("params:").split("."), self._parameters)
        if name in self._made:
            made = self._made[name]
            is_answer = self.type_of(name) == "AnswerDataset"
            return made.schema().to_pyarrow().empty_table() if is_answer else made
        if self._entries.get(name, {}).get("may_be_missing"):
            return pa.table({})
        contract = self._contract_of(name)
        return ibis.table(contract.nullable_schema, name=name) if contract else None

    # --- tables and links ---

    def add(self, name: str) -> Table:
        """Enter a table, once."""
        if name not in self.tables:
            layer = self._layer_of(name)
            note = declared.OUTSIDE.get(layer, "")
            self.tables[name] = Table(name, layer, self._columns_of(name), note)
        return self.tables[name]

    def _link(
        self, source: Column, target: Column, kind: str, node: str = "", origin: str = TRACED
    ) -> None:
        for name in (source.table, target.table):
            self.add(name)
        self.links[Link(source, target, kind, node, origin)] = None

    def _trace(
        self,
        node: str,
        name: str,
        expression: ir.Table,
        source_of: Callable[[Edge], Column | None] = lambda edge: Column(*edge[:2]),
    ) -> None:
        lineage = _lineage(node, expression)
        self.expressions[node, name] = expression
        for column, edges in (*lineage.columns.items(), (ROWS, lineage.rows)):
            for edge in sorted(edges):
                source = source_of(edge)
                if source is not None and source.table != name:  # what it had before
                    self._link(source, Column(name, column), edge.kind, node)

    def follow(self, node: Node) -> None:
        """Trace what a node gives; what is no expression is declared."""
        given = {name: self._without_rows(name) for name in node.inputs}
        is_file = any(self._layer_of(name) == "file" for name in node.outputs)
        is_known = all(given[name] is not None for name in given if not name.startswith("params:"))
        made = _made_of(node, given) if is_known and not is_file else {}
        read = [name for name in node.inputs if not name.startswith("params:")]
        for name in node.outputs:
            value = made.get(name)
            if isinstance(value, ir.Table | pa.Table) and self._contract_of(name) is None:
                is_lazy = isinstance(value, ir.Table)
                columns = value.schema() if is_lazy else ibis.Schema.from_pyarrow(value.schema)
                self._made[name] = ibis.table(columns, name=name)
            if isinstance(value, ir.Table):
                self._trace(node.name, name, value)
                rows = [each for each in read if isinstance(given[each], pa.Table)]
                self._declare(node, rows, name, columns=())
            else:
                self._declare(node, read, name, columns=self._columns_of(name))

    def _declare(
        self, node: Node, inputs: Iterable[str], output: str, columns: tuple[str, ...]
    ) -> None:
        """Link what Python makes to all columns that it reads, or may read.

        Args:
            node: The node.
            inputs: What of its inputs it reads as rows.
            output: What it makes.
            columns: Those of its columns that Python makes.
        """
        function = node.name.rpartition(".")[2]  # it bears the function's
        origin = DECLARED if function in declared.READS else ASSUMED
        is_table = bool(self.add(output).columns)
        for name in inputs:
            own = self.add(name).columns or (ROWS,)
            copies = {*columns} & {*own} if function in declared.CHOOSES_ROWS else set()
            for column in own:
                if column in copies:
                    source, target = Column(name, column), Column(output, column)
                    self._link(source, target, "copied", node.name, origin)
            for column in declared.READS.get(function, {}).get(name, own):
                source, rows = Column(name, column), Column(output, ROWS)
                kind = "filter" if is_table else "computed"
                self._link(source, rows, kind, node.name, origin)
                for made in columns:
                    if made not in copies:
                        self._link(source, Column(output, made), "computed", node.name, origin)

    # --- what is no node's table ---

    def ingest(self, node: Node) -> None:
        """Trace what ingestion files: usable and unusable lines, counts, keys without a field."""
        (source,) = (name for name in node.inputs if self.type_of(name) == "ObjectsDataset")
        (bronze,) = node.outputs
        dataset = self._entries[source]["dataset"]
        given = {name: self._without_rows(name) for name in node.inputs} | {
            source: _NoLines(schema.FIELDS[dataset])
        }
        (delivery,) = node.run(given)[bronze]
        for name, filed in {
            bronze: filing.usable(delivery.lines, schema.CONTRACTS[bronze]),
            "quarantined_lines": filing.unusable(
                delivery.lines, dataset, self._without_rows("quarantined_lines")
            ),
            "ingested_objects": filing.counts(delivery, dataset),
            "rescued_values": filing.rescued(delivery.lines, dataset),
        }.items():
            self._trace(node.name, name, filed, lambda edge: _raw_column(source, edge))
        keys = [field.path for field in schema.FIELDS[dataset]]
        for part, whole in (
            *((key, LINE) for key in (*keys, OTHER_KEYS)),
            *((LINE, column) for column in ("etag", "size_bytes")),
        ):
            self._link(Column(source, part), Column(source, whole), "computed", origin=DECLARED)

    def count_unknown_keys(self) -> None:
        """Trace the view, which no node makes."""
        bronze = {name: self._without_rows(f"bronze_{name}") for name in schema.FIELDS}
        rescued = self._without_rows("rescued_values")
        counted = drift.count_unknown_keys(rescued, drift.usable_lines(bronze))
        self._trace("", "unknown_keys", counted)

    def define_metrics(self) -> None:
        """Trace each metric to the gold table of its subject."""
        self.tables[METRICS] = Table(METRICS, "metric", tuple(metrics.METRICS), "")
        for name in metrics.METRICS:
            question = query.Question((name,))
            table = self._without_rows(question.subject.table_name)
            lineage = _lineage(name, query.answer(table, question))
            # metrics share no rows: what decides on those of one decides on it alone
            deciding = {edge for edge in lineage.rows if not edge.is_of_values}
            for edge in sorted(lineage.columns[name] | deciding):
                self._link(Column(*edge[:2]), Column(METRICS, name), edge.kind)
        for table_name, names in declared.METRICS_OF.items():
            for name in names:
                source, target = Column(METRICS, name), Column(table_name, name)
                self._link(source, target, "copied", origin=DECLARED)


class _NoLines:
    """A raw source as a node sees it, of lines of some fields."""

    def __init__(self, fields: tuple[schema.Field, ...]) -> None:
        of_lines = (*schema.DELIVERY, *schema.ARRIVAL, *schema.LEFT_OVER)
        record = schema.record_type(schema.record_shape(fields))
        self._lines = ibis.table(
            {name: schema.COLUMNS[name].type for name in of_lines}
            | {"line_text": "string", "problem": "string", "is_blank": "boolean"}
            | {"record": record},
            name=LINE,
        )
        of_objects = (*schema.RAW_OBJECTS.columns, "load_id")
        self._objects = ibis.table(
            {name: schema.COLUMNS[name].type for name in of_objects}, name=_OBJECT
        )

    def new(
        self, validate: Callable[[ir.Table], ir.Table], since: object = None
    ) -> Iterator[Delivery]:
        """See ``schema.RawSource``."""
        yield schema.Delivery(validate(self._lines), self._objects)


def _raw_column(source: str, edge: Edge) -> Column | None:
    """The column of a raw source that stands behind one of ``_NoLines``."""
    name = edge.column
    if edge.table not in {LINE, _OBJECT}:
        return Column(edge.table, name)
    if name == "load_id":  # the number of the run
        return None
    if name == "line_number":
        return Column(source, ROWS)
    if name in schema.LEFT_OVER:
        return Column(source, OTHER_KEYS)
    if name in {ROWS, *schema.RAW_OBJECTS.columns}:
        return Column(source, name)
    return Column(source, name.removeprefix("record.") if "." in name else LINE)


def _made_of(node: Node, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a node gives for inputs without rows; nothing if it cannot do without."""
    try:
        return dict(node.run(dict(given)))
    except Exception:  # it is Python then, and taken to read every column
        return {}


def _lineage(name: str, expression: ir.Table) -> Lineage:
    try:
        return column_lineage(expression)
    except UnknownOperationError as unknown:
        raise LingokidsError(
            f"{name} uses {unknown}, and it is not known how columns pass through that: say so in "
            "lineage/expressions.py."
        ) from None
