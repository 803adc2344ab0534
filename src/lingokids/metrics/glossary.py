"""The glossary: what every metric, dimension and period means, as a page made of the definitions.

Here: the page's words and layout. Elsewhere: the definitions themselves (``definitions``), the
meaning of a column (``schema``).
"""

from __future__ import annotations

from lingokids.metrics.definitions import METRICS
from lingokids.metrics.dimensions import DIMENSIONS, GRAINS
from lingokids.metrics.kinds import Measure, Metric, Rate, UserCount
from lingokids.metrics.subjects import SUBJECTS, Subject

_HEAD = """\
# Glossary of the metrics

Made of `definitions.py` by `uv run kedro metrics --glossary`: change them there, and print this
page anew.

Metrics are about one of four subjects, each answered from one gold table, by `answer.py`. A
question asks for metrics of one subject.
"""

_ADDING_UP = """\
A measure is additive: days add up to weeks, slices to the whole. A count and a head count (of
different users) are worked out anew for each group; the caveat says which are additive all the
same. A rate is taken last, from its parts added up, and is empty where there is nothing to divide
by.
"""

_SMALL_GROUPS = """\
## Small groups

The app's users are families with children. A group with fewer different users than the parameter
`smallest_group` is not shown, in no format; the answer says how many are not. So that it cannot be
worked out from a total either, each line of groups along one dimension that hides only such
groups, or only one group, hides its next smallest too. A filter hides what a split would hide, and
several values together are hidden where one that is hidden alone could be worked out from them.
A row with a head count of 1 or more but fewer than `smallest_group`, such as of the users retained,
is hidden too, and one of new or returning users where either is so few.

What this does not do: who is not counted (a cohort less those retained) may be few, and answers to
different spans of days, to several lists of values, or to splits by different dimensions can still
be set against each other. The gold tables themselves are not
filtered, and `user_activity_daily` and `user_journeys` have user ids: whoever may open the file may
see everyone.
"""


def glossary() -> str:
    """The page, in Markdown."""
    return "\n".join(
        [
            _HEAD,
            "## Metrics\n",
            _ADDING_UP,
            *(part for subject in SUBJECTS for part in _metrics_of(subject)),
            "## Dimensions\n",
            _table(
                ("Dimension", "Meaning", "Caveat"),
                [
                    (f"`{name}`", dimension.meaning, dimension.caveat)
                    for name, dimension in DIMENSIONS.items()
                ],
            ),
            "## Periods\n",
            _table(
                ("Grain", "One row is"),
                [(f"`{name}`", grain.meaning) for name, grain in GRAINS.items()],
            ),
            "A period is named by its first day, in a column called as the grain.\n",
            _SMALL_GROUPS,
        ]
    )


def _metrics_of(subject: Subject) -> list[str]:
    """What a subject is, and its metrics."""
    return [
        f"### About {subject.name}\n",
        f"From `{subject.table_name}`. {subject.counts} The day is the {subject.day}. Dimensions: "
        f"{', '.join(f'`{name}`' for name in subject.dimensions)}.\n",
        _table(
            ("Metric", "Is", "Formula", "Unit", "Owner", "Caveat"),
            [
                (
                    *(f"`{name}`", _kind(metric), metric.formula),
                    *(metric.unit, metric.owner, metric.caveat),
                )
                for name, metric in METRICS.items()
                if metric.subject is subject
            ],
        ),
    ]


def _kind(metric: Metric) -> str:
    kinds = {Measure: "measure", UserCount: "head count", Rate: "rate"}
    return kinds.get(type(metric), "count")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
