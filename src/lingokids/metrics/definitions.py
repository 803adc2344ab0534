"""Every metric, dimension and time grain: one definition each, for tables, answers and readers.

Here: name, formula, unit, owner and caveat. A *measure* is additive: it may be summed over any
rows and days. A *head count* is not: it is counted anew for each group. A *rate* is a quotient
of two of them, taken last, at the reader's grain. Elsewhere: how a question is answered by them
(``answer``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibis import _

from lingokids import contracts

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.common.deferred import Deferred

UNKNOWN = "unknown"
NO_COLLECTION = "none"

PRODUCT, CONTENT = "product analytics", "content team"


@dataclass(frozen=True)
class Measure:
    """A metric that may be added up.

    Attributes:
        of_events: Its value over rows of the enriched events: what the gold tables hold.
    """

    name: str
    of_events: Deferred
    formula: str
    unit: str
    owner: str
    caveat: str

    @property
    def of_days(self) -> Deferred:
        """Its value over rows of a gold table."""
        return _[self.name].sum().fill_null(0).cast(contracts.COLUMNS[self.name].type)


@dataclass(frozen=True)
class HeadCount:
    """A number of different users.

    Attributes:
        of_days: Its value over rows of ``user_activity_daily``.
    """

    name: str
    of_days: Deferred
    formula: str
    unit: str
    owner: str
    caveat: str


@dataclass(frozen=True)
class Rate:
    """A quotient of two other metrics, taken after they are added up."""

    name: str
    numerator: str
    denominator: str
    unit: str
    owner: str
    caveat: str

    @property
    def formula(self) -> str:
        """The quotient in words."""
        return f"{self.numerator} / {self.denominator}"

    @property
    def of_parts(self) -> Deferred:
        """Its value beside its parts; NULL where there is nothing to divide by."""
        return _[self.numerator].cast("float64") / _[self.denominator].nullif(0)


Metric = Measure | HeadCount | Rate

# --- metrics ------------------------------------------------------------------------------

_DEFINITIONS: tuple[Metric, ...] = (
    Measure(
        name="activities_played",
        of_events=_.count(),
        formula="number of activity exits",
        unit="exits",
        owner=PRODUCT,
        caveat="An activity left after a second counts; one that is still open does not.",
    ),
    Measure(
        name="activities_completed",
        of_events=_.completed_flag.sum().fill_null(0).cast("int64"),
        formula="number of activity exits with completed_flag",
        unit="exits",
        owner=PRODUCT,
        caveat="An exit that does not say whether it was completed counts as not completed.",
    ),
    Measure(
        name="total_time_spent",
        of_events=_.duration_seconds.sum().fill_null(0).cast(contracts.TOTAL_SECONDS),
        formula="sum of duration_seconds",
        unit="s",
        owner=PRODUCT,
        caveat="Durations are as delivered: an app left in the background counts for days.",
    ),
    HeadCount(
        name="active_users",
        of_days=_.user_id.nunique(),
        formula="number of different user_id with an activity exit",
        unit="users",
        owner=PRODUCT,
        caveat="A user is a parent's account, not a child. Not additive: one who comes on two "
        "days, or in two slices, counts once in the total.",
    ),
    Rate(
        name="completion_rate",
        numerator="activities_completed",
        denominator="activities_played",
        unit="0 to 1",
        owner=CONTENT,
        caveat="Not the mean of daily rates: busy days weigh more.",
    ),
    Rate(
        name="time_per_activity",
        numerator="total_time_spent",
        denominator="activities_played",
        unit="s",
        owner=CONTENT,
        caveat="A mean, so a few very long exits move it much.",
    ),
    Rate(
        name="activities_per_user",
        numerator="activities_played",
        denominator="active_users",
        unit="exits",
        owner=PRODUCT,
        caveat="Per user who was active in the period, not per registered user.",
    ),
    Rate(
        name="time_per_user",
        numerator="total_time_spent",
        denominator="active_users",
        unit="s",
        owner=PRODUCT,
        caveat="Per user who was active in the period, not per registered user.",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _DEFINITIONS}

#: The additive part, as expressions over events: what the nodes of marts and analytics build.
MEASURES: dict[str, Deferred] = {
    metric.name: metric.of_events for metric in _DEFINITIONS if isinstance(metric, Measure)
}

#: The rates, as expressions over a table that has both their parts.
RATES: dict[str, Deferred] = {
    metric.name: metric.of_parts for metric in _DEFINITIONS if isinstance(metric, Rate)
}

# --- dimensions -----------------------------------------------------------------------------

#: What a metric may be split or filtered by, with its caveat; the meaning stands in contracts.
DIMENSIONS: dict[str, str] = {
    "country_code": "Of the user's latest record, also for events before it; `unknown` until the "
    "record arrives.",
    "os_name": "Unless the parameter `os_names` joins spellings; `unknown` if absent.",
    "os_version": "Alone it mixes systems: ask for os_name beside it.",
    "app_version": "Text: 5.9 sorts after 5.10.",
    "subscription_status": "At the moment of the event, by the user's latest record.",
    "activity_type": "By the latest catalogue; `unknown` if the activity is not in it.",
    "collection_id": "`none` where the activity was opened outside any playlist.",
    "activity_id": "Ask for activity_name beside it.",
    "activity_name": "By the latest catalogue, where several activities may share a title; "
    "`unknown` if it has none.",
}

# --- time grains ----------------------------------------------------------------------------


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
    "week": Grain("ISO week, from its Monday", _truncated_to("W")),
    "month": Grain("calendar month", _truncated_to("M")),
    "year": Grain("calendar year", _truncated_to("Y")),
}


def percentage(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
    """A share in percent, rounded to 2 digits: for answers, never for storing."""
    return (part.cast("float64") * 100 / whole.nullif(0)).round(2)
