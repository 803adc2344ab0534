"""The document behind the site, in types of JSON: ``catalog.json``.

Its published form is ``pages/catalog.schema.json``. The pages show nothing that is not in it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any

import ibis
import yaml

from lingokids import metrics, query, schema
from lingokids.docs.state import instant
from lingokids.lineage.declared import METRICS_OF
from lingokids.lineage.graph import LINE, METRICS, OTHER_KEYS
from lingokids.metrics.dimensions import DIMENSIONS
from lingokids.metrics.glossary import kind_of
from lingokids.schema.parameters import Group, Parameters
from lingokids.storage.previews import summary_of
from lingokids.storage.tables import LastRunDataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from lingokids.docs.state import Json, State
    from lingokids.lineage.graph import Graph, Table

FORMAT = 1
_MOST_CHANGES = 200
_MEANINGS = {
    LINE: "a line as delivered",
    OTHER_KEYS: "keys that no field reads, and their values",
    "last_run": LastRunDataset.meaning,
}


@dataclass(frozen=True)
class Project:
    """What is known without a warehouse.

    Attributes:
        entries: The configuration of the catalog, by entry.
        defaults: ``conf/base/parameters.yml``, which explains each parameter.
        given: The parameters as the environment gives them.
        not_kept: Columns that ``privacy.not_kept`` keeps out of every table.
    """

    environment: str
    graph: Graph
    pipelines: Mapping[str, Pipeline]
    entries: Mapping[str, Any]
    parameters: Parameters
    defaults: Path
    given: Mapping[str, Any]
    not_kept: list[str]

    @property
    def nodes(self) -> dict[str, Node]:
        """Every node by its name."""
        return {node.name: node for each in self.pipelines.values() for node in each.nodes}

    def contract_of(self, table_name: str) -> schema.Contract | None:
        """The contract of an entry; a published table has that of what it is published from."""
        return schema.CONTRACTS.get(self.entries.get(table_name, {}).get("table", table_name))


def document_of(project: Project, state: State, before: Json | None = None) -> Json:
    """Gather the document.

    Args:
        project: What is known without a warehouse.
        state: What the warehouse has counted.
        before: The document of an earlier build: what changed in the contracts since is noted.
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    about = metadata("lingokids")
    document: Json = {
        "format": FORMAT,
        "project": {
            "name": about["Name"],
            "version": about["Version"],
            "description": about["Summary"],
        },
        "built_at": instant(now),
        "environment": project.environment,
        "read_from": state.source,
        "tables": list(_tables(project, state)),
        "links": [link.as_json() for link in project.graph.links],
        "metrics": [_metric(name) for name in metrics.METRICS],
        "dimensions": [
            {"name": name, "meaning": each.meaning, "caveat": each.caveat}
            for name, each in DIMENSIONS.items()
        ],
        "parameters": list(_parameters(project)),
        "personal": {"not_kept": project.not_kept},
        "freshness": list(state.freshness(project.parameters.checks.now or now)),
        "runs": state.last_runs(),
        "quarantine": state.quarantine,
        "unknown_keys": list(state.keys_without_field(project.parameters.checks.known_keys)),
    }
    document["changes"] = _changes(before, document)
    return document


# --- tables ---------------------------------------------------------------------------------------


