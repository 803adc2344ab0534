"""Sessions, new users, funnel, retention and subscribers of the sample, against plain loops."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import ibis
import pytest

from conftest import ROOT
from lingokids.metrics import GRAINS
from lingokids.query import Question, answer
from plain_truth import first_day_of, group, openers_of_sessions, people_of, plays_of

SLOW = pytest.mark.slow
CAP, GAP, COMPARED = 3600, 30, 7  # as in conf/base/parameters.yml
PERIODS = (None, *GRAINS)
QUICK = (None, "week")
EACH_PERIOD = [*QUICK, *(pytest.param(name, marks=SLOW) for name in PERIODS if name not in QUICK)]
OF_ACTIVITY = ((), ("country_code",), ("os_name", "subscription_status"), ("activity_id",))
OF_PEOPLE = ((), ("country_code",), ("main_os_name",), ("country_code", "main_os_name"))


@pytest.fixture(scope="module")
def copies():
    """The published copy of the sample, once a test of this file has made it."""
    return []


@pytest.fixture
def ask(copies, request):
    """Ask the published copy of the sample: rows as tuples."""
    if not copies:
        folder = request.getfixturevalue("sample_project").folder
        copies.append(ibis.duckdb.connect(folder / "lingokids-gold.duckdb", read_only=True))
    (copy,) = copies

    def ask(*metrics, **asked):
        question = Question(metrics, **asked)
        table = copy.table(question.subject.table_name)
        answered = answer(table, question)
        return [tuple(row.values()) for row in answered.to_pyarrow().to_pylist()]

    return ask


@pytest.fixture(scope="module")
def plays():
    return plays_of(ROOT / "data" / "01_raw")


@pytest.fixture(scope="module")
def people():
    return people_of(ROOT / "data" / "01_raw")


@pytest.mark.parametrize("period", EACH_PERIOD)
def test_sessions_and_capped_time_are_what_the_raw_lines_say(ask, plays, period):
    openers = openers_of_sessions(plays, CAP, GAP)
    for names in OF_ACTIVITY:
        begun = group(openers, period, names)
        expected = []
        for key, one in sorted(group(plays, period, names).items()):
            sessions = begun[key].played if key in begun else 0
            capped = sum(min(play.seconds, Decimal(CAP)) for play in one.plays)
            beyond = one.seconds - capped
            expected.append((*key, sessions, capped, beyond))

        rows = ask("sessions", "capped_time_spent", "time_beyond_cap", by=names, grain=period)

        assert rows == expected, (period, names)


@pytest.mark.parametrize("period", EACH_PERIOD)
def test_new_and_returning_users_and_stickiness_are_what_the_raw_lines_say(ask, plays, period):
    first = {}
    for play in plays:
        first[play.user_id] = min(play.day, first.get(play.user_id, play.day))
    since = date(2021, 1, 6)
    of_span = [play for play in plays if play.day >= since]
    for names in OF_ACTIVITY:
        whole = group(of_span, period, ())
        expected = []
        for key, one in sorted(group(of_span, period, names).items()):
            of_period = key[: bool(period)]
            begins = max([since, *of_period])
            new = sum(first[user] >= begins for user in one.users)
            user_days = len({(play.user_id, play.day) for play in one.plays})
            daily = user_days / len({play.day for play in whole[of_period].plays})
            users = len(one.users)
            expected.append((*key, new, users - new, user_days, daily, daily / users))

        rows = ask(
            *("new_users", "returning_users"),
            *("active_user_days", "daily_active_users", "stickiness"),
            by=names,
            grain=period,
            since=since,
        )

        assert [row[:-1] for row in rows] == [row[:-1] for row in expected], (period, names)
        assert [row[-1] for row in rows] == pytest.approx([row[-1] for row in expected])


def test_the_funnel_is_what_the_records_say(ask, people):
    for period, names in itertools.product(PERIODS, OF_PEOPLE):
        groups = defaultdict(list)
        for person in people.values():
            if person.registered:
                groups[_key(person, person.registered, period, names)].append(person)
        expected = []
        for key, members in sorted(groups.items()):
            trials = [person for person in members if person.trial]
            converted = sum(bool(person.subscribed) for person in trials)
            subscribed = sum(bool(person.subscribed) for person in members)
            counts = (len(members), len(trials), converted, subscribed)
            expected.append((*key, *counts, converted / len(trials) if trials else None))

        rows = ask(
            *("registered_users", "trials_started", "trials_converted", "subscriptions_started"),
            "trial_conversion_rate",
            by=names,
            grain=period,
        )

        assert rows == expected, (period, names)


def test_retention_is_what_the_raw_lines_say(ask, people):
    active = [person.days for person in people.values() if person.days]
    apart = min(4, len(active) // 20)  # users whose clock may be wrong
    first_day, last_day = sorted(map(min, active))[apart], sorted(map(max, active))[-1 - apart]
    assert apart > 0
    for period, names in itertools.product(("week", "month", None), OF_PEOPLE):
        groups = defaultdict(lambda: [0, 0])
        for person in people.values():
            week, monday = 0, first_day_of(person.registered, "week")
            while monday + timedelta(days=7 * week + 6) <= last_day:
                if monday + timedelta(days=7 * week) >= first_day:
                    key = _key(person, person.registered, period, names)
                    place = key[: bool(period)], week, key[bool(period) :]
                    groups[place][0] += 1
                    groups[place][1] += week in person.weeks()
                week += 1
        expected = [
            (*cohort, week, *slice_, users, retained, retained / users)
            for (cohort, week, slice_), (users, retained) in sorted(groups.items())
        ]

        rows = ask(
            *("cohort_users", "retained_users", "retention_rate"),
            by=("weeks_after_registration", *names),
            grain=period,
        )

        assert rows == expected, (period, names)
        assert len(expected) > 4


def test_what_a_subscription_changes_is_what_the_raw_lines_say(ask, people):
    for period, names in itertools.product(PERIODS, OF_PEOPLE):
        groups = defaultdict(list)
        for person in people.values():
            if person.subscribed:
                groups[_key(person, person.subscribed, period, names)].append(person)
        expected = []
        for key, members in sorted(groups.items()):
            before = sum(person.completed(-COMPARED, -1) for person in members)
            after = sum(person.completed(1, COMPARED) for person in members)
            lift = after / before if before else None
            expected.append((*key, len(members), before, after, after / len(members), lift))

        rows = ask(
            *("subscribers", "completed_before", "completed_after"),
            *("completed_after_per_subscriber", "subscription_lift"),
            by=names,
            grain=period,
        )

        assert rows == expected, (period, names)


def _key(person, day, period, names):
    of_person = {"country_code": person.country, "main_os_name": person.system}
    first_day = (first_day_of(day, period),) if period else ()
    return (*first_day, *(of_person[name] for name in names))
