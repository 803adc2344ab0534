"""Answers that a reader holds side by side, such as those behind a page with filters.

Here: groups of many answers worked out at once, and which of them must go so that none that is
hidden can be worked out by setting two answers against each other. Elsewhere: which groups of one
answer are hidden (``small_groups``), what a metric is (``definitions``).

One answer hides enough for its own totals. A second one may still tell: a week that one answer
hides is the sum of its days in another. So each group is looked at with its *parts*, the groups
that another answer splits it into, until

* a group that is shown has no part that its other parts would give away (the rule of one answer),
* a group that is hidden has a hidden part, or its parts would add up to it,
* a group that has one part only is hidden if and only if that part is.

So one subtraction tells nothing. What longer sums of many answers may tell is not looked at; the
README of the reporting pipeline says how much that is on the sample.
"""

from __future__ import annotations

import datetime
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from lingokids.metrics.definitions import METRICS, parts_of
from lingokids.metrics.dimensions import GRAINS
from lingokids.metrics.kinds import Count, Rate
from lingokids.metrics.subjects import ACTIVITY, UNKNOWN
from lingokids.query.answer import add_rates, add_up
from lingokids.query.small_groups import hide_small_groups, needs_secondary_suppression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

#: How many names a group may have: a period and two dimensions.
MOST_NAMES = 3

#: The metrics shown side by side: those that rows of ``USER_ACTIVITY_DAILY`` give as they are.
SHOWN = tuple(
    name
    for name, metric in METRICS.items()
    if metric.subject is ACTIVITY
    and not any(isinstance(part, Count) and part.needs for part in parts_of([name]).values())
)

_PARTS = parts_of(SHOWN)
_NAMES = tuple(f"name_{place}" for place in range(1, MOST_NAMES + 1))
_VALUES = tuple(f"value_{place}" for place in range(1, MOST_NAMES + 1))
_COLUMNS = tuple(column for pair in zip(_NAMES, _VALUES, strict=True) for column in pair)

#: The periods that a period is part of: a week is not part of a month.
_PERIOD_ABOVE = {"day": "week"}


def measure_side_by_side(
    user_activity_daily: ir.Table, splits: Iterable[tuple[str, ...]], smallest_group: int
) -> ir.Table:
    """Work out every group of every split, and which are hidden in the answer to it alone.

    Grain: one row per split and combination of its values.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        splits: Names of dimensions and at most one time grain, for each answer.
        smallest_group: The parameter: groups of fewer users are not shown.

    Returns:
        ``name_1``, ``value_1`` … by name, NULL beyond the names of the split; ``SHOWN``;
        ``is_hidden``. What is hidden has its numbers all the same: never write them anywhere.
    """
    by_length: dict[int, list[ir.Table]] = defaultdict(list)
    for split in splits:
        by_length[len(split)].append(_groups_of(user_activity_daily, tuple(sorted(split))))
    judged = [
        # rates and judgement once for all answers of as many names: the query is far shorter
        hide_small_groups(
            add_rates(ibis.union(*groups), _PARTS), _VALUES[:length], smallest_group, within=_NAMES
        )
        for length, groups in by_length.items()
    ]
    return ibis.union(*judged).select(*_COLUMNS, *SHOWN, "is_hidden")


def _groups_of(user_activity_daily: ir.Table, split: tuple[str, ...]) -> ir.Table:
    keys = {
        name: GRAINS[name].first_day(user_activity_daily["date"])
        if name in GRAINS
        else user_activity_daily[name].fill_null(UNKNOWN)
        for name in split
    }
    named = dict(zip(_NAMES, split, strict=False))
    values = dict(zip(_VALUES, split, strict=False))
    groups = add_up(user_activity_daily.mutate(**keys), split, _PARTS)
    return groups.select(
        **{
            column: ibis.literal(named.get(column), type="string")
            if column in _NAMES
            else (groups[values[column]] if column in values else ibis.null()).cast("string")
            for column in _COLUMNS
        },
        **{name: groups[name] for name, part in _PARTS.items() if not isinstance(part, Rate)},
        users=groups.users,
    )


# --- hide --------------------------------------------------------------------------------


