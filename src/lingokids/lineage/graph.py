"""The graph of the project's columns: what each comes from, and what comes from it.

Values are followed over all steps; what influences them a step at a time, because over all steps
everything influences everything. How it is made: ``tracing``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from lingokids.lineage.expressions import OF_VALUES, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import ibis.expr.types as ir

#: The table that metrics are columns of.
METRICS = "metrics"
#: Columns of a raw source besides its fields: all of a line's text, and keys that no field reads.
LINE, OTHER_KEYS = "(line)", "(other keys)"

TRACED, DECLARED, ASSUMED = "traced", "declared", "assumed"


class Column(NamedTuple):
    """A column of a table; ``ROWS``: its rows, or all of what is no table, such as a chart."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Link:
    """That a column comes from another one, in one step.

    Attributes:
        source: The column it comes from.
        target: The column.
        kind: One of ``OF_VALUES`` or ``OF_INFLUENCE``: see ``expressions``.
        node: The node that makes the step; "": none does.
        origin: ``TRACED`` through the node's expression; ``DECLARED`` where there is none, and
            ``ASSUMED`` where nothing is declared either: the node may read every column.
    """

    source: Column
    target: Column
    kind: str
    node: str
    origin: str

    @property
    def is_of_values(self) -> bool:
        """Whether values go over; else the source decides on the target without being in it."""
        return self.kind in OF_VALUES

    def as_json(self) -> dict[str, Any]:
        """The link, in types of JSON."""
        return vars(self) | {"source": self.source._asdict(), "target": self.target._asdict()}


@dataclass(frozen=True)
class Table:
    """What columns are of.

    Attributes:
        name: Its entry in the catalog; ``METRICS``: all metrics.
        layer: raw, bronze, silver, gold, published, answer, metric, file, memory, run or exposure.
        columns: Its columns; none: it is no table.
        note: What changes it that no expression says.
        exposure: Meaning, owner and url of what depends on tables outside of the project.
    """

    name: str
    layer: str
    columns: tuple[str, ...]
    note: str
    exposure: dict[str, str] | None = None


class Trace(NamedTuple):
    """What a column comes from, or what comes from it.

    Attributes:
        values: The steps that values take, nearest first, to the end.
        influence: What decides on it, or is decided by it, in one step.
    """

    values: tuple[Link, ...]
    influence: tuple[Link, ...]

    def as_json(self) -> dict[str, Any]:
        """The links, in types of JSON."""
        return {name: [link.as_json() for link in links] for name, links in self._asdict().items()}


@dataclass(frozen=True)
class Graph:
    """Every table, and every step between columns.

    Attributes:
        expressions: What was traced, by node and table: on unbound tables of the contracts.
    """

    tables: dict[str, Table]
    links: tuple[Link, ...]
    expressions: dict[tuple[str, str], ir.Table] = field(default_factory=dict, repr=False)

    @cached_property
    def columns(self) -> frozenset[Column]:
        """Every column, and the rows of every table."""
        return frozenset(
            Column(table.name, name)
            for table in self.tables.values()
            for name in (*table.columns, ROWS)
        )

    def up(self, column: Column) -> Trace:
        """What a column comes from. What decides on its rows decides on it."""
        deciding = dict.fromkeys((column, Column(column.table, ROWS)))
        return Trace(
            _followed(column, self._into, lambda link: link.source),
            tuple(link for at in deciding for link in self._into[at] if not link.is_of_values),
        )

    def down(self, column: Column) -> Trace:
        """What comes from a column."""
        return Trace(
            _followed(column, self._out_of, lambda link: link.target),
            tuple(link for link in self._out_of[column] if not link.is_of_values),
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, in types of JSON."""
        return {
            "tables": [asdict(table) for table in self.tables.values()],
            "links": [link.as_json() for link in self.links],
        }

    @cached_property
    def _into(self) -> dict[Column, list[Link]]:
        return _by(self.links, lambda link: link.target)

    @cached_property
    def _out_of(self) -> dict[Column, list[Link]]:
        return _by(self.links, lambda link: link.source)


def _by(links: Iterable[Link], end: Callable[[Link], Column]) -> dict[Column, list[Link]]:
    found = defaultdict(list)
    for link in links:
        found[end(link)].append(link)
    return found


def _followed(
    start: Column, links: dict[Column, list[Link]], far_end: Callable[[Link], Column]
) -> tuple[Link, ...]:
    """The links of values that lead from or to a column, breadth first."""
    steps: list[Link] = []
    reached = {start: None}
    waiting = [start]
    for column in waiting:
        for link in links[column]:
            if link.is_of_values:
                steps.append(link)
                if (other := far_end(link)) not in reached:
                    reached[other] = None
                    waiting.append(other)
    return tuple(steps)