def _tables(project: Project, state: State) -> Iterator[Json]:
    reads, read_by, made_by = defaultdict(set), defaultdict(set), defaultdict(set)
    for link in project.graph.links:
        if link.source.table != link.target.table:
            reads[link.target.table].add(link.source.table)
            read_by[link.source.table].add(link.target.table)
            made_by[link.target.table].add(link.node)
    for name, table in project.graph.tables.items():
        if name == METRICS:
            continue
        contract = project.contract_of(name)
        rows, size = state.sizes.get(name, (None, None))
        makers = [project.nodes[node] for node in sorted(made_by[name] - {""})]
        yield {
            "name": name,
            "layer": table.layer,
            "meaning": _meaning(project, table, contract, makers),
            "grain": list(contract.grain) if contract else [],
            "owner": _owner(table, contract),
            "url": table.exposure["url"] if table.exposure else "",
            "audience": _audience(project, name, reads[name]),
            "note": table.note,
            "nodes": [
                {
                    "name": node.name,
                    "meaning": summary_of(node),
                    "sql": _sql(project.graph, node, name),
                }
                for node in makers
            ],
            "parameters": sorted(
                {
                    name.removeprefix("params:")
                    for node in makers
                    for name in node.inputs
                    if name.startswith("params:")
                }
            ),
            "reads": sorted(reads[name]),
            "read_by": sorted(read_by[name]),
            "columns": [_column(project, table, contract, column) for column in table.columns],
            "rules": list(_rules(project, state, name)),
            "rows": rows,
            "size_bytes": size,
            "written_at": instant(state.written_at.get(name)),
        }


def _meaning(
    project: Project, table: Table, contract: schema.Contract | None, makers: list[Node]
) -> str:
    if table.exposure:
        return table.exposure["meaning"]
    if contract and table.layer == "published":
        return f"{contract.meaning} In the lake, as a Delta table."
    if contract:
        return contract.meaning
    if dataset := project.entries.get(table.name, {}).get("dataset"):
        return f"The {dataset} as delivered: objects of JSON Lines."
    if not makers and (place := project.entries.get(table.name, {}).get("filepath")):
        return f"What an earlier run has left in {place.rpartition('/')[2]}."
    return " ".join(map(summary_of, makers)) or _MEANINGS.get(table.name, "")


def _sql(graph: Graph, node: Node, table_name: str) -> str:
    """What a node compiles to, of all its inputs.

    Left out is what ingestion files beside its table, long and made by no expression of the node,
    and the union of all metrics: each has its own on their page.
    """
    expression = graph.expressions.get((node.name, table_name))
    if expression is None or table_name not in node.outputs or table_name in METRICS_OF:
        return ""
    return str(ibis.to_sql(expression, dialect="duckdb"))


def _owner(table: Table, contract: schema.Contract | None) -> str:
    if table.exposure:
        return table.exposure["owner"]
    return contract.promise.owner if contract else schema.DATA_ENGINEERING


def _audience(project: Project, name: str, reads: Iterable[str] = ()) -> str:
    """Who may see it; without a contract, a file is drawn from what everyone may see.

    What is outside of the project shows what it reads.
    """
    contract = project.contract_of(name)
    if project.graph.tables[name].exposure:
        is_shareable = all(_audience(project, each) == "shareable" for each in reads)
    else:
        is_file = "filepath" in project.entries.get(name, {})
        is_shareable = contract.promise.is_shareable if contract else is_file
    return "shareable" if is_shareable else "restricted"


def _column(project: Project, table: Table, contract: schema.Contract | None, name: str) -> Json:
    dataset = project.entries.get(table.name, {}).get("dataset") if table.layer == "raw" else None
    by_path = {each.path: each.column for each in schema.FIELDS.get(dataset or "", ())}
    known = schema.COLUMNS.get(by_path.get(name, name))
    metric = metrics.METRICS.get(name)
    meaning = known.meaning if known else metric.formula if metric else _MEANINGS.get(name, "")
    types = contract.schema if contract else {}
    return {
        "name": name,
        "type": str(types[name].copy(nullable=True)) if name in types else "",
        "nullable": name not in contract.never_null if contract else True,
        "unit": known.unit if known else metric.unit if metric else "",
        "meaning": meaning,
        "personal": known.classification if known else schema.NONE,
    }


def _rules(project: Project, state: State, table_name: str) -> Iterator[Json]:
    if (contract := schema.STORED.get(table_name)) is None:
        return
    for rule in contract.rules:
        yield {
            "name": rule.name,
            "meaning": rule.meaning,
            "severity": project.parameters.checks.severity_of(table_name, rule),
            "tolerance": rule.tolerance,
            "each_run": contract.promise.each_run and rule.each_run and not rule.is_enforced,
            "enforced": rule.is_enforced,
            **state.checked(table_name, rule),
        }


