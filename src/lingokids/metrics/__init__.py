"""What the metrics are, how a question about them is answered, and who is too few to be shown.

Here: one definition per metric (``definitions``, of the ``kinds``), what they are about
(``subjects``), by what and for which periods (``dimensions``), where a session begins
(``sessions``), a question and its checks (``question``), the query that answers it (``answer``),
the rule that hides small groups (``small_groups``; of answers that are seen side by side
``side_by_side``), the glossary made of all that (``glossary``). Elsewhere: by which columns the
gold tables group (``contracts``), which days are rebuilt (``windows``), how an answer is fetched
and printed (``questions``).
"""

from lingokids.metrics.answer import answer, work_out
from lingokids.metrics.definitions import (
    MEASURES,
    METRICS,
    RATES,
    USER_MEASURES,
)
from lingokids.metrics.dimensions import DIMENSIONS, GRAINS
from lingokids.metrics.kinds import percentage
from lingokids.metrics.question import Question
from lingokids.metrics.sessions import with_sessions
from lingokids.metrics.side_by_side import (
    SHOWN,
    hide_side_by_side,
    measure_side_by_side,
    rows_of,
)
from lingokids.metrics.small_groups import hide_small_groups
from lingokids.metrics.subjects import NO_COLLECTION, SUBJECTS, UNKNOWN, weeks_between

__all__ = [
    "DIMENSIONS",
    "GRAINS",
    "MEASURES",
    "METRICS",
    "NO_COLLECTION",
    "RATES",
    "SHOWN",
    "SUBJECTS",
    "UNKNOWN",
    "USER_MEASURES",
    "Question",
    "answer",
    "hide_side_by_side",
    "hide_small_groups",
    "measure_side_by_side",
    "percentage",
    "rows_of",
    "weeks_between",
    "with_sessions",
    "work_out",
]
