"""What is wrong with an environment: judged here for status, alerts and metrics alike.

A fault says where and what, never a value of a row: an error may have one, and the name of an
object too, so why a run failed is told by ``kedro status`` to whoever may read the warehouse.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.project import pipelines

from lingokids import schema

if TYPE_CHECKING:
    from lingokids.schema.parameters import Checks
    from lingokids.storage.duckdb.history import History

FAILED_RUN, KILLED_RUN, UNRECORDED_RUN = "failed run", "killed run", "unrecorded run"
BROKEN_RULE, STALE_TABLE, SLOW_RUN = "broken rule", "stale table", "slow run"
#: A run is slow from so many times the median of its kind.
_SLOW = 2


@dataclass(frozen=True)
class Fault:
    """Something that is wrong, until it is right again.

    Attributes:
        kind: One of the above.
        about: What it is of; "": there is but one of its kind.
        says: The same in a sentence.
    """

    kind: str
    about: str
    says: str

    @property
    def name(self) -> str:
        """What tells it from others."""
        return f"{self.kind}: {self.about}" if self.about else self.kind


def find(
    history: History,
    checks: Checks,
    runs: list[dict[str, Any]],
    freshness: list[dict[str, Any]],
    killed_at: str | None,
) -> Iterator[Fault]:
    """What is wrong now, the worst first.

    Args:
        history: The records; a published copy has those of runs that were kept.
        checks: The parameters: a rule that is turned off is not wrong.
        runs: The last ones, the newest first.
        freshness: See ``freshness``.
        killed_at: See ``killed_at``.
    """
    last = runs[0] if runs else None
    if last and last["status"] == "failed":
        said = f"The run of {last['started_at']:%Y-%m-%d %H:%M} UTC failed"
        yield Fault(FAILED_RUN, "", f"{said}{where_of(last['failure'])}. Why: kedro status.")
    if killed_at:
        yield Fault(KILLED_RUN, "", f"The run of {killed_at} UTC was killed: run again.")
    for each in history.results(1):
        if each["verdict"] in ("failed", "warned") and _is_checked(checks, each):
            about = f"{each['table_name']}.{each['rule']}"
            counts = f"{each['rows_failed']:,} of {each['rows_checked']:,}"
            yield Fault(BROKEN_RULE, about, f"{about} {each['verdict']}: broken by {counts}.")
    for each in freshness:
        if each["is_stale"]:
            about = f"{each['table_name']}, {group_of(each)}"
            newest = f"{str(each['newest'])[:16]} UTC" if each["newest"] else "none"
            promised = f"promised within {each['most_hours']:g} h"
            yield Fault(STALE_TABLE, about, f"{about}: newest {newest}, {promised}.")
    if last and is_slow(last):
        took = f"{last['run_seconds']:,.1f} s, where {last['usual_seconds']:,.1f} s are usual"
        said = f"The run of {last['started_at']:%Y-%m-%d %H:%M} UTC took {took}."
        yield Fault(SLOW_RUN, "", said)


def _is_checked(checks: Checks, result: dict[str, Any]) -> bool:
    """Whether a rule is one still; of the clock, what was found then is not what is now."""
    rules = checks.rules_of(result["table_name"]) if result["table_name"] in schema.STORED else []
    return result["rule"] in {rule.name for rule in rules if not isinstance(rule, schema.Fresh)}


def is_slow(run: dict[str, Any]) -> bool:
    """Whether a run took much longer than others of its kind."""
    return bool(run["run_seconds"] > _SLOW * (run["usual_seconds"] or run["run_seconds"]))


def where_of(failure: str | None) -> str:
    """The node that a recorded failure begins with, in a sentence; nothing else of it."""
    named = (failure or "").partition(": ")[0]
    known = (node.name for each in pipelines.values() for node in each.nodes)
    return f" in {named}" if named in known else ""


def freshness(checks: Checks, history: History, now: datetime) -> Iterator[dict[str, Any]]:
    """Each rule of freshness of the contracts, by the clock (or ``checks.now``)."""
    now = checks.now or now
    for name in schema.STORED:
        for rule in checks.rules_of(name):
            # the copy has no such table, which says nothing
            if isinstance(rule, schema.Fresh) and (name in history.tables or not history.held_by):
                newest = history.newest(name, rule.column, rule.by)
                stale = rule.overdue(newest, now)
                for group, hours in rule.hours.items():
                    yield {
                        "table_name": name,
                        rule.by: group,
                        "newest": newest.get(group),
                        "most_hours": hours,
                        "is_stale": group in stale,
                    }


def group_of(fresh: dict[str, Any]) -> str:
    """The group that a rule of freshness is about, such as a dataset."""
    return str(next(value for name, value in fresh.items() if name != "table_name"))


# --- runs that were killed ------------------------------------------------------------------


def mark_of(database: Path) -> Path:
    """The file that is there while a run goes on, and after one that was killed."""
    return database.with_name(f".{database.name}.run")


def leave_mark(database: Path, started_at: datetime) -> Path:
    """Leave that file; a full disk takes none, and a run will say so."""
    mark = mark_of(database)
    with contextlib.suppress(OSError):
        mark.write_text(json.dumps({"started_at": f"{started_at:%Y-%m-%d %H:%M}"}))
    return mark


def killed_at(database: Path, held_by: str) -> str | None:
    """When the run began that was killed, if the last one was; none was if one goes on."""
    if held_by:
        return None
    try:
        return str(json.loads(mark_of(database).read_text())["started_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