# --- metrics and parameters -----------------------------------------------------------------------


def _metric(name: str) -> Json:
    metric = metrics.METRICS[name]
    subject = metric.subject
    by = subject.dimensions[0]
    rows = ibis.table(schema.CONTRACTS[subject.table_name].nullable_schema, subject.table_name)
    groups = query.answer(rows, query.Question((name,), by=(by,)))
    return {
        "name": name,
        "kind": kind_of(metric),
        "subject": subject.name,
        "table": subject.table_name,
        "counts": subject.counts,
        "day": subject.day,
        "formula": metric.formula,
        "unit": metric.unit,
        "owner": metric.owner,
        "caveat": metric.caveat,
        "dimensions": list(subject.dimensions),
        "command": f"uv run kedro metrics --restricted --metric {name} --by {by}",
        "sql": str(ibis.to_sql(groups, dialect="duckdb")),
    }


def _parameters(project: Project) -> Iterator[Json]:
    text = project.defaults.read_text(encoding="utf-8")
    meanings, defaults = _comments(text), yaml.safe_load(text)
    users = defaultdict(set)
    for node in project.nodes.values():
        for name in node.inputs:
            if name.startswith("params:"):
                users[name.removeprefix("params:")].add(node.name)
    in_use = {name: value for name, _accepts, value in _leaves(Parameters, project.given)}
    for name, accepts, default in _leaves(Parameters, defaults):
        groups = [name[: match.end()] for match in re.finditer(r"\w+", name)]
        meaning = next((meanings[each] for each in reversed(groups) if meanings.get(each)), "")
        yield {
            "name": name,
            "meaning": meaning,
            "accepts": accepts,
            "default": default,
            "value": in_use[name],
            "nodes": sorted(set().union(*(users[each] for each in groups))),
        }


def _leaves(
    group: type[Group], values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, Any]]:
    """Each parameter by its whole name: what it takes, and its value, as JSON has it."""
    for name, each in group.model_fields.items():
        inner, given = each.annotation, values.get(name)
        if isinstance(inner, type) and issubclass(inner, Group):
            yield from _leaves(inner, given or {}, f"{prefix}{name}.")
        else:
            is_plain = given is None or isinstance(given, int | float | str)
            yield f"{prefix}{name}", each.description or "", given if is_plain else str(given)


def _comments(text: str) -> dict[str, str]:
    """What the lines above each parameter say of it."""
    said: dict[str, str] = {}
    path: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.strip(" #"))
        elif named := re.match(r"( *)(\w+):", line):
            path = [*path[: len(named[1]) // 2], named[2]]
            said[".".join(path)] = " ".join(lines)
            lines = []
        else:
            lines = []
    return said


# --- changes --------------------------------------------------------------------------------------


def _changes(before: Json | None, document: Json) -> list[Json]:
    """What changed in contracts since an earlier build, after what that one noted."""
    if before is None or before.get("format") != FORMAT:
        return []
    old, new = _promises(before), _promises(document)
    found = [
        {"at": document["built_at"], "version": document["project"]["version"]}
        | {"table": table, "column": column, "was": old.get(key), "is": new.get(key)}
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        for table, column in [key]
    ]
    return [*found, *before["changes"]][:_MOST_CHANGES]


def _promises(document: Json) -> dict[tuple[str, str], str]:
    """What is promised of each column, and of a table's grain ("")."""
    promised = {}
    for table in document["tables"]:
        if table["grain"] and table["layer"] != "published":
            promised[table["name"], ""] = f"grain: {', '.join(table['grain'])}"
            for column in table["columns"]:
                promised[table["name"], column["name"]] = ", ".join(
                    filter(
                        None,
                        (
                            column["type"],
                            "" if column["nullable"] else "NOT NULL",
                            column["unit"],
                            "" if column["personal"] == schema.NONE else column["personal"],
                        ),
                    )
                )
    return promised
