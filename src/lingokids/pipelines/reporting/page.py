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

import pyarrow.compute as pc

from lingokids import metrics, query, schema
from lingokids.metrics.kinds import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lingokids.query.side_by_side import Suppression

#: In the order in which they are run, as one.
_SCRIPTS = ("answers", "tables", "cards", "page")

#: Of other metrics the page has numerator and denominator.
_NUMBERS = {
    subject: [name for name in names if not isinstance(metrics.METRICS[name], Rate)]
    for subject, names in query.SHARED.items()
}
#: The answers to the questions of the exercise: what names a bar, and what is drawn as bars.
_QUESTIONS = {
    "q1": (schema.Q1_COMPLETION_RATE, "theme", ("completion_percentage",)),
    "q2": (schema.Q2_PRICE_TIER_ENGAGEMENT, "price_tier", ("average_time_spent",)),
    "q3": (
        schema.Q3_SUBSCRIPTION_IMPACT,
        "platform",
        ("average_completed_before", "average_completed_after"),
    ),
}


def lay_out(
    groups: Suppression,
    activity_names: pa.Table,
    answers: dict[str, pa.Table],
    last_run: dict[str, Any],
    limits: dict[str, float],
) -> str:
    """Render the page.

    Args:
        groups: What may be shown, and the number of hidden groups.
        activity_names: The titles of activities.
        answers: To the questions of the exercise, ``q1`` to ``q3``.
        last_run: The run that the page is of: see ``LastRunDataset``.
        limits: The parameters of suppression, for the notes.
    """
    subjects: dict[str, dict[str, Any]] = {
        name: {
            "numbers": numbers,
            "time_zones": _time_zones(_of(name, groups.shown)),
            "answers": _by_split(_of(name, groups.shown), ["week", "value_1", "value_2"], numbers),
            "hidden": _by_split(
                _of(name, groups.hidden), ["week", "filter_name", "filter_value"], ["groups"]
            ),
        }
        for name, numbers in _NUMBERS.items()
    }
    activities = {row[1] for row in subjects["activity"]["answers"].get("activity_id", [])}
    content = {
        **limits,
        "run": last_run,
        "subjects": subjects,
        "metrics": {name: _definition(name) for names in query.SHARED.values() for name in names},
        "dimensions": {
            name: {"meaning": dimension.meaning, "caveat": dimension.caveat}
            for name, dimension in metrics.DIMENSIONS.items()
        },
        "activities": {
            row["activity_id"]: row["activity_name"]
            for row in activity_names.to_pylist()
            if row["activity_id"] in activities
        },
        "questions": {
            place: {
                "meaning": contract.meaning,
                "key": key,
                "columns": {name: schema.COLUMNS[name].comment for name in columns},
                "rows": [
                    [row[key], *(_number(row[name]) for name in columns)]
                    for row in answers[place].to_pylist()
                ],
            }
            for place, (contract, key, columns) in _QUESTIONS.items()
        },
    }
    return Template(_read("page.html")).substitute(
        style=_read("page.css"),
        d3=_read("vendored", "d3-7.9.2.min.js"),
        plot=_read("vendored", "plot-0.6.17.min.js"),
        content=_as_json(content),
        script="\n".join(_read(f"{name}.js") for name in _SCRIPTS),
    )


def _definition(name: str) -> dict[str, Any]:
    metric = metrics.METRICS[name]
    parts = ("formula", "unit", "owner", "caveat")
    quotient = {"quotient": metric.parts} if isinstance(metric, Rate) else {}
    return {part: getattr(metric, part) for part in parts} | quotient


def _time_zones(rows: pa.Table) -> list[str]:
    """The zones that days of weeks are counted in, one after the other."""
    zones = rows.sort_by("week")["time_zone"].to_pylist() if rows.num_rows else []
    return [*dict.fromkeys(zone or "UTC" for zone in zones)]


def _of(subject: str, rows: pa.Table) -> pa.Table:
    return rows.filter(pc.field("subject") == subject) if rows.num_rows else rows


def _by_split(
    rows: pa.Table, keys: Sequence[str], numbers: Sequence[str]
) -> dict[str, list[list[Any]]]:
    """Rows (keys, then numbers) by answer: its dimensions, joined with bars."""
    answers: dict[str, list[list[Any]]] = {}
    for row in rows.to_pylist():
        names = "|".join(row[f"name_{n}"] for n in (1, 2) if row[f"name_{n}"] is not None)
        values = [str(row[key]) for key in keys if row[key] is not None]
        answers.setdefault(names, []).append([*values, *(_number(row[name]) for name in numbers)])
    return answers


def _number(number: int | float | Decimal | None) -> int | float | None:
    return float(number) if isinstance(number, Decimal) else number


def _as_json(content: dict[str, Any]) -> str:
    """JSON that cannot close the script element around it, whatever a value contains."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _read(*names: str) -> str:
    return resources.files(__package__).joinpath("page", *names).read_text(encoding="utf-8")
