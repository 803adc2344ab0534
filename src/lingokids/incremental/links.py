"""Which changes of which inputs make which units of a table due.

A node says what a table is, of all its inputs, so it must be *local*: what it makes of some units
does not depend on rows of other units. Then a changed row of an input makes few units due, and
the columns say which: a link. Links follow from the pipeline and the tables' columns; ``reads`` of
a catalog entry says what these cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from kedro.pipeline import Pipeline


class Table(Protocol):
    """What of a table says how it is kept: its part of the catalog."""

    @property
    def table_name(self) -> str:
        """Its name in the warehouse."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, in order."""

    @property
    def unit(self) -> tuple[str, ...]:
        """The columns of what is replaced as a whole; none: the whole table is."""

    @property
    def reads(self) -> Mapping[str, Collection[str]]:
        """By input, the columns of it that name what is due when a row of it changes."""

    @property
    def has_versions(self) -> bool:
        """Whether its rows say which run last changed them."""


@dataclass(frozen=True)
class Link:
    """How a changed row of an input makes units of a table due.

    Attributes:
        entry: The input.
        table_name: Its table.
        by: The columns of the input's rows that name what is due.
        is_direct: Whether these name a unit. Else they name rows of the table itself, and the
            units of those rows are due.
    """

    entry: str
    table_name: str
    by: tuple[str, ...]
    is_direct: bool


@dataclass
class Step:
    """How one table is kept up to date.

    Attributes:
        node_name: The node that makes it.
        table_name: The table.
        unit: The columns of what is replaced as a whole.
        links: One per input that is a table.
        read_by: The columns by which readers of the table know its rows: marks of rows that left
            have them.
    """

    node_name: str
    table_name: str
    unit: tuple[str, ...]
    links: tuple[Link, ...]
    read_by: set[str] = field(default_factory=set)


def steps_of(pipeline: Pipeline, tables: Mapping[str, Table]) -> dict[str, Step]:
    """The step of each incremental table, by the node that makes it.

    Args:
        pipeline: Every node that makes tables, not only those of the run: marks of rows that left
            must serve all readers.
        tables: The tables of the catalog, by entry.

    Raises:
        LingokidsError: A node makes an incremental table and another output, or it does not
            follow which units are due when an input changes.
    """
    steps = {}
    for node in pipeline.nodes:
        made = [tables[name] for name in node.outputs if name in tables and tables[name].unit]
        read = [name for name in node.inputs if name in tables]
        if not made:
            continue
        if strange := sorted(made[0].reads.keys() - {*read}):
            raise LingokidsError(
                f"{made[0].table_name}: reads names {', '.join(strange)}, no table that "
                f"{node.name} is given ({', '.join(read)}). Correct its catalog entry."
            )
        if not read:
            raise LingokidsError(
                f"{made[0].table_name}: {node.name} is given no table, so no change makes a unit "
                "due. Leave unit out of its catalog entry: it is then made as a whole."
            )
        if len(node.outputs) > 1:
            raise LingokidsError(
                f"{node.name} makes {', '.join(node.outputs)}: a node that makes an incremental "
                "table makes no other. Write one node a table."
            )
        links = tuple(_link(made[0], name, tables[name]) for name in read)
        steps[node.name] = Step(node.name, made[0].table_name, made[0].unit, links)
    by_table = {step.table_name: step for step in steps.values()}
    for step in steps.values():
        for link in step.links:
            if made_by := by_table.get(link.table_name):
                made_by.read_by.update(link.by)
    return steps


def readers_of(table_name: str, steps: Iterable[Step]) -> list[str]:
    """The incremental tables that are made from a table."""
    return [
        step.table_name
        for step in steps
        if any(link.table_name == table_name for link in step.links)
    ]


def _link(table: Table, entry: str, read: Table) -> Link:
    by = tuple(table.reads.get(entry, ()))
    if not by:
        by = table.unit if set(table.unit) <= set(read.columns) else read.unit
    is_direct = set(by) == set(table.unit)
    is_known = by and set(by) <= set(read.columns) and (is_direct or set(by) <= set(table.columns))
    if not is_known or not read.has_versions:
        raise LingokidsError(
            f"{table.table_name}: it does not follow which of its units ({', '.join(table.unit)}) "
            f"are due when a row of {entry} changes. Give its catalog entry reads: {{{entry}: "
            "[columns that both have]}, or leave unit out: it is then made as a whole."
        )
    return Link(entry, read.table_name, by, is_direct)
