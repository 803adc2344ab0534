"""A day is compared with the days before it, by median and median absolute deviation."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from lingokids.checks.anomalies import robust_z, unusual_days

FIRST = date(2021, 1, 1)


def _days(values):
    return {FIRST + timedelta(days=n): value for n, value in enumerate(values)}


def _unusual(values, judged=None, **settings):
    days = _days(values)
    limits = {"history_days": 28, "least_days": 14, "most_deviation": 8.0} | settings
    return unusual_days(days, set(days) if judged is None else judged, **limits)


def test_the_score_is_that_of_the_textbook():
    # median 100, absolute deviations 10, 20, 0, 10, 20: their median 10
    assert robust_z(130.0, [90.0, 120.0, 100.0, 110.0, 80.0]) == pytest.approx(30 / (1.4826 * 10))


def test_one_wild_day_in_the_history_does_not_hide_the_next():
    count, unusual = _unusual([100.0, 104.0, 98.0, 102.0] * 4 + [9_000.0, 101.0, 3.0])

    assert count == 5
    assert [day["value"] for day in unusual] == [9_000.0, 3.0]


def test_a_level_that_never_varied_may_move_a_little():
    assert _unusual([100.0] * 20 + [103.0])[1] == []
    assert len(_unusual([100.0] * 20 + [300.0])[1]) == 1
    assert len(_unusual([0.0] * 20 + [1.0])[1]) == 1


def test_a_short_history_judges_nothing():
    assert _unusual([100.0] * 14 + [9_000.0], least_days=15) == (0, [])


def test_days_without_rows_are_no_history():
    days = _days([100.0] * 14)
    late = FIRST + timedelta(days=400)

    assert unusual_days(
        days | {late: 9_000.0}, {late}, history_days=28, least_days=14, most_deviation=8.0
    ) == (0, [])


def test_only_the_days_asked_for_are_judged():
    assert _unusual([100.0] * 20 + [9_000.0], judged={FIRST + timedelta(days=19)}) == (1, [])
