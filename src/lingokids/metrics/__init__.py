"""What the metrics are, how a question about them is answered, and who is too few to be shown.

Here: one definition per metric, dimension and time grain (``definitions``), a question and its
checks (``question``), the query that answers it (``answer``), the rule that hides small groups
(``small_groups``; of answers that are seen side by side ``side_by_side``), the glossary made of all
that (``glossary``). Elsewhere: by which columns the gold tables group (``contracts``), which days
are rebuilt (``windows``), how an answer is fetched and printed (``questions``).
"""

from lingokids.metrics.answer import answer, work_out
from lingokids.metrics.definitions import (
    DIMENSIONS,
    GRAINS,
    MEASURES,
    METRICS,
    NO_COLLECTION,
    RATES,
    UNKNOWN,
    percentage,
)
from lingokids.metrics.question import Question
from lingokids.metrics.side_by_side import hide_side_by_side, measure_side_by_side, rows_of
from lingokids.metrics.small_groups import hide_small_groups

__all__ = [
    "DIMENSIONS",
    "GRAINS",
    "MEASURES",
    "METRICS",
    "NO_COLLECTION",
    "RATES",
    "UNKNOWN",
    "Question",
    "answer",
    "hide_side_by_side",
    "hide_small_groups",
    "measure_side_by_side",
    "percentage",
    "rows_of",
    "work_out",
]
