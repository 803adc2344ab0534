"""By what metrics may be split and filtered, and the periods they may be asked for.

Here: dimensions with their caveats, and time grains. Elsewhere: which dimensions a subject has
(``subjects``), the metrics (``definitions``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.metrics.subjects import first_day_of_week

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclass(frozen=True)
class Dimension:
    """What a metric may be split or filtered by.

    Attributes:
        name: The column.
        caveat: What a reader should know.
        own_meaning: What it is, if it is no column of a table and so has no meaning in contracts.
    """

    name: str
    caveat: str
    own_meaning: str = ""

    @property
    def meaning(self) -> str:
        """What it is."""
        return self.own_meaning or schema.COLUMNS[self.name].meaning


_DIMENSIONS = (
    Dimension(
        "country_code",
        "Of the user's latest record, also for events before it; `unknown` until the record "
        "arrives.",
    ),
    Dimension("os_name", "Unless the parameter `os_names` joins spellings; `unknown` if absent."),
    Dimension("os_version", "Alone it mixes systems: ask for os_name beside it."),
    Dimension("app_version", "Text: 5.9 sorts after 5.10."),
    Dimension("subscription_status", "At the moment of the event, by the user's latest record."),
    Dimension("activity_type", "By the latest catalogue; `unknown` if the activity is not in it."),
    Dimension("collection_id", "`none` where the activity was opened outside any playlist."),
    Dimension("activity_id", "Ask for activity_name beside it."),
    Dimension(
        "activity_name",
        "By the latest catalogue, where several activities may share a title; `unknown` if it has "
        "none.",
    ),
    Dimension(
        "main_os_name",
        "The platform of the funnel, of retention and of subscribers; of equals the first by name, "
        "`unknown` if none is known.",
    ),
    Dimension(
        "weeks_after_registration",
        "0 is the week of the registration itself.",
        "ISO weeks since that of the registration",
    ),
)

DIMENSIONS: dict[str, Dimension] = {dimension.name: dimension for dimension in _DIMENSIONS}


@dataclass(frozen=True)
class Grain:
    """A period of time, named by its first day.

    Attributes:
        meaning: What a period is.
        first_day: The first day of the period that a day lies in.
    """

    meaning: str
    first_day: Callable[[ir.DateValue], ir.DateValue]


def _truncated_to(unit: str) -> Callable[[ir.DateValue], ir.DateValue]:
    return lambda day: day.cast("timestamp").truncate(unit).date()


GRAINS: dict[str, Grain] = {
    "day": Grain("UTC day", lambda day: day),
    "week": Grain("ISO week, from its Monday", first_day_of_week),
    "month": Grain("calendar month", _truncated_to("M")),
    "year": Grain("calendar year", _truncated_to("Y")),
}
