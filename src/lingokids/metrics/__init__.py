"""What each metric means: definitions, dimensions, sessions, glossary.

How a question about metrics is answered is in ``query``.
"""

from lingokids.metrics.definitions import MEASURES, METRICS, RATES, USER_MEASURES
from lingokids.metrics.dimensions import DIMENSIONS, GRAINS
from lingokids.metrics.kinds import percentage
from lingokids.metrics.sessions import with_sessions
from lingokids.metrics.subjects import (
    NO_COLLECTION,
    SUBJECTS,
    UNKNOWN,
    Subject,
    last_shared_day,
    weeks_between,
)

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
    "Subject",
    "last_shared_day",
    "percentage",
    "weeks_between",
    "with_sessions",
]
