"""Which loads, events and days a run reads or rebuilds.

Here: the window an operator asks for, the first arrival day listed, and the rules that say what
is due: always "what there is, minus what is already reflected", worked out from tables.
Elsewhere: what is done with the units that are due (each pipeline's ``nodes.py``).

A window is half-open, ``[start, end)``, in UTC days. It is rebuilt besides what is due, never
instead of it, so that a run with a window leaves nothing behind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import ibis

from lingokids.errors import LingokidsError
from lingokids.schema.parameters import parse_cap, parse_day, parse_days, parse_gap, parse_spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir


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
        current_days: ``ENRICHED_DAYS``: the revision each day has now, and since which it is whole.
        reflected_days: ``GOLD_DAYS``: the revision and rules gold was last made by.
        window: The days in it are due as well, and so are the ``lookback_days`` before each
            day that is.
        rules: ``rules_of_gold`` of this run: a day made by others is due.

    Returns:
        ``DUE_DAYS``: the day, the revision and rules it will reflect, and the revision from which
        it is enough to bring the users that changed up to date, if it is.
    """
    reflected = reflected_days.select(
        "date", reflected_revision="revision", reflected_rules="rules"
    )
    days = current_days.left_join(reflected, "date")
    is_whole = (
        days.reflected_revision.isnull()
        | (days.reflected_revision < days.whole_revision)
        | (days.reflected_rules != rules)
        | window.covers(days["date"])
    )
    stale = days.filter(is_whole | (days.reflected_revision < days.revision)).select(
        "date",
        "revision",
        rules=ibis.literal(rules),
        reflected_revision=ibis.ifelse(is_whole, ibis.null("int32"), days.reflected_revision),
    )
    if not window.lookback_days:
        return stale
    reach = ibis.range(0, window.lookback_days + 1).unnest()
    reached = stale.select(due_date=stale["date"], days_back=reach)
    reached = reached.select(
        date=(reached.due_date - reached.days_back.as_interval("D")).cast("date")
    ).distinct()
    return current_days.semi_join(reached, "date").select(
        "date", "revision", rules=ibis.literal(rules), reflected_revision=ibis.null("int32")
    )


def find_due_user_days(
    due_days: ir.Table, changed_user_days: ir.Table, user_days: Iterable[ir.Table]
) -> ir.Table:
    """Find the users whose gold rows are older than the rows, or the rules, they are made by.

    Grain: one row per ``date`` and ``user_id``.

    Args:
        due_days: ``DUE_DAYS``. Of a day that is made as a whole each user is due; of any other
            those that changed since the revision that gold reflects.
        changed_user_days: ``CHANGED_USER_DAYS``.
        user_days: Tables with the users of each day: those there are, and those there were.
    """
    whole = due_days.filter(due_days.reflected_revision.isnull())
    reflected = due_days.filter(due_days.reflected_revision.notnull()).select(
        "date", "reflected_revision"
    )
    changed = changed_user_days.inner_join(reflected, "date")
    return ibis.union(
        changed.filter(changed.revision > changed.reflected_revision).select("date", "user_id"),
        *(rows.semi_join(whole, "date").select("date", "user_id") for rows in user_days),
        distinct=True,
    )
