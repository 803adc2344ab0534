"""Every metric of the sample, by every dimension and period, against loops over its raw lines."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import ibis
import pytest

from conftest import ROOT
from lingokids.metrics import GRAINS
from lingokids.metrics.subjects import ACTIVITY
from lingokids.query import Question, answer
from plain_truth import group, plays_of

MEASURED = ("activities_played", "activities_completed", "total_time_spent", "active_users")
PERIODS = (None, *GRAINS)
QUICK = (None, "week")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in PERIODS if name not in QUICK]
SPLITS = (
    *((), *((name,) for name in ACTIVITY.dimensions)),
    *(("country_code", "os_name"), ("os_name", "os_version", "app_version")),
    ("subscription_status", "activity_type", "collection_id"),
    ACTIVITY.dimensions,
)


@pytest.fixture
def ask(sample_project):
    """Ask the published copy of the sample: rows as tuples."""
    copy = ibis.duckdb.connect(sample_project.folder / "lingokids-gold.duckdb", read_only=True)
    days = copy.table("user_activity_daily")

    def ask(*metrics, **question):
        answered = answer(days, Question(metrics, **question))
        return [tuple(row.values()) for row in answered.to_pyarrow().to_pylist()]

    return ask


@pytest.fixture(scope="module")
def plays():
    return plays_of(ROOT / "data" / "01_raw")


@pytest.mark.parametrize("period", [*QUICK, *SLOW])
def test_every_measure_by_every_dimension_and_period_is_what_the_raw_lines_say(ask, plays, period):
    for names in SPLITS:
        expected = sorted(
            (*key, one.played, one.completed, one.seconds, len(one.users))
            for key, one in group(plays, period, names).items()
        )

        assert ask(*MEASURED, by=names, grain=period) == expected, (period, names)


def test_rates_are_taken_from_what_was_added_up(ask, plays):
    rates = ("completion_rate", "time_per_activity", "activities_per_user", "time_per_user")
    for period, names in ((None, ()), ("week", ("country_code",)), ("month", ("activity_type",))):
        expected = sorted(
            (
                *key,
                one.completed / one.played,
                float(one.seconds) / one.played,
                one.played / len(one.users),
                float(one.seconds) / len(one.users),
            )
            for key, one in group(plays, period, names).items()
        )
        places = len(names) + bool(period)

        rows = ask(*rates, by=names, grain=period)

        assert [row[:places] for row in rows] == [row[:places] for row in expected]
        for row, wanted in zip(rows, expected, strict=True):
            assert row[places:] == pytest.approx(wanted[places:])


@pytest.mark.parametrize("metric", ["activities_played", "total_time_spent"])
def test_most_played_activities_per_period_and_slice(ask, plays, metric):
    worth = {"activities_played": "played", "total_time_spent": "seconds"}[metric]
    for period, per in itertools.product(PERIODS, ((), ("country_code",), ("activity_type",))):
        groups = group(plays, period, (*per, "activity_id"))
        within: dict[tuple, list] = {}
        for key, one in groups.items():
            within.setdefault(key[:-1], []).append((-getattr(one, worth), key[-1]))
        expected = [
            (*slice_, activity, -value)
            for slice_, found in sorted(within.items())
            for value, activity in sorted(found)[:3]
        ]

        rows = ask(metric, by=(*per, "activity_id"), grain=period, top=3, per=per)

        assert rows == expected, (period, per)


def test_only_days_of_the_span_and_values_that_are_named_count(ask, plays):
    span = [play for play in plays if date(2021, 1, 5) <= play.day < date(2021, 1, 12)]
    where = {"os_name": "iOS", "country_code": "es"}
    one = group(span, None, (), where)[()]

    assert ask(
        "activities_played",
        "total_time_spent",
        where={name: (value,) for name, value in where.items()},
        since=date(2021, 1, 5),
        until=date(2021, 1, 12),
    ) == [(one.played, one.seconds)]

    either = [play for play in plays if play.slice["country_code"] in {"es", "it"}]
    assert ask("active_users", where={"country_code": ("es", "it")}) == [
        (len({play.user_id for play in either}),)
    ]


def test_the_days_of_a_week_add_up_to_it(ask):
    days = ask("activities_played", "total_time_spent", grain="day")
    weeks = {day: [0, Decimal(0)] for day, *_ in ask("activities_played", grain="week")}
    for day, played, seconds in days:
        monday = date.fromisocalendar(*day.isocalendar()[:2], 1)
        weeks[monday][0] += played
        weeks[monday][1] += seconds

    assert ask("activities_played", "total_time_spent", grain="week") == [
        (monday, *sums) for monday, sums in weeks.items()
    ]
