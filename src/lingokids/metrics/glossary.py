"""The glossary: every metric, dimension and period, in Markdown."""

from __future__ import annotations

from lingokids.metrics.definitions import METRICS
from lingokids.metrics.dimensions import DIMENSIONS, GRAINS
from lingokids.metrics.kinds import Measure, Metric, Rate, UserCount
from lingokids.metrics.subjects import SUBJECTS, Subject
from lingokids.schema.dictionary import markdown_table

_HEAD = """\
# Glossary of the metrics

Generated from the definitions in this folder by `uv run kedro metrics --glossary`: edit those, then
regenerate this page.

Each metric belongs to one of four subjects, and each subject to one gold table. A question is about
metrics of one subject.
"""

_ADDING_UP = """\
A measure is additive: over days and over dimensions. A count, and a user count (distinct users), is
computed for each group; the caveat says which are additive as well. A rate is computed last, from
its aggregated numerator and denominator, and is NULL where the denominator is 0.
"""

_SMALL_GROUPS = """\
## Small groups

The app's users are families with children. What is shared (dashboard, charts, `kedro metrics`) is
of closed weeks, and without a group of fewer distinct users than the parameter `smallest_group`, or
of which one user has more than `largest_share` of anything summed. So that a total does not reveal
it, the next smallest of the groups that add up to the total is hidden too, until what is hidden
beside each other is neither few users' nor one's. A row with a user count (such as retained users)
of 1 or more but below `smallest_group` is hidden too.

`kedro metrics --restricted` and notebooks hide nothing. The page of `query` says what is not
protected, and why.
"""


def glossary() -> str:
    """Render the page."""
    return "\n".join(
        [
            _HEAD,
            "## Metrics\n",
            _ADDING_UP,
            *(part for subject in SUBJECTS for part in _metrics_of(subject)),
            "## Dimensions\n",
            markdown_table(
                ("Dimension", "Meaning", "Caveat"),
                [
                    (f"`{name}`", dimension.meaning, dimension.caveat)
                    for name, dimension in DIMENSIONS.items()
                ],
            ),
            "## Periods\n",
            markdown_table(
                ("Grain", "One row is"),
                [(f"`{name}`", grain.meaning) for name, grain in GRAINS.items()],
            ),
            "A period is identified by its first day, in a column named after the grain.\n",
            _SMALL_GROUPS,
        ]
    )


def _metrics_of(subject: Subject) -> list[str]:
    return [
        f"### {subject.name.capitalize()}\n",
        f"From `{subject.table_name}`. {subject.counts} The day is the {subject.day}. Dimensions: "
        f"{', '.join(f'`{name}`' for name in subject.dimensions)}.\n",
        markdown_table(
            ("Metric", "Kind", "Formula", "Unit", "Owner", "Caveat"),
            [
                (
                    *(f"`{name}`", kind_of(metric), metric.formula),
                    *(metric.unit, metric.owner, metric.caveat),
                )
                for name, metric in METRICS.items()
                if metric.subject is subject
            ],
        ),
    ]


def kind_of(metric: Metric) -> str:
    """The kind of a metric, in words."""
    kinds = {Measure: "measure", UserCount: "user count", Rate: "rate"}
    return kinds.get(type(metric), "count")
