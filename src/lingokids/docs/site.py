"""Lays the document out: pages from the templates in ``pages/``, and what their search finds.

No page asks the network for anything; its content security policy forbids it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lingokids import schema
from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED
from lingokids.docs import drawing
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import METRICS, Column, Graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lingokids.docs.state import Json

NAVIGATION = (
    ("index.html", "Overview"),
    ("lineage.html", "Lineage"),
    ("metrics.html", "Metrics"),
    ("rules.html", "Rules"),
    ("quality.html", "Quality"),
    ("runs.html", "Runs"),
    ("privacy.html", "Personal data"),
    ("parameters.html", "Parameters"),
)
_AS_THEY_ARE = ("site.css", "site.js", "catalog.schema.json")
_DASHBOARD = "dashboard"
_VERDICTS = (FAILED, WARNED, HELD, SKIPPED)
ENFORCED, UNCHECKED = "enforced", "unchecked"
_LAYERS = {
    "raw": "what is delivered",
    "bronze": "every usable line, as delivered, and what was set aside",
    "silver": "typed, one row per event, user and activity; joined",
    "gold": "metrics and answers",
    "published": "the same as Delta tables, for other engines",
    "answer": "rows that charts are drawn from, small groups hidden",
    "file": "charts and the dashboard",
    "exposure": "dashboards, exports and applications outside of the project",
    "memory": "handed from node to node, in no file",
    "run": "what runs and checks keep about themselves",
}
_KINDS = {
    "copied": "the value as it is",
    "computed": "from it, row by row",
    "windowed": "from it and rows beside it",
    "aggregated": "from it over many rows",
}


def site(document: Json, graph: Graph, *, has_graph: bool = False) -> dict[str, str]:
    """Every file of the site by its path; ``has_graph``: that of kedro-viz is beside them."""
    templates = Environment(
        loader=PackageLoader("lingokids", "docs/pages"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters |= {
        "thousands": "{:,}".format,
        "bytes": _bytes,
        "anchor": anchor,
        "page": page,
        "place": lambda end: place(end["table"], end["column"]),
        "name": lambda end: _name(graph, end["table"], end["column"]),
        "parameter": lambda name: _parameter(document, name),
        "code": _code,
    }
    worst = {table["name"]: _worst(table["rules"]) for table in document["tables"]}
    templates.globals |= {
        "doc": document,
        "navigation": NAVIGATION,
        "worst": worst,
        "verdicts": _verdicts(document),
        "has_graph": has_graph,
    }

    def render(template: str, title: str, root: str = "", **content: Any) -> str:
        return templates.get_template(template).render(
            title=title, root=root, here=template, **content
        )

    pages = {
        name: render(name, title, **_content_of(name, document, worst))
        for name, title in NAVIGATION
    }
    tables = {
        page(table["name"]): render(
            "table.html", table["name"], "../", table=table, lineage=_lineages(graph, table)
        )
        for table in document["tables"]
    }
    source = resources.files("lingokids.docs") / "pages"
    return {
        **pages,
        **tables,
        **{name: (source / name).read_text(encoding="utf-8") for name in _AS_THEY_ARE},
        "catalog.json": json.dumps(document, indent=1, ensure_ascii=False),
        "search.js": f"window.SEARCH = {json.dumps([*_findable(document)], ensure_ascii=False)};",
        "lineage.js": f"window.LINEAGE = {json.dumps(_steps(document), ensure_ascii=False)};",
    }


def _content_of(name: str, document: Json, worst: dict[str, str]) -> Json:
    """What one page has besides the document."""
    tables = document["tables"]
    match name:
        case "index.html":
            layers = [(layer, [t for t in tables if t["layer"] == layer]) for layer in _LAYERS]
            return {
                "layers": [(layer, of) for layer, of in layers if of],
                "layer_meanings": _LAYERS,
                "column_count": sum(len(table["columns"]) for table in tables),
                "rule_count": sum(len(table["rules"]) for table in tables),
                "map": _map(document, worst),
            }
        case "lineage.html":
            return {"kinds": _KINDS}
        case "metrics.html":
            subjects = defaultdict(list)
            for metric in document["metrics"]:
                subjects[metric["subject"]].append(metric)
            least = next(p for p in document["parameters"] if p["name"] == "smallest_group")
            return {"subjects": [*subjects.items()], "smallest_group": least["value"]}
        case "rules.html":
            order = [*_VERDICTS, ""]
            ruled = [table for table in tables if table["rules"]]
            return {
                "ruled": sorted(ruled, key=lambda table: order.index(worst[table["name"]])),
                "verdict_names": [*_VERDICTS, ENFORCED, UNCHECKED],
            }
        case "privacy.html":
            return {"classes": [*_classes(tables)]}
    return {"names": {table["name"] for table in tables}}


# --- addresses ------------------------------------------------------------------------------------


def page(table_name: str) -> str:
    """The page of a table, or of the metrics."""
    return "metrics.html" if table_name == METRICS else f"tables/{table_name}.html"


def anchor(name: str) -> str:
    """The id of what is on a page; those of the page itself have a hyphen, which no name has."""
    return "the-rows" if name == ROWS else name.replace(" ", "-")


def place(table_name: str, column: str) -> str:
    """Where a column is explained."""
    return f"{page(table_name)}#{quote(anchor(column))}"


def _parameter(document: Json, name: str) -> str:
    """Where a parameter, or the first of a group, is explained."""
    names = [each["name"] for each in document["parameters"]]
    found = next((each for each in names if each == name or each.startswith(f"{name}.")), name)
    return f"parameters.html#{anchor(found)}"


# --- words ----------------------------------------------------------------------------------------


def _name(graph: Graph, table_name: str, column: str) -> str:
    if table_name == METRICS:
        return column
    if column != ROWS:
        return f"{table_name}.{column}"
    return f"rows of {table_name}" if graph.tables[table_name].columns else table_name


def _code(text: str) -> Markup:
    """A text whose names stand between backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _bytes(count: float) -> str:
    units = ["bytes", "KiB", "MiB", "GiB"]
    while count >= 1024 and units[1:]:
        count /= 1024
        units.pop(0)
    return f"{count:,.0f} {units[0]}"


