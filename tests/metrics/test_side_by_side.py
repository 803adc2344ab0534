"""Of answers seen side by side, none gives away what another hides."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date, timedelta

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingokids.metrics.subjects import ACTIVITY
from lingokids.query import Question, answer, hide_side_by_side, measure_side_by_side
from lingokids.query.side_by_side import groups_of

FEWEST, SHARE = 5, 0.85
NAMES = ("country_code", "os_name")
SPLITS = [
    ("day",),
    *(names for length in range(3) for names in itertools.combinations(NAMES, length)),
]


def measured(plays):
    """Every group of every split, by plain loops, in the form of ``measure_side_by_side``."""
    groups = defaultdict(lambda: defaultdict(int))
    for user, day, country, system, seconds in plays:
        monday = day - timedelta(days=day.weekday())
        values = {"day": str(day), "country_code": country, "os_name": system}
        for split in SPLITS:
            groups[monday, tuple((name, values[name]) for name in split)][user] += seconds
    return {key: dict(seconds) for key, seconds in groups.items()}


def settled(groups):
    """The keys that may be shown, and how many groups are hidden, by split and filter."""
    template = _empty()
    rows = [
        dict.fromkeys(template.names)
        | {"subject": "activity", "week": monday}
        | {f"name_{n}": name for n, (name, _) in enumerate(pairs, 1)}
        | {f"value_{n}": value for n, (_, value) in enumerate(pairs, 1)}
        | {"active_users": len(seconds), "total_time_spent": sum(seconds.values())}
        | {"most_total_time_spent": max(seconds.values())}
        for (monday, pairs), seconds in groups.items()
    ]
    found = hide_side_by_side(_table(rows, template), FEWEST, SHARE)
    shown = {
        (
            row["week"],
            tuple((row[f"name_{n}"], row[f"value_{n}"]) for n in (1, 2) if row[f"name_{n}"]),
        )
        for row in found.shown.to_pylist()
    }
    return shown, found.hidden.to_pylist()


def _empty():
    columns = ("user_id", "date", *ACTIVITY.dimensions)
    types = dict.fromkeys(columns, "string") | {"date": "date"}
    measures = ("activities_played", "activities_completed", "sessions")
    types |= dict.fromkeys(measures, "int64")
    types |= dict.fromkeys(("total_time_spent", "capped_time_spent"), "decimal(18, 3)")
    rows = ibis.table(types, name="rows")
    return measure_side_by_side(rows, ACTIVITY, [(), ("day",)]).schema()


def _table(rows, template):
    import pyarrow as pa

    schema = template.to_pyarrow()
    exact = {field.name for field in schema if pa.types.is_decimal(field.type)}
    loose = pa.schema(
        [(field.name, pa.int64() if field.name in exact else field.type) for field in schema]
    )
    return pa.Table.from_pylist(rows, loose)


def test_of_no_groups_none_is_shown_and_none_hidden():
    assert settled({}) == (set(), [])


def lines_of(groups):
    """Every group with its parts in every other split that divides it."""
    for (monday, whole), split in itertools.product(groups, SPLITS):
        parts = [
            (week, part)
            for week, part in groups
            if (week, len(part)) == (monday, len(whole) + 1)
            and tuple(name for name, _ in part) == split
            and set(whole) <= set(part)
        ]
        if parts:
            yield (monday, whole), parts


def is_safe(groups, keys):
    """Whether what these groups add up to is neither few users' nor one user's."""
    if max(len(groups[key]) for key in keys) < FEWEST:
        return False
    most = max(max(groups[key].values()) for key in keys)
    return most <= SHARE * sum(sum(groups[key].values()) for key in keys)


PLAYS = st.lists(
    st.tuples(
        st.integers(1, 14),
        st.dates(date(2021, 1, 4), date(2021, 1, 13)),
        st.sampled_from(["es", "fr", "it"]),
        st.sampled_from(["iOS", "Android"]),
        st.sampled_from([0, 1, 2, 90]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(PLAYS)
def test_no_group_is_what_a_shown_one_leaves_of_its_parts(plays):
    groups = measured(plays)
    shown, _ = settled(groups)

    assert all(is_safe(groups, [key]) for key in shown)
    for whole, parts in lines_of(groups):
        unseen = [part for part in parts if part not in shown]
        if len(parts) == 1:
            assert (whole in shown) == (parts[0] in shown)
        elif whole in shown and 0 < len(unseen) < len(parts):
            assert len(unseen) > 1
            assert is_safe(groups, unseen)
        elif whole not in shown:
            assert unseen, "its parts would add up to it"


@settings(max_examples=25, deadline=None)
@given(PLAYS)
def test_the_order_in_which_the_engine_gives_the_groups_hides_no_others(plays):
    groups = measured(plays)

    assert settled(dict(reversed(groups.items()))) == settled(groups)


def test_nothing_more_is_hidden_where_no_group_is_small():
    plays = [
        (user, date(2021, 1, 4 + n), country, system, 1)
        for user, n in itertools.product(range(6), range(9))
        for country, system in (("es", "iOS"), ("es", "Android"), ("fr", "iOS"))
    ]
    groups = measured(plays)

    assert settled(groups) == (set(groups), [])


def test_a_day_of_few_users_takes_another_of_its_week_with_it():
    plays = [(user, date(2021, 1, 4 + n), "es", "iOS", 1) for user in range(6) for n in range(3)]
    groups = measured([*plays, (1, date(2021, 1, 7), "es", "iOS", 1)])

    shown, hidden = settled(groups)

    days = {value for _, pairs in shown for name, value in pairs if name == "day"}
    assert days == {"2021-01-05", "2021-01-06"}
    assert {"name_1": "day", "filter_name": None, "groups": 2}.items() <= hidden[0].items()


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        pytest.param({"es": 9, "fr": 6, "it": 0}, {"es", "fr", "it"}, id="none or enough"),
        pytest.param({"es": 9, "fr": 3, "it": 8}, {"it"}, id="a small one takes another with it"),
    ],
)
def test_users_who_got_further_are_few_or_are_shown(trials, expected):
    import pyarrow as pa

    names = ("subscriptions_started", "trials_converted")
    rows = [
        {"subject": "registration", "week": date(2021, 1, 4), "registered_users": users}
        | {"trials_started": started}
        | dict.fromkeys(names, 0)
        | ({"name_1": "country_code", "value_1": country} if country else {})
        for country, users, started in [
            (None, 60, sum(trials.values())),
            *((country, 20, started) for country, started in trials.items()),
        ]
    ]
    template = _empty()
    groups = pa.Table.from_pylist(
        [dict.fromkeys(template.names) | row for row in rows], template.to_pyarrow()
    )

    shown = hide_side_by_side(groups, FEWEST, SHARE).shown.to_pylist()

    assert {row["value_1"] for row in shown} - {None} == expected


@pytest.mark.slow
def test_what_is_shown_is_what_the_rows_of_users_say(sample_project):
    copy = ibis.duckdb.connect(sample_project.folder / "lingokids-gold.duckdb", read_only=True)
    for name, names, by in [
        ("user_activity_daily", ("country_code", "activity_id"), ("active_users", "sessions")),
        ("user_journeys", ("country_code",), ("registered_users", "trial_rate")),
        ("user_journeys", ("weeks_after_registration",), ("cohort_users", "retained_users")),
    ]:
        question = Question(by, by=names, grain="week")
        subject, table = question.subject, copy.table(name)
        measured = measure_side_by_side(subject.rows(table), subject, [(), names]).to_pyarrow()
        shown = hide_side_by_side(measured, FEWEST, SHARE).shown
        shown = groups_of(shown, *names, subject=subject).to_pylist()
        exact = answer(table, question).to_pyarrow().to_pylist()

        for row in shown:
            of_row = {key: row[key] for key in ("week", *names)}
            (true,) = [
                one for one in exact if all(str(one[k]) == str(v) for k, v in of_row.items())
            ]
            assert {metric: row[metric] for metric in by} == {metric: true[metric] for metric in by}
        assert len(shown) > 4
