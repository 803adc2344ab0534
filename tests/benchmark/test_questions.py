"""The times of questions are those of real ones, to a real copy."""

from __future__ import annotations

from lingokids.metrics import METRICS
from questions import all_questions, as_row, seconds_of


def test_every_metric_is_asked_for_by_every_dimension():
    asked = {(question.metrics[0], question.by) for question in all_questions()}

    for name, metric in METRICS.items():
        assert (name, ()) in asked
        assert {(name, (dimension,)) for dimension in metric.subject.dimensions} <= asked


def test_a_row_tells_the_slowest_question(sample_project):
    copy = sample_project.folder / "lingokids-gold.duckdb"
    first, second = all_questions()[:2]

    row = as_row("user_activity_daily", [(seconds_of(copy, first), first), (60.0, second)])

    table, count, p50, p95, metric, *_ = row.split()
    assert (table, count, metric) == ("user_activity_daily", "2", second.metrics[0])
    assert 30_000 < int(p50) < int(p95) < 60_000
