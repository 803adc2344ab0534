"""What a day is: the calendar day of an instant in the reporting time zone."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import ibis.expr.types as ir

#: Between these two days are exact; before and after, the first and the last offset hold. Each
#: decade more costs a run 0.05 s of CPU.
FIRST_YEAR, END_YEAR = 2000, 2050
_LOOK_EVERY = timedelta(days=7)  # no zone changes twice within a week


class _Offset(NamedTuple):
    since: datetime
    seconds: int


def local_date(instant: ir.TimestampValue, time_zone: str) -> ir.DateValue:
    """The day of an instant (UTC) in a time zone.

    Offsets stand in the expression, as a search among the zone's changes: Ibis has no word for a
    zone that all engines take alike, and DuckDB's own conversion takes six times as long. So it
    tells a node's fingerprint what days it counts by, also where a country changes its time.

    Args:
        instant: Without a zone, as all instants are.
        time_zone: A name of ``time_zones``.
    """
    import ibis

    if time_zone == "UTC":
        return instant.date()
    offsets = _offsets(time_zone)
    local = {
        seconds: instant + ibis.interval(seconds=seconds)
        for seconds in {offset.seconds for offset in offsets}
    }

    def search(among: tuple[_Offset, ...]) -> ir.TimestampValue:
        if len(among) == 1:
            return local[among[0].seconds]
        middle = len(among) // 2
        is_earlier = instant < ibis.timestamp(among[middle].since)
        return ibis.ifelse(is_earlier, search(among[:middle]), search(among[middle:]))

    return search(offsets).date()


def is_day_somewhere(day: ir.DateValue, instant: ir.TimestampValue) -> ir.BooleanValue:
    """Whether a day is that of an instant in some time zone, the one before a change too."""
    import ibis

    first, last = instant - ibis.interval(hours=12), instant + ibis.interval(hours=14)
    return day.between(first.date(), last.date())


def have_same_days(time_zone: str, other: str) -> bool:
    """Whether two names are of time zones with the same days."""
    return time_zone == other or _offsets(time_zone) == _offsets(other)


@cache
def time_zones() -> frozenset[str]:
    """The names of all time zones."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def _offsets(time_zone: str) -> tuple[_Offset, ...]:
    """The offsets from UTC that a zone has had, and will have by today's rules, in order.

    They are those of the package ``tzdata``, not of the machine: locked, and the same everywhere.
    """
    with files("tzdata").joinpath("zoneinfo", *time_zone.split("/")).open("rb") as file:
        zone = ZoneInfo.from_file(file, time_zone)

    at = datetime(FIRST_YEAR, 1, 1)
    found = [_Offset(at, _seconds_at(zone, at))]
    while at.year < END_YEAR:
        before, at = at, at + _LOOK_EVERY
        if (seconds := _seconds_at(zone, at)) != found[-1].seconds:
            found.append(_Offset(_change(zone, before, seconds), seconds))
    return tuple(found)


def _change(zone: ZoneInfo, before: datetime, seconds: int) -> datetime:
    """The instant after another from which a zone has this offset."""

    def is_changed(later: int) -> bool:
        return _seconds_at(zone, before + timedelta(seconds=later)) == seconds

    span = range(_LOOK_EVERY // timedelta(seconds=1))
    return before + timedelta(seconds=bisect_left(span, True, key=is_changed))


def _seconds_at(zone: ZoneInfo, at: datetime) -> int:
    local = zone.fromutc(at.replace(tzinfo=zone)).replace(tzinfo=None)
    return (local - at) // timedelta(seconds=1)