def _worst(rules: Iterable[Json]) -> str:
    found = {rule["last"]["verdict"] for rule in rules if rule["last"]}
    return next((verdict for verdict in _VERDICTS if verdict in found), "")


def _verdicts(document: Json) -> Counter[str]:
    return Counter(
        rule["last"]["verdict"] if rule["last"] else ENFORCED if rule["enforced"] else UNCHECKED
        for table in document["tables"]
        for rule in table["rules"]
    )


def _classes(tables: list[Json]) -> Iterator[tuple[str, list[tuple[str, str, list[Json]]]]]:
    """By what columns say of a person: each column, its meaning, and where it is."""
    found: defaultdict[str, dict[str, tuple[str, str, list[Json]]]] = defaultdict(dict)
    for table in tables:
        if table["layer"] not in ("raw", "published"):
            for column in table["columns"]:
                name = column["name"]
                of_class = found[column["personal"]]
                entry = of_class.setdefault(name, (name, column["meaning"], []))
                entry[2].append({"table": table["name"], "column": name})
    for name in (schema.IDENTIFIER, schema.FREE_TEXT, schema.QUASI_IDENTIFIER):
        yield name, [found[name][column] for column in sorted(found[name])]


# --- lineage --------------------------------------------------------------------------------------


def _lineages(graph: Graph, table: Json) -> dict[str, Json]:
    """The lineage of each column of a table, and of its rows, where there is any."""
    found = {}
    for name in (*(column["name"] for column in table["columns"]), ROWS):
        column = Column(table["name"], name)
        up, down = graph.up(column), graph.down(column)
        lineage = {
            "sources": [link.as_json() for link in up.values if link.target == column],
            "targets": [link.as_json() for link in down.values if link.source == column],
            "origins": _far(link.source for link in up.values if _is(graph, link.source, "raw")),
            "ends": _far(
                link.target
                for link in down.values
                if _is(graph, link.target, "metric", "file", "exposure")
            ),
            "deciding": _by_kind(
                (link.kind, link.source) for link in up.influence if link.target == column
            ),
            "decided": _by_kind((link.kind, link.target) for link in down.influence),
        }
        if any(lineage.values()):
            found[name] = lineage
    return found


