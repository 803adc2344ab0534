"""Which loads, events and days a run reads or rebuilds.

Here: the window an operator asks for, the first arrival day listed, and the rules that say what
is due: always "what there is, minus what is already reflected", worked out from tables.
Elsewhere: what is done with the units that are due (each pipeline's ``nodes.py``).

A window is half-open, ``[start, end)``, in UTC days. It is rebuilt besides what is due, never
instead of it, so that a run with a window leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import ibis

from lingokids import contracts
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    import ibis.expr.types as ir

REBUILDS = ("bronze", "raw")
LONGEST_LOOKBACK_DAYS = 3_660
SECONDS_A_DAY = 86_400
LONGEST_REPORT_WEEKS = 522
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Window:
    """The days an operator asks to be rebuilt on purpose.

    Attributes:
        start: First day, or None: from the first there is.
        end: The day after the last, or None: to the last there is.
        lookback_days: How many days before each due day are rebuilt with it.
    """

    start: date | None = None
    end: date | None = None
    lookback_days: int = 0

    @property
    def is_open(self) -> bool:
        """Whether no span is asked for: only what is due is rebuilt."""
        return self.start is None and self.end is None

    def covers(self, day: ir.DateValue) -> ir.BooleanValue:
        """Whether ``day`` lies in the span asked for; never true if none is."""
        if self.is_open:
            return ibis.literal(False)
        covered = ibis.literal(True)
        if self.start is not None:
            covered = covered & (day >= ibis.literal(self.start))
        if self.end is not None:
            covered = covered & (day < ibis.literal(self.end))
        return covered


def parse_window(parameters: dict[str, Any]) -> Window:
    """Read the ``window`` parameters.

    Raises:
        LingokidsError: A day is not written YYYY-MM-DD, the window is empty or reversed, or
            ``lookback_days`` is not a whole number of 0 or more.
    """
    start = parse_day("window.start", parameters.get("start"))
    end = parse_day("window.end", parameters.get("end"))
    if start is not None and end is not None and start >= end:
        raise LingokidsError(
            f"window.end is {end}, not after window.start, {start}: the end is the day after "
            f"the last one; for one day write window.start={start},"
            f"window.end={start + timedelta(days=1)}."
        )
    lookback = parse_days("window.lookback_days", parameters.get("lookback_days") or 0)
    return Window(start, end, lookback)


def check_parameters(parameters: dict[str, Any]) -> str | None:
    """Read every parameter, so that a wrong one is refused before anything runs.

    Returns:
        The ``rebuild`` that is asked for.

    Raises:
        LingokidsError: A value is not of its kind.
    """
    parse_window(parameters["window"])
    since = parse_since(parameters["listing"])
    parse_spellings(parameters["os_names"])
    parse_month("subscription_impact.month", parameters["subscription_impact"]["month"])
    parse_days("subscription_impact.days", parameters["subscription_impact"]["days"])
    parse_smallest_group(parameters["smallest_group"])
    parse_cap(parameters["duration_cap_seconds"])
    parse_gap(parameters["session_gap_minutes"])
    parse_reporting(parameters["reporting"])
    rebuild = parse_rebuild(parameters["rebuild"])
    if rebuild == "raw" and since:
        raise LingokidsError(
            f"rebuild=raw takes in every raw object, and listing.since={since} would leave out "
            "those of earlier days: leave one of them out."
        )
    return rebuild


def parse_since(parameters: dict[str, Any]) -> date | None:
    """Read ``listing.since``: the first arrival day whose folders are listed, or None: all.

    Raises:
        LingokidsError: It is not written YYYY-MM-DD.
    """
    return parse_day("listing.since", parameters.get("since"))


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


def _parse_whole(name: str, value: object, unit: str, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise LingokidsError(
        f"{name} is {value!r}: write a whole number of {unit}, from 1 to {most:,} (a day)."
    )


def rules_of_gold(
    os_names: object, duration_cap_seconds: object, session_gap_minutes: object
) -> str:
    """The parameters that gold's days are counted by, in one text: days of another are due."""
    return json.dumps(
        {
            "duration_cap_seconds": parse_cap(duration_cap_seconds),
            "os_names": parse_spellings(os_names),
            "session_gap_minutes": parse_gap(session_gap_minutes),
        },
        sort_keys=True,
        ensure_ascii=False,
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
    known = contracts.ENGAGEMENT_GRAIN[1:]
    names = dimensions if isinstance(dimensions, list) else [dimensions]
    if not names or any(name not in known or names.count(name) > 1 for name in names):
        raise LingokidsError(
            f"reporting.dimensions is {dimensions!r}: write a list of names out of "
            f"{', '.join(known)}, each once."
        )
    return weeks, tuple(names)


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


def parse_month(name: str, value: object) -> date:
    """Read a month written YYYY-MM: its first day.

    Raises:
        LingokidsError: It is written otherwise.
    """
    try:
        return date.fromisoformat(f"{value}-01")
    except ValueError:
        raise LingokidsError(f"{name} is {value!r}: write a month as YYYY-MM.") from None


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


def find_next_load(ingested_objects: ir.Table, replayed_lines: ir.Table) -> ir.Table:
    """Find the number of the next load: one more than the last ingestion or replay has.

    Grain: one row.
    """
    last_load = loads_of(ingested_objects, replayed_lines).load_id.max()
    return (
        last_load.name("last_load_id")
        .as_table()
        .select(load_id=(ibis._.last_load_id.fill_null(0) + 1).cast("int32"))
    )


def loads_of(ingested_objects: ir.Table, replayed_lines: ir.Table) -> ir.Table:
    """The loads in bronze: those of ingestions, and those of replays.

    Grain: none; a load may stand more than once.
    """
    return ibis.union(ingested_objects.select("load_id"), replayed_lines.select("load_id"))


def find_new_loads(done_below: ir.Table, reflected: ir.Table) -> ir.Table:
    """Find the loads that the layer below has and this layer does not reflect yet.

    Grain: one row per ``load_id``.
    """
    return done_below.select("load_id").distinct().anti_join(reflected, "load_id")


def find_due_days(
    current_days: ir.Table, reflected_days: ir.Table, window: Window, rules: str
) -> ir.Table:
    """Find the days whose gold rows are older than the rows, or the rules, they are made by.

    Grain: one row per ``date``.

    Args:
        current_days: ``ENRICHED_DAYS``: the revision each day has now.
        reflected_days: ``GOLD_DAYS``: the revision and rules gold was last made by.
        window: The days in it are due as well, and so are the ``lookback_days`` before each
            day that is.
        rules: ``rules_of_gold`` of this run: a day made by others is due.

    Returns:
        ``DUE_DAYS``: the day, and the revision and rules it will reflect.
    """
    reflected = reflected_days.select(
        "date", reflected_revision="revision", reflected_rules="rules"
    )
    days = current_days.left_join(reflected, "date")
    is_stale = (
        days.reflected_revision.isnull()
        | (days.reflected_revision < days.revision)
        | (days.reflected_rules != rules)
    )
    stale = days.filter(is_stale | window.covers(days["date"])).select("date", "revision")
    if not window.lookback_days:
        return stale.mutate(rules=ibis.literal(rules))
    reach = ibis.range(0, window.lookback_days + 1).unnest()
    reached = stale.select(due_date=stale["date"], days_back=reach)
    reached = reached.select(
        date=(reached.due_date - reached.days_back.as_interval("D")).cast("date")
    ).distinct()
    return current_days.semi_join(reached, "date").select(
        "date", "revision", rules=ibis.literal(rules)
    )
