"""``kedro lineage``: the lineage of one column, as text or JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lingokids import metrics, schema
from lingokids.errors import LingokidsError, did_you_mean
from lingokids.lineage import exposures
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import METRICS, TRACED, Column, Graph, Link, Trace
from lingokids.lineage.tracing import trace
from lingokids.schema.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DIRECTIONS = ("up", "down")
_HEADS = {
    "up": ("Comes from", "Decided on, in this step, by"),
    "down": ("Goes into", "Decides, in the next step, on"),
}


def of_project(project_path: Path) -> Graph:
    """Trace the project of a folder.

    Raises:
        LingokidsError: A node has an operation that is not known, or an exposure is wrong.
    """
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=project_path) as session:
        config = session.load_context().config_loader  # type: ignore[attr-defined]
        graph = trace(pipelines, config["catalog"], Parameters.read(config["parameters"]))
        return exposures.add(graph, exposures.read(config["exposures"]))


def find(graph: Graph, name: str) -> Column:
    """The column of a name: ``table.column``, a metric, a chart or the dashboard.

    Raises:
        LingokidsError: There is none, or it takes more to tell which.
    """
    table, _dot, column = name.partition(".")
    if (named := Column(table, column)) in graph.columns:
        return named
    if name in metrics.METRICS:
        return Column(METRICS, name)
    if name in graph.tables:
        if columns := graph.tables[name].columns:
            raise LingokidsError(
                f"{name} is a table: name a column of it, such as {name}.{columns[0]}. There are: "
                f"{', '.join(columns)}."
            )
        return Column(name, ROWS)
    if having := [each.name for each in graph.tables.values() if name in each.columns]:
        raise LingokidsError(
            f"{name} is a column of {', '.join(having)}: name the table too, such as "
            f"{having[0]}.{name}."
        )
    known = (*map(str, graph.columns), *metrics.METRICS, *graph.tables)
    raise LingokidsError(
        f"There is no column, metric or chart {name}.{did_you_mean(name, sorted(known))} Write "
        "table.column: see src/lingokids/schema/README.md."
    )


def as_json(graph: Graph, column: Column, directions: tuple[str, ...]) -> str:
    """The links of each direction."""
    found: dict[str, Any] = {"column": column._asdict()}
    ends = {column.table: None}
    for direction in directions:
        trace: Trace = getattr(graph, direction)(column)
        found[direction] = trace.as_json()
        ends |= {link.target.table: None for link in trace.values}
    found["exposures"] = {
        name: about for name in ends if (about := graph.tables[name].exposure) is not None
    }
    return json.dumps(found, indent=1, ensure_ascii=False)


def as_text(graph: Graph, column: Column, directions: tuple[str, ...]) -> str:
    """A tree of each direction, and what no expression says."""
    lines = [": ".join(filter(None, (_name(graph, column), _meaning(column))))]
    passed = {column.table: None}
    for direction in directions:
        found: Trace = getattr(graph, direction)(column)
        of_values, of_influence = _HEADS[direction]
        ends = ("source", "target") if direction == "up" else ("target", "source")
        lines += ["", f"{of_values}:", *_tree(graph, column, found.values, ends)]
        if found.influence:
            lines += ["", f"{of_influence}:", *_by_kind(graph, found.influence, ends[0])]
        for link in found.values:
            passed |= {link.source.table: None, link.target.table: None}
    if exposed := [*_exposed(graph, passed)]:
        lines += ["", "Tell the owners:", *exposed]
    if notes := dict.fromkeys(
        f"  {table.layer}: {table.note}"
        for table in map(graph.tables.__getitem__, passed)
        if table.note
    ):
        lines += ["", "What no expression says:", *notes]
    return "\n".join(lines)


def _name(graph: Graph, column: Column) -> str:
    if column.column != ROWS:
        return column.column if column.table == METRICS else str(column)
    return f"rows of {column.table}" if graph.tables[column.table].columns else column.table


def _exposed(graph: Graph, names: Iterable[str]) -> Iterator[str]:
    """A line for each of the tables that is outside of the project."""
    for name in names:
        if about := graph.tables[name].exposure:
            yield f"  {about['owner']}: {name}, {about['url']}. {about['meaning']}"


def _meaning(column: Column) -> str:
    if column.table == METRICS and column.column in metrics.METRICS:
        return metrics.METRICS[column.column].formula
    known = schema.COLUMNS.get(column.column)
    return known.comment if known and column.table in schema.CONTRACTS else ""


def _tree(
    graph: Graph, start: Column, links: tuple[Link, ...], ends: tuple[str, str]
) -> Iterator[str]:
    """A line for each step, below the one that it follows; a column is followed once."""
    far, near = ends
    steps = defaultdict(list)
    for link in links:
        steps[getattr(link, near)].append(link)
    if not links:
        yield "  nothing: it is a constant, or a run's own" if far == "source" else "  nothing"
    waiting = [(1, link) for link in reversed(steps.pop(start, []))]
    while waiting:
        depth, link = waiting.pop()
        column = getattr(link, far)
        origin = "" if link.origin == TRACED else link.origin
        by = ", ".join(filter(None, (link.kind, link.node, origin)))
        yield f"{'  ' * depth}{_name(graph, column)}  ({by})"
        waiting += [(depth + 1, each) for each in reversed(steps.pop(column, []))]


def _by_kind(graph: Graph, links: tuple[Link, ...], far: str) -> Iterator[str]:
    """A line for each kind and table."""
    found: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for link in links:
        column: Column = getattr(link, far)
        has_columns = column.column != ROWS or bool(graph.tables[column.table].columns)
        name = "rows" if column.column == ROWS else column.column
        found[link.kind, column.table].setdefault(name if has_columns else "all of it")
    for (kind, table), names in sorted(found.items()):
        yield f"  {kind}: {table} ({', '.join(names)})"