def _is(graph: Graph, column: Column, *layers: str) -> bool:
    return graph.tables[column.table].layer in layers


def _far(columns: Iterable[Column]) -> list[Json]:
    return [column._asdict() for column in dict.fromkeys(columns)]


def _by_kind(found: Iterable[tuple[str, Column]]) -> dict[str, list[Json]]:
    kinds: defaultdict[str, list[Json]] = defaultdict(list)
    for kind, column in found:
        kinds[kind].append(column._asdict())
    return {kind: kinds[kind] for kind in sorted(kinds)}


def _steps(document: Json) -> Json:
    """What the picture of the lineage is drawn from: tables, and links by their numbers."""
    tables = {
        table["name"]: {
            "layer": table["layer"],
            "page": page(table["name"]),
            "columns": [column["name"] for column in table["columns"]],
        }
        for table in document["tables"]
    }
    names = [metric["name"] for metric in document["metrics"]]
    tables[METRICS] = {"layer": "metric", "page": page(METRICS), "columns": names}
    links = [
        [
            *(link["source"]["table"], link["source"]["column"]),
            *(link["target"]["table"], link["target"]["column"]),
            *(link["kind"], link["node"]),
        ]
        for link in document["links"]
    ]
    return {"tables": tables, "links": links, "of_values": [*_KINDS]}


# --- map and search -------------------------------------------------------------------------------


def _map(document: Json, worst: dict[str, str]) -> Json:
    tables = {table["name"]: table for table in document["tables"]}
    layers = {
        layer: [name for name, table in tables.items() if table["layer"] == layer]
        for layer in ("raw", "bronze", "silver", "gold")
    }
    layers |= {"metric": [METRICS], "file": [_DASHBOARD]}
    reads: defaultdict[str, set[str]] = defaultdict(set)
    for link in document["links"]:
        reads[link["target"]["table"]].add(link["source"]["table"])
    shown = [name for names in layers.values() for name in names]
    labels = {METRICS: f"{len(document['metrics'])} metrics"}
    placed = drawing.place(layers, drawing.contracted(reads, shown), labels)
    about = {"raw": "as delivered", "metric": "the glossary", "file": "for readers"}
    boxes = [
        vars(box)
        | {
            "label": labels.get(box.name, box.name),
            "meaning": tables[box.name]["meaning"] if box.name in tables else "the glossary",
            "rows": tables[box.name]["rows"] if box.name in tables else None,
            "about": about.get(box.layer, ""),
            "verdict": worst.get(box.name, ""),
        }
        for box in placed.boxes
    ]
    return vars(placed) | {"boxes": boxes}


def _findable(document: Json) -> Iterator[tuple[str, str, str, str]]:
    """What the search finds: kind, name, what it is, address."""
    for table in document["tables"]:
        name = table["name"]
        yield "table", name, table["meaning"], page(name)
        if table["layer"] != "published":  # which has the columns of its table
            for column in table["columns"]:
                found = f"{name}.{column['name']}"
                yield "column", found, column["meaning"], place(name, column["name"])
        for rule in table["rules"]:
            address = f"rules.html#{name}.{rule['name']}"
            yield "rule", f"{name}.{rule['name']}", rule["meaning"], address
    for metric in document["metrics"]:
        yield "metric", metric["name"], metric["formula"], place(METRICS, metric["name"])
    for each in document["dimensions"]:
        yield "dimension", each["name"], each["meaning"], f"metrics.html#{anchor(each['name'])}"
    for each in document["parameters"]:
        yield "parameter", each["name"], each["meaning"], _parameter(document, each["name"])
