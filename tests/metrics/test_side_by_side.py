"""Of answers seen side by side, none gives away what another hides."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date, timedelta

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingokids.query import (
    SHOWN,
    Question,
    compute_groups,
    hide_side_by_side,
    measure_side_by_side,
    rows_of,
)

FEWEST = 5
NAMES = ("country_code", "os_name")
SPLITS = [
    (*period, *names)
    for period in ((), ("week",), ("day",))
    for length in range(3)
    for names in itertools.combinations(NAMES, length)
]


def groups_of(plays):
    """The users of every group of every split, by plain loops: (name, value) pairs to users."""
    groups = defaultdict(set)
    for user, day, country, system in plays:
        monday = day - timedelta(days=day.weekday())
        values = {"day": str(day), "week": str(monday), "country_code": country, "os_name": system}
        for split in SPLITS:
            groups[tuple(sorted((name, values[name]) for name in split))].add(user)
    return {key: len(users) for key, users in groups.items()}


def settled(groups, is_hidden=lambda users: users < FEWEST):
    """The keys that may be shown, and how many groups are hidden, by split and filter."""
    rows = [
        {f"name_{n}": name for n, (name, _) in enumerate(key, 1)}
        | {f"value_{n}": value for n, (_, value) in enumerate(key, 1)}
        | {"active_users": users, "is_hidden": is_hidden(users)}
        for key, users in groups.items()
    ]
    text = [(f"{what}_{n}", pa.string()) for n in (1, 2, 3) for what in ("name", "value")]
    numbers = [("active_users", pa.int64()), ("is_hidden", pa.bool_())]
    found = hide_side_by_side(pa.Table.from_pylist(rows, pa.schema([*text, *numbers])), FEWEST)
    shown = {
        tuple((row[f"name_{n}"], row[f"value_{n}"]) for n in (1, 2, 3) if row[f"name_{n}"])
        for row in found.shown.to_pylist()
    }
    return shown, found.hidden.to_pylist()


def test_of_no_groups_none_is_shown_and_none_hidden():
    assert settled({}) == (set(), [])


def lines_of(groups):
    """Every group with its parts in every other split that divides it."""
    for whole, split in itertools.product(groups, SPLITS):
        parts = [key for key in groups if _divides(key, whole, split)]
        if parts:
            yield whole, parts


def _divides(part, whole, split):
    if tuple(name for name, _ in part) != tuple(sorted(split)):
        return False
    values = dict(part)
    if "day" in values:
        day = date.fromisoformat(values["day"])
        values.setdefault("week", str(day - timedelta(days=day.weekday())))
    is_finer = len(part) == len(whole) + 1 or ("day" in dict(part) and "week" in dict(whole))
    return (
        is_finer
        and len(part) <= len(whole) + 1
        and all(values.get(name) == value for name, value in whole)
    )


PLAYS = st.lists(
    st.tuples(
        st.integers(1, 14),
        st.dates(date(2021, 1, 4), date(2021, 1, 13)),
        st.sampled_from(["es", "fr", "it"]),
        st.sampled_from(["iOS", "Android"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(PLAYS)
def test_no_group_is_what_a_shown_one_leaves_of_its_parts(plays):
    groups = groups_of(plays)
    shown, _ = settled(groups)

    assert all(groups[key] >= FEWEST for key in shown)
    for whole, parts in lines_of(groups):
        unseen = [part for part in parts if part not in shown]
        if len(parts) == 1:
            assert (whole in shown) == (parts[0] in shown)
        elif whole in shown and 0 < len(unseen) < len(parts):
            assert len(unseen) > 1
            assert max(groups[part] for part in unseen) >= FEWEST
        elif whole not in shown:
            assert unseen, "its parts would add up to it"


@settings(max_examples=25, deadline=None)
@given(PLAYS)
def test_the_order_in_which_the_engine_gives_the_groups_hides_no_others(plays):
    groups = groups_of(plays)

    assert settled(dict(reversed(groups.items()))) == settled(groups)


def test_a_week_is_not_told_by_its_days():
    # the second week is small, so the first goes with it; then one of its days must go too
    first = [(user, date(2021, 1, 4 + n), "es", "iOS") for user in range(6) for n in range(3)]
    second = [(user, date(2021, 1, 11), "es", "iOS") for user in range(2)]

    shown, hidden = settled(groups_of(first + second), is_hidden=lambda users: users < FEWEST)

    weeks = [key for key in shown if [name for name, _ in key] == ["week"]]
    days = [key for key in shown if [name for name, _ in key] == ["day"]]
    assert weeks == []
    assert 0 < len(days) < 3
    assert {"name_1": "week", "groups": 2}.items() <= next(
        row for row in hidden if row["name_1"] == "week" and row["name_2"] is None
    ).items()


def test_nothing_more_is_hidden_where_no_group_is_small():
    plays = [
        (user, date(2021, 1, 4 + n), country, system)
        for user, n in itertools.product(range(6), range(9))
        for country, system in (("es", "iOS"), ("es", "Android"), ("fr", "iOS"))
    ]
    groups = groups_of(plays)

    shown, hidden = settled(groups)

    assert shown == set(groups)
    assert hidden == []


@pytest.mark.slow
def test_each_answer_hides_at_least_what_it_hides_alone(sample_project):
    copy = ibis.duckdb.connect(sample_project.folder / "lingokids-gold.duckdb", read_only=True)
    days = copy.table("user_activity_daily")
    splits = [(), ("country_code",), ("week", "country_code"), ("day",), ("activity_id",)]
    splits += [("country_code", "os_name"), ("week", "activity_type", "country_code")]
    measured = measure_side_by_side(days, splits, FEWEST).to_pyarrow()
    shown = hide_side_by_side(measured, FEWEST).shown

    for split in splits:
        period = [name for name in split if name in ("day", "week")]
        names = tuple(name for name in split if name not in period)
        question = Question(tuple(SHOWN), by=names, grain=period[0] if period else None)
        alone = compute_groups(days, question, FEWEST).to_pyarrow().to_pylist()
        alone = {
            tuple(str(row[name]) for name in split): {name: row[name] for name in SHOWN}
            for row in alone
            if not row["is_hidden"]
        }
        beside = {
            tuple(row[name] for name in split): {name: row[name] for name in SHOWN}
            for row in rows_of(shown, *split)
        }
        assert beside.items() <= alone.items(), split
        assert len(beside) > 0.9 * len(alone), split
