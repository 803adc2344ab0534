"""What an operator's parameters may be: each is read here, or refused in a sentence.

Here: one parameter at a time, whoever uses it. Elsewhere: what they mean to a window (``windows``)
and to checks (``checks``), when all of them are read (``preconditions``), their comments and
defaults (``conf/base/parameters.yml``).
"""

from __future__ import annotations

import contextlib
import re
from datetime import date
from typing import Any

from lingokids import schema
from lingokids.errors import LingokidsError

REBUILDS = ("bronze", "raw")
LONGEST_LOOKBACK_DAYS = 3_660
LONGEST_REPORT_WEEKS = 522
SECONDS_A_DAY = 86_400
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_rebuild(value: str | None) -> str | None:
    """Read the ``rebuild`` parameter: None, ``bronze`` or ``raw``.

    Raises:
        LingokidsError: It is anything else.
    """
    if value is None or value in REBUILDS:
        return value
    raise LingokidsError(
        f"rebuild is {value!r}: write rebuild=bronze (silver and gold anew from bronze), "
        "rebuild=raw (everything anew from the raw objects), or leave it out."
    )


def parse_since(parameters: dict[str, Any]) -> date | None:
    """Read ``listing.since``: the first arrival day whose folders are listed, or None: all.

    Raises:
        LingokidsError: It is not written YYYY-MM-DD.
    """
    return parse_day("listing.since", parameters.get("since"))


def parse_day(name: str, value: object) -> date | None:
    """Read a day written YYYY-MM-DD, or None.

    Raises:
        LingokidsError: It is written otherwise.
    """
    if value is None or (isinstance(value, date) and type(value) is date):
        return value
    with contextlib.suppress(ValueError):
        if _DAY.fullmatch(str(value)):  # fromisoformat takes other forms as well
            return date.fromisoformat(str(value))
    raise LingokidsError(f"{name} is {value!r}: write a UTC day as YYYY-MM-DD.")


def parse_days(name: str, value: object) -> int:
    """Read a number of days.

    Raises:
        LingokidsError: It is not a whole number from 0 to ten years.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not 0 <= value <= LONGEST_LOOKBACK_DAYS:  # type: ignore[operator]
        raise LingokidsError(
            f"{name} is {value!r}: write a whole number of days, 0 or more and at most "
            f"{LONGEST_LOOKBACK_DAYS:,}."
        )
    return value  # type: ignore[return-value]


def parse_month(name: str, value: object) -> date:
    """Read a month written YYYY-MM: its first day.

    Raises:
        LingokidsError: It is written otherwise.
    """
    try:
        return date.fromisoformat(f"{value}-01")
    except ValueError:
        raise LingokidsError(f"{name} is {value!r}: write a month as YYYY-MM.") from None


def parse_spellings(value: object) -> dict[str, str]:
    """Read ``os_names``: a spelling, and the name it is counted under.

    Raises:
        LingokidsError: It is not a mapping of text to text.
    """
    if isinstance(value, dict) and all(isinstance(part, str) for part in value.values()):
        return value
    raise LingokidsError(
        f"os_names is {value!r}: write spellings with the name to count them under, such as "
        "{iPhone OS: iOS}."
    )


def parse_cap(value: object) -> int:
    """Read ``duration_cap_seconds``: how long one activity counts for at most.

    Raises:
        LingokidsError: It is not a whole number from 1 second to a day.
    """
    return _parse_whole("duration_cap_seconds", value, "seconds", SECONDS_A_DAY)


def parse_gap(value: object) -> int:
    """Read ``session_gap_minutes``: the longest pause within a session.

    Raises:
        LingokidsError: It is not a whole number from 1 minute to a day.
    """
    return _parse_whole("session_gap_minutes", value, "minutes", SECONDS_A_DAY // 60)


def parse_smallest_group(value: object) -> int:
    """Read ``smallest_group``: the least number of users behind a metric that is shown.

    Raises:
        LingokidsError: It is not a whole number of 1 or more.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise LingokidsError(
        f"smallest_group is {value!r}: write a whole number of users, 1 or more (1 hides nothing)."
    )


def parse_reporting(parameters: dict[str, Any]) -> tuple[int, tuple[str, ...]]:
    """Read ``reporting``: how many of the last weeks are shown, and by what they are split.

    Raises:
        LingokidsError: ``weeks`` is not a whole number from 1 to ten years, or ``dimensions`` is
            not a list of columns that gold is sliced by, each once.
    """
    weeks, dimensions = parameters["weeks"], parameters["dimensions"]
    is_whole = isinstance(weeks, int) and not isinstance(weeks, bool)
    if not is_whole or not 1 <= weeks <= LONGEST_REPORT_WEEKS:
        raise LingokidsError(
            f"reporting.weeks is {weeks!r}: write a whole number of weeks, 1 or more and at most "
            f"{LONGEST_REPORT_WEEKS}."
        )
    known = schema.ENGAGEMENT_GRAIN[1:]
    names = dimensions if isinstance(dimensions, list) else [dimensions]
    if not names or any(name not in known or names.count(name) > 1 for name in names):
        raise LingokidsError(
            f"reporting.dimensions is {dimensions!r}: write a list of names out of "
            f"{', '.join(known)}, each once."
        )
    return weeks, tuple(names)


def _parse_whole(name: str, value: object, unit: str, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise LingokidsError(
        f"{name} is {value!r}: write a whole number of {unit}, from 1 to {most:,} (a day)."
    )
