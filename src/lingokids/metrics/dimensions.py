"""Dimensions to group and filter metrics by, and time grains."""

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
    """A column to group or filter by.

    Attributes:
        own_meaning: What it means, if it is no column of a contract.
    """

    name: str
    caveat: str
    own_meaning: str = ""

    @property
    def meaning(self) -> str:
        """What it means."""
        return self.own_meaning or schema.COLUMNS[self.name].meaning


_DIMENSIONS = (
    Dimension(
        "country_code",
        "From the user's latest record, also for earlier events; `unknown` until one arrives.",
    ),
    Dimension("os_name", "The parameter `os_names` can merge spellings; `unknown` if absent."),
    Dimension("os_version", "Ambiguous alone: add os_name."),
    Dimension("app_version", "Sorted as text: 5.9 after 5.10."),
    Dimension("subscription_status", "At the moment of the event, by the user's latest record."),
    Dimension(
        "activity_type", "From the latest catalogue; `unknown` if the activity is not in it."
    ),
    Dimension("collection_id", "`none` where the activity was opened outside any playlist."),
    Dimension("activity_id", "Add activity_name to see titles."),
    Dimension(
        "activity_name",
        "From the latest catalogue; several activities may share a title; `unknown` if absent.",
    ),
    Dimension(
        "main_os_name",
        "Platform in funnel, retention and subscription metrics; ties go to the first by name; "
        "`unknown` if absent.",
    ),
    Dimension(
        "weeks_after_registration",
        "0 is the week of registration.",
        "ISO weeks since the week of registration",
    ),
)

DIMENSIONS: dict[str, Dimension] = {dimension.name: dimension for dimension in _DIMENSIONS}


@dataclass(frozen=True)
class Grain:
    """A period, identified by its first day.

    Attributes:
        first_day: From a day to the first day of its period.
    """

    meaning: str
    first_day: Callable[[ir.DateValue], ir.DateValue]


def _truncated_to(unit: str) -> Callable[[ir.DateValue], ir.DateValue]:
    return lambda day: day.cast("timestamp").truncate(unit).date()


GRAINS: dict[str, Grain] = {
    "day": Grain("day in the reporting time zone, the parameter `time_zone`", lambda day: day),
    "week": Grain("ISO week, from its Monday", first_day_of_week),
    "month": Grain("calendar month", _truncated_to("M")),
    "year": Grain("calendar year", _truncated_to("Y")),
}
