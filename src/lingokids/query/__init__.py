"""Queries on metrics: questions, answers, and what of them may be shared.

A question and its validation are in ``question``, the query on rows of users in ``answer``, the
suppression of small groups in ``side_by_side`` (in one answer: ``small_groups``), the command line
in ``command``. What a metric is: ``metrics``.
"""

from lingokids.query.answer import answer
from lingokids.query.question import Question
from lingokids.query.side_by_side import (
    SHARED,
    first_week_apart,
    hide_side_by_side,
    measure_side_by_side,
    rows_of,
    weeks_of,
)
from lingokids.query.small_groups import hide_small_groups

__all__ = [
    "SHARED",
    "Question",
    "answer",
    "first_week_apart",
    "hide_side_by_side",
    "hide_small_groups",
    "measure_side_by_side",
    "rows_of",
    "weeks_of",
]
