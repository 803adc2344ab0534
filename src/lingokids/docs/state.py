"""What a warehouse has counted, as it may be shared.

A count is of a whole table, a rule or a reason, never of a group of people. Left out is what may
name a user, an object or a line: parameters and failures of runs, names of unknown keys.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.storage.records import instant_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lingokids.storage.duckdb.history import History

RUNS_OF_A_TREND = 30
_SHOWN_RUNS = 50
_OF_A_RUN = ("run_id", "pipelines", "status", "run_seconds", "rows_inserted", "rows_deleted")

Json = dict[str, Any]


@dataclass(frozen=True)
class State:
    """What a warehouse has counted.

    Attributes:
        source: ``warehouse``; ``published copy`` while a run holds it; ``none``: there is neither.
    """

    source: str = "none"
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    written_at: dict[str, datetime] = field(default_factory=dict)
    results: dict[tuple[str, str], Json] = field(default_factory=dict)
    newest: dict[str, dict[str, datetime]] = field(default_factory=dict)
    runs: list[Json] = field(default_factory=list)
    quarantine: list[Json] = field(default_factory=list)
    unknown_keys: list[Json] = field(default_factory=list)

    @classmethod
    def read(cls, history: History) -> State:
        """Ask for all of it."""
        results = history.results(RUNS_OF_A_TREND)
        return cls(
            source="published copy" if history.held_by else "warehouse",
            sizes=history.sizes(),
            written_at=history.written_at(),
            results={(result["table_name"], result["rule"]): result for result in results},
            newest={
                name: history.newest(name, rule.column, rule.by) for name, rule in _fresh_rules()
            },
            runs=history.runs(_SHOWN_RUNS),
            quarantine=history.quarantined(datetime.min),
            unknown_keys=history.unknown_keys(datetime.min),
        )

    def checked(self, table_name: str, rule: schema.Rule) -> Json:
        """The last result of a rule, and how many rows failed before."""
        if (result := self.results.get((table_name, rule.name))) is None:
            return {"last": None, "trend": []}
        seconds = instant_of(result["run_id"]) // 1_000_000_000
        last = {
            "verdict": result["verdict"],
            "checked_at": instant(datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)),
            "rows_checked": result["rows_checked"],
            "rows_failed": result["rows_failed"],
        }
        return {"last": last, "trend": result["trend"]}

    def freshness(self, now: datetime) -> Iterator[Json]:
        """How old the newest of each group is that a rule promises to be fresh."""
        for name, rule in _fresh_rules():
            for group, hours in rule.hours.items():
                newest = self.newest.get(name, {}).get(group)
                yield {
                    "table": name,
                    "rule": rule.name,
                    "group": group,
                    "newest": instant(newest),
                    "hours": hours,
                    "is_stale": None if newest is None else now - newest > timedelta(hours=hours),
                }

    def last_runs(self) -> list[Json]:
        """The last runs, the newest first."""
        return [
            {name: run[name] for name in _OF_A_RUN} | {"started_at": instant(run["started_at"])}
            for run in self.runs
        ]

    def keys_without_field(self, acknowledged: Collection[str]) -> Iterator[Json]:
        """Counts of keys that no field reads; only acknowledged ones are named."""
        counted: defaultdict[tuple[str, str, str | None], list[Json]] = defaultdict(list)
        for each in self.unknown_keys:
            key = each["unknown_key"]
            said = key if f"{each['dataset']}.{key}" in acknowledged else None
            counted[each["dataset"], each["json_type"], said].append(each)
        for (dataset, json_type, key), found in sorted(counted.items(), key=str):
            yield {
                "dataset": dataset,
                "json_type": json_type,
                "key": key,
                "count": len(found),
                "lines": sum(each["lines"] for each in found),
            }


def instant(of: datetime | None) -> str | None:
    """An instant as JSON has it."""
    return None if of is None else f"{of.isoformat(timespec='seconds')}Z"


def _fresh_rules() -> Iterator[tuple[str, schema.Fresh]]:
    for name, contract in schema.STORED.items():
        for rule in contract.rules:
            if isinstance(rule, schema.Fresh):
                yield name, rule
