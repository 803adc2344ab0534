"""What depends on tables outside of the project: ``conf/base/exposures.yml``.

Each is an end of the graph, and its links are declared there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError

from lingokids import metrics
from lingokids.errors import LingokidsError, did_you_mean
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import DECLARED, METRICS, Column, Graph, Link, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILE = "conf/base/exposures.yml"
_Text = Annotated[str, Field(min_length=1)]


class Exposure(BaseModel):
    """A dashboard, an export or an application that depends on tables.

    Attributes:
        owner: Whom to tell before something that it reads changes.
        reads: Tables, columns, metrics or files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    meaning: _Text
    owner: _Text
    url: AnyHttpUrl
    reads: Annotated[list[_Text], Field(min_length=1)]


def read(declared: Mapping[str, Any]) -> dict[str, Exposure]:
    """The exposures of a configuration.

    Raises:
        LingokidsError: One lacks something, or has something else.
    """
    found = {}
    for name, given in declared.items():
        try:
            found[name] = Exposure.model_validate(given)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            what = ".".join(map(str, (name, *wrong["loc"])))
            raise LingokidsError(f"{_FILE}: {what}: {wrong['msg']}.") from None
    return found


def add(graph: Graph, exposures: Mapping[str, Exposure]) -> Graph:
    """The graph with the exposures as ends.

    Raises:
        LingokidsError: One reads what there is not, or is called like something else.
    """
    tables, links = dict(graph.tables), list(graph.links)
    for name, exposure in exposures.items():
        if name in graph.tables or name in metrics.METRICS:
            raise LingokidsError(f"{_FILE}: {name} is a table or a metric: give it another name.")
        about = exposure.model_dump(mode="json", exclude={"reads"})
        tables[name] = Table(name, "exposure", (), "", about)
        links += [
            Link(source, Column(name, ROWS), "computed", "", DECLARED)
            for read in exposure.reads
            for source in _sources(graph, name, read)
        ]
    return dataclasses.replace(graph, tables=tables, links=tuple(links))


def _sources(graph: Graph, name: str, read: str) -> Iterator[Column]:
    """The columns of what is read; of a table all of them."""
    table, dot, column = read.partition(".")
    if not dot and table in metrics.METRICS:
        table, column = METRICS, table
    if not dot and table in graph.tables:
        yield from (Column(table, each) for each in graph.tables[table].columns or (ROWS,))
    elif (named := Column(table, column)) in graph.columns:
        yield named
    else:
        known = (*graph.tables, *metrics.METRICS, *map(str, graph.columns))
        raise LingokidsError(
            f"{_FILE}: {name} reads {read}, which there is not.{did_you_mean(read, known)} Write "
            "what it reads now, and tell its owner if that is gone."
        )