@dataclass(eq=False)
class _Group:
    """One group of one answer, and the lines it stands in."""

    key: tuple[tuple[str, str], ...]
    users: int
    is_hidden: bool
    lines: list[_Line] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.key)

    @property
    def place(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """The smallest comes first; between equals the name decides."""
        return self.users, self.key


@dataclass(eq=False)
class _Line:
    """A group, and the parts that another answer splits it into."""

    whole: _Group
    parts: list[_Group] = field(default_factory=list)

    def next_to_hide(self, smallest_group: int) -> _Group | None:
        """The group that must go so that this line gives nothing away, if one must."""
        hidden = [part for part in self.parts if part.is_hidden]
        shown = [part for part in self.parts if not part.is_hidden]
        if len(self.parts) == 1:
            only = self.parts[0]
            if only.is_hidden == self.whole.is_hidden:
                return None
            return self.whole if only.is_hidden else only
        if not shown:
            return None
        if self.whole.is_hidden:
            tells = not hidden
        else:
            most_users = max((part.users for part in hidden), default=0)
            tells = needs_secondary_suppression(len(hidden), most_users, smallest_group)
        return min(shown, key=lambda part: part.place) if tells else None


class Suppression(NamedTuple):
    """The groups that may be shown side by side, and how many may not.

    Attributes:
        shown: The rows of ``measure_side_by_side`` that may be shown, without ``is_hidden``.
        hidden: One row per split and value that it may be filtered by (``filter_name``,
            ``filter_value``; NULL: unfiltered): how many ``groups`` are hidden there.
    """

    shown: pa.Table
    hidden: pa.Table


def hide_side_by_side(groups: pa.Table, smallest_group: int) -> Suppression:
    """Leave out the groups that are hidden, and those that would give one away.

    It goes on until nothing more must go, which no query of a fixed length can do: hence rows.

    Args:
        groups: ``measure_side_by_side``, worked out.
        smallest_group: The parameter: groups of fewer users are not shown.
    """
    # by name first: which group goes depends on which is looked at first, and an engine of several
    # threads gives them in any order
    groups = groups.sort_by([(name, "ascending") for name in _COLUMNS])
    found = [_group(row) for row in groups.select([*_COLUMNS, *_JUDGED]).to_pylist()]
    _settle(_lines(found), smallest_group)
    shown = groups.filter([not group.is_hidden for group in found]).drop_columns("is_hidden")
    return Suppression(shown, _count_hidden(found))


_JUDGED = ("active_users", "is_hidden")


def _group(row: dict[str, Any]) -> _Group:
    pairs = zip(_NAMES, _VALUES, strict=True)
    key = tuple((row[name], row[value]) for name, value in pairs if row[name] is not None)
    return _Group(key, row["active_users"], row["is_hidden"])


def _lines(groups: list[_Group]) -> list[_Line]:
    """Every group with each way that another answer splits it."""
    known = {group.key: group for group in groups}
    lines: dict[tuple[Any, ...], _Line] = {}
    for group in groups:
        for above in _above(group.key):
            if (whole := known.get(above)) is not None:
                line = lines.setdefault((above, group.names), _Line(whole))
                line.parts.append(group)
    for line in lines.values():
        for group in (line.whole, *line.parts):
            group.lines.append(line)
    return list(lines.values())


def _above(key: tuple[tuple[str, str], ...]) -> Iterator[tuple[tuple[str, str], ...]]:
    """The groups that a group is a part of: without a name, or of the period above."""
    for place, (name, value) in enumerate(key):
        others = (*key[:place], *key[place + 1 :])
        yield others
        if above := _PERIOD_ABOVE.get(name):
            day = datetime.date.fromisoformat(value)
            monday = day - datetime.timedelta(days=day.weekday())
            yield tuple(sorted((*others, (above, str(monday)))))


def _settle(lines: list[_Line], smallest_group: int) -> None:
    waiting = deque(lines)
    while waiting:
        group = waiting.popleft().next_to_hide(smallest_group)
        if group is not None:
            group.is_hidden = True
            waiting.extend(group.lines)


def _count_hidden(groups: list[_Group]) -> pa.Table:
    """Count what is hidden, by the values that are themselves shown over the whole span."""
    import pyarrow as pa

    offered = {group.key[0] for group in groups if len(group.key) == 1 and not group.is_hidden}
    counts: dict[tuple[tuple[str, ...], tuple[str | None, str | None]], int] = defaultdict(int)
    for group in groups:
        if group.is_hidden:
            counts[group.names, (None, None)] += 1
            for pair in group.key:
                if pair in offered and pair[0] not in GRAINS:
                    counts[group.names, pair] += 1
    text = pa.string()
    types = [*((name, text) for name in (*_NAMES, "filter_name", "filter_value"))]
    rows = [
        {
            **dict(zip(_NAMES, names, strict=False)),
            "filter_name": pair[0],
            "filter_value": pair[1],
            "groups": count,
        }
        for (names, pair), count in sorted(counts.items(), key=str)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*types, ("groups", pa.int64())]))


def rows_of(shown: pa.Table, *split: str) -> list[dict[str, Any]]:
    """The groups of one answer among those that may be shown, in order of their values.

    Args:
        shown: ``Suppression.shown``.
        split: The names of the answer, in any order.

    Returns:
        For each group the values by the names of the split, and the metrics.
    """
    from pyarrow import compute

    names = [*sorted(split), *(None for _ in range(MOST_NAMES - len(split)))]
    for column, name in zip(_NAMES, names, strict=True):
        found = compute.field(column)
        shown = shown.filter(found.is_null() if name is None else found == name)
    return [
        {row[name]: row[value] for name, value in zip(_NAMES, _VALUES, strict=True) if row[name]}
        | {name: row[name] for name in SHOWN}
        for row in shown.to_pylist()
    ]
