"""The dashboard: one self-contained HTML file, from the template in ``page/``.

The page has precomputed answers that may be shown, not the data behind them: a filter chooses among
them. It makes no network requests; its content security policy forbids them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from lingokids import metrics, query, schema
from lingokids.pipelines.reporting import charts

if TYPE_CHECKING:
    import pyarrow as pa
    from plotly.graph_objects import Figure

#: Decimal places of the numbers in the page.
_DIGITS = 4
_DEFINITION = ("formula", "unit", "owner", "caveat")

_SHOWN = query.SHARED["activity"]

_ANSWERS = {
    "q1": schema.Q1_COMPLETION_RATE,
    "q2": schema.Q2_PRICE_TIER_ENGAGEMENT,
    "q3": schema.Q3_SUBSCRIPTION_IMPACT,
}


def lay_out(
    shown: pa.Table,
    hidden: pa.Table,
    activity_names: pa.Table,
    figures: dict[str, Figure],
    limits: dict[str, float],
) -> str:
    """Render the page.

    Args:
        shown: ``Suppression.shown``.
        hidden: ``Suppression.hidden``.
        activity_names: The titles of activities.
        figures: The charts that no filter changes, by their place in the page.
        limits: The parameters of suppression, for the notes.
    """
    from plotly.offline import get_plotlyjs

    answers = _by_split(shown, ["week", "value_1", "value_2"], list(_SHOWN))
    activities = {row[1] for row in answers.get("activity_id", [])}
    content = {
        **limits,
        "time_zones": [*dict.fromkeys(zone or "UTC" for zone in shown["time_zone"].to_pylist())],
        "metrics": {
            name: {part: getattr(metrics.METRICS[name], part) for part in _DEFINITION}
            for name in _SHOWN
        },
        "dimensions": {
            name: {"meaning": dimension.meaning, "caveat": dimension.caveat}
            for name, dimension in metrics.DIMENSIONS.items()
        },
        "answers": answers,
        "hidden": _by_split(hidden, ["week", "filter_name", "filter_value"], ["groups"]),
        "activities": {
            row["activity_id"]: row["activity_name"]
            for row in activity_names.to_pylist()
            if row["activity_id"] in activities
        },
        "look": json.loads(charts.blank("").to_json())["layout"],
        "figures": {place: json.loads(figure.to_json()) for place, figure in figures.items()},
        "meanings": {
            place: {
                "meaning": contract.meaning,
                "columns": {name: schema.COLUMNS[name].comment for name in contract.columns},
            }
            for place, contract in _ANSWERS.items()
        },
    }
    return Template(_read("page.html")).substitute(
        style=_read("page.css"),
        plotly=get_plotlyjs(),
        content=_as_json(content),
        script=_read("page.js"),
    )


def _by_split(rows: pa.Table, keys: list[str], numbers: list[str]) -> dict[str, list[list[Any]]]:
    """Rows (keys, then numbers) by answer: its dimensions, joined with bars."""
    answers: dict[str, list[list[Any]]] = {}
    for row in rows.to_pylist():
        names = "|".join(row[f"name_{n}"] for n in (1, 2) if row[f"name_{n}"] is not None)
        values = [str(row[key]) for key in keys if row[key] is not None]
        answers.setdefault(names, []).append([*values, *(_short(row[name]) for name in numbers)])
    return answers


def _short(number: int | float | Decimal | None) -> int | float | None:
    return round(float(number), _DIGITS) if isinstance(number, float | Decimal) else number


def _as_json(content: dict[str, Any]) -> str:
    """JSON that cannot close the script element around it, whatever a value contains."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
