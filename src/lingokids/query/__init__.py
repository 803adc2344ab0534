"""Questions about metrics: what may be asked, how it is answered, who is too few to be shown.

A question and its checks stand in ``question``, the query that answers it in ``answer``, the rule
that hides small groups in ``small_groups`` (of answers seen side by side in ``side_by_side``), how
an answer is fetched and printed in ``command``. What a metric is stands in ``metrics``.
"""

from lingokids.query.answer import answer, work_out
from lingokids.query.question import Question
from lingokids.query.side_by_side import SHOWN, hide_side_by_side, measure_side_by_side, rows_of
from lingokids.query.small_groups import hide_small_groups

__all__ = [
    "SHOWN",
    "Question",
    "answer",
    "hide_side_by_side",
    "hide_small_groups",
    "measure_side_by_side",
    "rows_of",
    "work_out",
]
