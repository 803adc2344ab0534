"""What the metrics are: one definition each.

Here: one definition per metric (``definitions``, of the ``kinds``), what they are about
(``subjects``), by what and for which periods (``dimensions``), where a session begins
(``sessions``), the glossary made of all that (``glossary``). How a question about them is answered
stands in ``query``.
"""

from lingokids.metrics.definitions import MEASURES, METRICS, RATES, USER_MEASURES
from lingokids.metrics.dimensions import DIMENSIONS, GRAINS
from lingokids.metrics.kinds import percentage
from lingokids.metrics.sessions import with_sessions
from lingokids.metrics.subjects import NO_COLLECTION, SUBJECTS, UNKNOWN, weeks_between

__all__ = [
    "DIMENSIONS",
    "GRAINS",
    "MEASURES",
    "METRICS",
    "NO_COLLECTION",
    "RATES",
    "SUBJECTS",
    "UNKNOWN",
    "USER_MEASURES",
    "percentage",
    "weeks_between",
    "with_sessions",
]
