"""Suppression across answers shown side by side, as on a page with filters.

All answers are of whole weeks. A group is hidden if it has fewer than ``smallest_group`` users, or
if one user has more than ``largest_share`` of what is summed. But other answers may reveal what one
hides: a hidden country is what the week leaves of the countries shown. So each group is compared
with its *breakdowns*, the parts that another answer splits it into, until

* the hidden parts of a shown group are several, and together neither few users' nor one user's,
* every hidden group has a hidden part in each breakdown,
* a breakdown of a single part is hidden if and only if its group is.

So no subtraction of two answers reveals a hidden group. Longer sums over many answers are not
checked; the README of the reporting pipeline says how much they reveal on the sample.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
from ibis import _

from lingokids import schema
from lingokids.metrics.definitions import METRICS, parts_of
from lingokids.metrics.dimensions import GRAINS
from lingokids.metrics.kinds import Count, Measure, Metric, Rate, UserCount
from lingokids.metrics.subjects import ACTIVITY, SUBJECTS, UNKNOWN, Subject
from lingokids.query.answer import add_rates, add_up
from lingokids.schema.days import have_same_days

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    import ibis.expr.types as ir
    import pyarrow as pa
    import pyarrow.compute as pc

#: Longest split of a week.
MOST_NAMES = 2

#: By subject, the metrics of these answers: those that need no further column on its table.
SHARED: dict[str, tuple[str, ...]] = {
    subject.name: tuple(
        name
        for name, metric in METRICS.items()
        if metric.subject is subject
        and not any(isinstance(part, Count) and part.needs for part in parts_of([name]).values())
    )
    for subject in SUBJECTS
}

_ALL = tuple(name for names in SHARED.values() for name in names)
_COUNTS = tuple(name for name in _ALL if isinstance(METRICS[name], UserCount))
#: What one user may have most of. Of ``time_beyond_cap`` one nearly always has.
_SUMS = tuple(
    name
    for name in _ALL
    if not isinstance(METRICS[name], UserCount | Rate)
    and name not in ("active_user_days", "time_beyond_cap")
)
_MOST = tuple(f"most_{name}" for name in _SUMS)
_NAMES = tuple(f"name_{place}" for place in range(1, MOST_NAMES + 1))
_VALUES = tuple(f"value_{place}" for place in range(1, MOST_NAMES + 1))
_KEYS = (
    *("subject", "week"),
    *(column for pair in zip(_NAMES, _VALUES, strict=True) for column in pair),
)
#: What of a group decides whether it is shown.
DECIDING = (*_KEYS, *_COUNTS, *_SUMS, *_MOST)


def measure_side_by_side(
    rows: ir.Table, subject: Subject, splits: Iterable[tuple[str, ...]]
) -> ir.Table:
    """Compute every group of every split of a subject, by week.

    Grain: one row per week, split and combination of its values.

    Args:
        rows: The subject's rows, of whole weeks.
        subject: What is counted.
        splits: For each answer its dimensions, or ``day``.

    Returns:
        ``subject``; ``week``, its Monday; ``name_1``, ``value_1`` … sorted by name, NULL beyond the
        length of the split; all of ``SHARED``, NULL where it is another subject's; the most that
        one user has of each sum. Small groups are among them: never write them anywhere.
    """
    parts = parts_of(SHARED[subject.name])
    groups = ibis.union(*(_groups_of(rows, tuple(sorted(split)), parts) for split in splits))
    return add_rates(groups, parts).select(
        subject=ibis.literal(subject.name),
        **{
            name: groups[name] if name in groups.columns else ibis.null("string")
            for name in _KEYS
            if name != "subject"
        },
        **{name: _[name] if name in parts else _null_of(name) for name in _ALL},
        **{
            most: _[most] if name in parts else _null_of(name)
            for most, name in zip(_MOST, _SUMS, strict=True)
        },
    )


def _null_of(name: str) -> ir.Value:
    match METRICS[name]:
        case Rate():
            return ibis.null("float64")
        case Measure() if name in schema.COLUMNS:
            return ibis.null(schema.COLUMNS[name].type)
    return ibis.null(schema.TOTAL_SECONDS if METRICS[name].unit == "s" else "int64")


def _groups_of(rows: ir.Table, split: tuple[str, ...], parts: dict[str, Metric]) -> ir.Table:
    values = {
        name: rows["date"] if name == "day" else rows[name].cast("string").fill_null(UNKNOWN)
        for name in split
    }
    keyed = rows.mutate(week=GRAINS["week"].first_day(rows["date"]), **values)
    of_users = add_up(keyed, ("week", *split, "user_id"), parts)
    groups = of_users.group_by("week", *split).aggregate(
        # no row is of two users, so all of these are additive over users
        **{
            name: _[name].sum().cast(of_users[name].type())
            for name, part in parts.items()
            if not isinstance(part, Rate)
        },
        **{f"most_{name}": _[name].max() for name in _SUMS if name in parts},
    )
    padded = (*split, *(None for _ in range(MOST_NAMES - len(split))))
    keys = {
        column: groups[name].cast("string") if name else ibis.null("string")
        for column, name in zip(_VALUES, padded, strict=True)
    } | {
        column: ibis.literal(name, type="string")
        for column, name in zip(_NAMES, padded, strict=True)
    }
    return groups.mutate(**keys).drop(*split)


# --- hide --------------------------------------------------------------------------------


class _Key(NamedTuple):
    """What identifies a group: its subject, week, and a value of each dimension of its split."""

    subject: str
    week: datetime.date
    pairs: tuple[tuple[str, str], ...]


@dataclass(eq=False)
class _Group:
    """One group of one answer, and the breakdowns it is part of.

    Attributes:
        counts: Numbers of users, first of all of them.
        sums: What is summed, and ``most``: how much of that is one user's.
    """

    key: _Key
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    most: tuple[float, ...]
    is_hidden: bool = False
    breakdowns: list[_Breakdown] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.key.pairs)

    @property
    def rank(self) -> tuple[int, _Key]:
        """The smallest first, then by name."""
        return self.counts[0], self.key


class _Limits(NamedTuple):
    smallest_group: int
    largest_share: float

    def forbid(self, groups: list[_Group]) -> bool:
        """Whether what these groups add up to is few users', or for the most part one user's."""
        if max(group.counts[0] for group in groups) < self.smallest_group:
            return True
        counts = (sum(parts) for parts in zip(*(group.counts for group in groups), strict=True))
        if any(0 < count < self.smallest_group for count in counts):
            return True
        sums = (sum(parts) for parts in zip(*(group.sums for group in groups), strict=True))
        most = (max(parts) for parts in zip(*(group.most for group in groups), strict=True))
        return any(
            of_one > self.largest_share * added_up
            for of_one, added_up in zip(most, sums, strict=True)
        )


@dataclass(eq=False)
class _Breakdown:
    """A group, and the parts that another answer splits it into."""

    whole: _Group
    parts: list[_Group] = field(default_factory=list)

    def next_to_hide(self, limits: _Limits) -> _Group | None:
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
            reveals = len(hidden) == 1 or (len(hidden) > 1 and limits.forbid(hidden))
        return min(shown, key=lambda part: part.rank) if reveals else None


class Suppression(NamedTuple):
    """The groups that may be shown side by side, and the number of hidden ones.

    Attributes:
        shown: The rows of ``measure_side_by_side`` that may be shown, without what is one user's.
        hidden: The number of hidden ``groups`` per week, split and filter (``filter_name``,
            ``filter_value``; NULL: unfiltered).
    """

    shown: pa.Table
    hidden: pa.Table


def hide_side_by_side(groups: pa.Table, smallest_group: int, largest_share: float) -> Suppression:
    """Drop the groups of few users or mostly of one, and those that would reveal one.

    Repeats until nothing more must be hidden, which no query of a fixed length can do: hence rows.

    Args:
        groups: ``measure_side_by_side``, executed.
        smallest_group: Groups of fewer users are hidden.
        largest_share: Groups are hidden of which one user has a larger share of any sum.
    """
    import pyarrow as pa

    limits = _Limits(smallest_group, largest_share)
    # sorted, because the outcome depends on the order, and several threads return them in any order
    groups = groups.sort_by([(name, "ascending") for name in _KEYS])
    found = [_group(row) for row in groups.select(DECIDING).to_pylist()]
    for group in found:
        group.is_hidden = limits.forbid([group])
    _hide_until_stable(_breakdowns(found), limits)
    is_shown = pa.array([not group.is_hidden for group in found], pa.bool_())
    shown = groups.filter(is_shown).drop_columns(list(_MOST))
    return Suppression(shown, _count_hidden(found))


def _group(row: dict[str, Any]) -> _Group:
    pairs = zip(_NAMES, _VALUES, strict=True)
    return _Group(
        _Key(
            row["subject"],
            row["week"],
            tuple((row[name], row[value]) for name, value in pairs if row[name]),
        ),
        tuple(row[name] for name in _COUNTS if row[name] is not None),
        tuple(float(row[name]) for name in _SUMS if row[name] is not None),
        tuple(float(row[name]) for name in _MOST if row[name] is not None),
    )


def _breakdowns(groups: list[_Group]) -> list[_Breakdown]:
    """Every group with each way that another answer splits it."""
    known = {group.key: group for group in groups}
    breakdowns: dict[tuple[Any, ...], _Breakdown] = {}
    for group in groups:
        pairs = group.key.pairs
        for place in range(len(pairs)):
            above = group.key._replace(pairs=(*pairs[:place], *pairs[place + 1 :]))
            if (whole := known.get(above)) is not None:
                breakdown = breakdowns.setdefault((above, group.names), _Breakdown(whole))
                breakdown.parts.append(group)
    for breakdown in breakdowns.values():
        for group in (breakdown.whole, *breakdown.parts):
            group.breakdowns.append(breakdown)
    return list(breakdowns.values())


def _hide_until_stable(breakdowns: list[_Breakdown], limits: _Limits) -> None:
    waiting = deque(breakdowns)
    while waiting:
        group = waiting.popleft().next_to_hide(limits)
        if group is not None:
            group.is_hidden = True
            waiting.extend(group.breakdowns)


def _count_hidden(groups: list[_Group]) -> pa.Table:
    """Count hidden groups by the filter values that are shown of their week."""
    import pyarrow as pa

    offered = {group.key for group in groups if len(group.key.pairs) == 1 and not group.is_hidden}
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for group in groups:
        if group.is_hidden:
            padded = (*group.names, *(None for _ in range(MOST_NAMES - len(group.names))))
            place = (group.key.subject, group.key.week, *padded)
            counts[*place, None, None] += 1
            for pair in group.key.pairs:
                if group.key._replace(pairs=(pair,)) in offered:
                    counts[*place, *pair] += 1
    columns = ("subject", "week", *_NAMES, "filter_name", "filter_value", "groups")
    rows = [
        dict(zip(columns, (*key, n), strict=True)) for key, n in sorted(counts.items(), key=str)
    ]
    types = {"week": pa.date32(), "groups": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    return pa.Table.from_pylist(rows, schema=schema)


def weeks_of(*groups: pa.Table, subject: Subject = ACTIVITY) -> list[datetime.date]:
    """The weeks of ``Suppression.shown`` or ``hidden``, in order; none of what is not there yet."""
    there = (one.filter(_is(subject))["week"].unique() for one in groups if one.num_rows)
    return sorted({week for weeks in there for week in weeks.to_pylist()})


def first_week_apart(*groups: pa.Table, subject: Subject, time_zone: str) -> datetime.date | None:
    """The first week that shares no hour with one decided in another time zone, if one was.

    Of weeks that do, the difference would tell the few of these hours.
    """
    import pyarrow as pa
    from pyarrow import compute

    def zones(of: pa.Table) -> pa.Array:
        # before there was a choice all were of UTC
        known = "time_zone" in of.column_names
        return of["time_zone"].fill_null("UTC") if known else pa.repeat("UTC", of.num_rows)

    names = {name for of in groups for name in compute.unique(zones(of)).to_pylist()}
    others = pa.array([each for each in names if not have_same_days(each, time_zone)], pa.string())
    elsewhere = (of.filter(compute.is_in(zones(of), others)) for of in groups)
    weeks = weeks_of(*elsewhere, subject=subject)
    return weeks[-1] + timedelta(days=14) if weeks else None


def splits_of(groups: pa.Table, subject: Subject) -> set[tuple[str, ...]]:
    """The splits of ``Suppression.shown`` or ``hidden``, each sorted."""
    names = groups.filter(_is(subject)).select(_NAMES).group_by(_NAMES).aggregate([])
    return {tuple(filter(None, row.values())) for row in names.to_pylist()}


def groups_of(groups: pa.Table, *split: str, subject: Subject = ACTIVITY) -> pa.Table:
    """The groups of one split: week, a column for each name of the split, and all numbers.

    Args:
        groups: ``Suppression.shown`` or ``hidden``.
        split: Dimensions, or ``day``, in any order.
        subject: What is counted.
    """
    from pyarrow import compute

    is_of_split = _is(subject)
    for column, name in itertools.zip_longest(_NAMES, sorted(split)):
        is_of_split &= (compute.field(column) == name) if name else compute.field(column).is_null()
    found = groups.filter(is_of_split)
    named = dict(zip(_VALUES, sorted(split), strict=False))
    left_out = {*_KEYS, "time_zone"} - {"week", *named}
    kept = [name for name in found.column_names if name not in left_out]
    return found.select(kept).rename_columns([named.get(name, name) for name in kept])


def rows_of(shown: pa.Table, *split: str) -> list[dict[str, Any]]:
    """The shown groups of activity of one split, each with its week, values and metrics."""
    return groups_of(shown, *split).select(["week", *split, *SHARED["activity"]]).to_pylist()


def _is(subject: Subject) -> pc.Expression:
    from pyarrow import compute

    return compute.field("subject") == subject.name
