"""The glossary: what every metric, dimension and period means, as a page made of the definitions.

Here: the page's words and layout. Elsewhere: the definitions themselves (``definitions``), the
meaning of a column (``contracts``).
"""

from __future__ import annotations

from lingokids import contracts
from lingokids.metrics.definitions import DIMENSIONS, GRAINS, METRICS, HeadCount, Measure, Metric

_HEAD = """\
# Glossary of the metrics

Made of `definitions.py` by `uv run kedro metrics --glossary`: change them there, and print this
page anew.

Every answer comes from the gold table `user_activity_daily`, by `answer.py`. What counts are
activities that users left (`activity_exit`), each event once, by its last delivery.
"""

_ADDING_UP = """\
A measure is additive: days add up to weeks, slices to the whole. A head count is counted anew for
each group. A rate is taken last, from its parts added up, and is empty where there is nothing to
divide by.
"""

_SMALL_GROUPS = """\
## Small groups

The app's users are families with children. A group with fewer different users than the parameter
`smallest_group` is not shown, in no format; the answer says how many are not. So that it cannot be
worked out from a total either, each line of groups along one dimension that hides only such
groups, or only one group, hides its next smallest too. A filter hides what a split would hide, and
several values together are hidden where one that is hidden alone could be worked out from them.

What this does not do: answers to different spans of days, to several lists of values, or to splits
by different dimensions can still be set against each other. The gold tables themselves are not
filtered, and `user_activity_daily` has user ids: whoever may open the file may see everyone.
"""


def glossary() -> str:
    """The page, in Markdown."""
    return "\n".join(
        [
            _HEAD,
            "## Metrics\n",
            _table(
                ("Metric", "Is", "Formula", "Unit", "Owner", "Caveat"),
                [
                    (
                        *(f"`{name}`", _kind(metric), metric.formula),
                        *(metric.unit, metric.owner, metric.caveat),
                    )
                    for name, metric in METRICS.items()
                ],
            ),
            _ADDING_UP,
            "## Dimensions\n",
            _table(
                ("Dimension", "Meaning", "Caveat"),
                [
                    (f"`{name}`", contracts.COLUMNS[name].meaning, caveat)
                    for name, caveat in DIMENSIONS.items()
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


def _kind(metric: Metric) -> str:
    if isinstance(metric, Measure):
        return "measure"
    return "head count" if isinstance(metric, HeadCount) else "rate"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
