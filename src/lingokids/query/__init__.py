"""Queries on metrics: questions, answers, suppression of small groups.

A question and its validation are in ``question``, the query in ``answer``, the suppression of small
groups in ``small_groups`` (across several answers: ``side_by_side``), the command line in
``command``. What a metric is: ``metrics``.
"""

from lingokids.query.answer import answer, compute_groups
from lingokids.query.question import Question
from lingokids.query.side_by_side import SHOWN, hide_side_by_side, measure_side_by_side, rows_of
from lingokids.query.small_groups import hide_small_groups

__all__ = [
    "SHOWN",
    "Question",
    "answer",
    "compute_groups",
    "hide_side_by_side",
    "hide_small_groups",
    "measure_side_by_side",
    "rows_of",
]
