"""Suppression across answers shown side by side, as on a page with filters.

Each answer protects its own totals, but a second one may reveal what it hides: a hidden week is the
sum of its days in another answer. So each group is compared with its *breakdowns*, the parts that
another answer splits it into, until

* no shown group reveals a hidden part (the rule of a single answer),
* every hidden group has a hidden part in each breakdown,
* a breakdown of a single part is hidden if and only if its group is.

So no subtraction of two answers reveals a hidden group. Longer sums over many answers are not
checked; the README of the reporting pipeline says how much they reveal on the sample.
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

#: Longest split: a period and two dimensions.
MOST_NAMES = 3

#: The metrics of these answers: those that need no further column on ``USER_ACTIVITY_DAILY``.
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

#: Periods that are part of a longer one: a week is not part of a month.
_PERIOD_ABOVE = {"day": "week"}


def measure_side_by_side(
    user_activity_daily: ir.Table, splits: Iterable[tuple[str, ...]], smallest_group: int
) -> ir.Table:
    """Compute every group of every split, and which ones its own answer hides.

    Grain: one row per split and combination of its values.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        splits: For each answer its dimensions, and at most one time grain.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        ``name_1``, ``value_1`` … sorted by name, NULL beyond the length of the split; ``SHOWN``;
        ``is_hidden``. Hidden groups still have their numbers: never write them anywhere.
    """
    by_length: dict[int, list[ir.Table]] = defaultdict(list)
    for split in splits:
        by_length[len(split)].append(_groups_of(user_activity_daily, tuple(sorted(split))))
    marked = [
        # rates and suppression once for all splits of one length: the query is far shorter
        hide_small_groups(
            add_rates(ibis.union(*groups), _PARTS), _VALUES[:length], smallest_group, within=_NAMES
        )
        for length, groups in by_length.items()
    ]
    return ibis.union(*marked).select(*_COLUMNS, *SHOWN, "is_hidden")


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
    """One group of one answer, and the breakdowns it is part of."""

    key: tuple[tuple[str, str], ...]
    users: int
    is_hidden: bool
    breakdowns: list[_Breakdown] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.key)

    @property
    def rank(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """The smallest first, then by name."""
        return self.users, self.key


@dataclass(eq=False)
class _Breakdown:
    """A group, and the parts that another answer splits it into."""

    whole: _Group
    parts: list[_Group] = field(default_factory=list)

    def next_to_hide(self, smallest_group: int) -> _Group | None:
        """The next group to hide so that the breakdown reveals nothing, if any."""
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
            reveals = not hidden
        else:
            most_users = max((part.users for part in hidden), default=0)
            reveals = needs_secondary_suppression(len(hidden), most_users, smallest_group)
        return min(shown, key=lambda part: part.rank) if reveals else None


class Suppression(NamedTuple):
    """The groups that may be shown side by side, and the number of hidden ones.

    Attributes:
        shown: The rows of ``measure_side_by_side`` that may be shown, without ``is_hidden``.
        hidden: The number of hidden ``groups`` per split and filter (``filter_name``,
            ``filter_value``; NULL: unfiltered).
    """

    shown: pa.Table
    hidden: pa.Table


def hide_side_by_side(groups: pa.Table, smallest_group: int) -> Suppression:
    """Drop the hidden groups, and those that would reveal one.

    Repeats until nothing more must be hidden, which no query of a fixed length can do: hence rows.

    Args:
        groups: ``measure_side_by_side``, executed.
        smallest_group: Groups of fewer users are hidden.
    """
    import pyarrow as pa

    # sorted, because the outcome depends on the order, and several threads return them in any order
    groups = groups.sort_by([(name, "ascending") for name in _COLUMNS])
    found = [_group(row) for row in groups.select([*_COLUMNS, *_NEEDED]).to_pylist()]
    _hide_until_stable(_breakdowns(found), smallest_group)
    is_shown = pa.array([not group.is_hidden for group in found], pa.bool_())
    shown = groups.filter(is_shown).drop_columns("is_hidden")
    return Suppression(shown, _count_hidden(found))


_NEEDED = ("active_users", "is_hidden")


def _group(row: dict[str, Any]) -> _Group:
    pairs = zip(_NAMES, _VALUES, strict=True)
    key = tuple((row[name], row[value]) for name, value in pairs if row[name] is not None)
    return _Group(key, row["active_users"], row["is_hidden"])


def _breakdowns(groups: list[_Group]) -> list[_Breakdown]:
    """Every group with each way that another answer splits it."""
    known = {group.key: group for group in groups}
    breakdowns: dict[tuple[Any, ...], _Breakdown] = {}
    for group in groups:
        for above in _above(group.key):
            if (whole := known.get(above)) is not None:
                breakdown = breakdowns.setdefault((above, group.names), _Breakdown(whole))
                breakdown.parts.append(group)
    for breakdown in breakdowns.values():
        for group in (breakdown.whole, *breakdown.parts):
            group.breakdowns.append(breakdown)
    return list(breakdowns.values())


def _above(key: tuple[tuple[str, str], ...]) -> Iterator[tuple[tuple[str, str], ...]]:
    """The groups that a group is part of: one dimension less, or a longer period."""
    for place, (name, value) in enumerate(key):
        others = (*key[:place], *key[place + 1 :])
        yield others
        if above := _PERIOD_ABOVE.get(name):
            day = datetime.date.fromisoformat(value)
            monday = day - datetime.timedelta(days=day.weekday())
            yield tuple(sorted((*others, (above, str(monday)))))


def _hide_until_stable(breakdowns: list[_Breakdown], smallest_group: int) -> None:
    waiting = deque(breakdowns)
    while waiting:
        group = waiting.popleft().next_to_hide(smallest_group)
        if group is not None:
            group.is_hidden = True
            waiting.extend(group.breakdowns)


def _count_hidden(groups: list[_Group]) -> pa.Table:
    """Count hidden groups by the filter values that are shown over the whole span."""
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
    """The shown groups of one split, sorted, each with its values and metrics.

    Args:
        shown: ``Suppression.shown``.
        split: Dimensions and time grain, in any order.
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
