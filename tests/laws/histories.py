"""Dirty histories at random: what is delivered, and which runs are made of it.

Few keys, ids and instants, so that they meet: objects are sent again with other content, with
less, with what they had before; records arrive late, are corrected and lose what they said. Which
of these happen often is drawn first, so that histories differ.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from builders import a_user_record, an_activity_record, an_event_record, an_id

DATASETS = ("events", "users", "activities")
KEYS = {"events": ("a", "b", "c"), "users": ("u", "v"), "activities": ("w", "x")}
FIRST_DAY, FIRST_LANDING = datetime(2021, 1, 4), datetime(2021, 2, 1)
UNUSABLE = (b"{", b"[1]", b"\xff\xfe", b'{"event_id": "x"}')
BLANK = (b"", b"  ")
MILESTONES = ("trial_start_at", "trial_end_at", "subscription_start_at", "subscription_expire_at")
#: What an operator may change from run to run, and what each is if not.
RULES: dict[str, list[Any]] = {
    "os_names": [{}, {"iOS": "Apple"}],
    "duration_cap_seconds": [3600, 10],
    "session_gap_minutes": [30, 1],
    "subscription_impact": [{"days": 7}, {"days": 1}],
    # of the second, days begin at noon, where many of the events are
    "time_zone": ["UTC", "Asia/Kamchatka", "America/Los_Angeles"],
}
#: Where a run may be killed; those of a lake are reached by whole runs alone.
KILLS = (
    *("before a step", "before the commit", "during the commit", "after the commit"),
    *("before the copy is renamed", "after the copy"),
)
KILLS_IN_A_LAKE = (
    *("before a table of a lake", "after a table of a lake"),
    *("before a pointer", "after a pointer"),
)


@dataclass(frozen=True)
class Line:
    """A line of an object.

    Attributes:
        text: As it stands there.
        is_usable: Whether it enters bronze, but for a rule that is too strict.
    """

    text: bytes
    is_usable: bool = True


@dataclass(frozen=True)
class Put:
    """An object is put, or put again."""

    dataset: str
    key: str
    lines: tuple[Line, ...]
    landed_at: datetime


@dataclass(frozen=True)
class Delete:
    """An object is deleted: bronze keeps what it said."""

    dataset: str
    key: str


@dataclass(frozen=True)
class Fix:
    """The rule of validation that was too strict is fixed; a replay finds what it refused."""


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        selection: What Kedro is asked to run; nothing: all.
        parameters: Those given.
        kill: Where it is killed, if there.
        nth: Which time it comes there.
        edits: Whether gold is edited by hand before, on the days of the window.
    """

    selection: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    kill: str = ""
    nth: int = 1
    edits: bool = False

    @cached_property
    def nodes(self) -> set[str]:
        """The nodes it runs."""
        names = self.selection.get("pipeline_names", ["__default__"])
        taken = sum((pipelines[name] for name in names), Pipeline([]))
        chosen = {
            {"namespaces": "node_namespaces"}.get(name, name): values
            for name, values in self.selection.items()
            if name != "pipeline_names"
        }
        return {node.name for node in taken.filter(**chosen).nodes}

    @property
    def is_whole(self) -> bool:
        """Whether it brings every table up to date."""
        return self.nodes >= {node.name for node in pipelines["__default__"].nodes}

    @property
    def rules(self) -> dict[str, Any]:
        """The parameters given that change what tables say."""
        return {name: self.parameters[name] for name in RULES if name in self.parameters}


Happening = Put | Delete | Fix | Run


class History:
    """A history in the making."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._sent: dict[tuple[str, str], list[Put]] = {}
        self._given: dict[str, Any] = {"time_zone": self._rng.choice(RULES["time_zone"])}
        self._often = {
            "put": 6.0,
            **{name: self._rng.choice([0, 0.5, 2]) for name in ("again", "back", "less")},
            **{name: self._rng.choice([0, 0.3, 1]) for name in ("delete", "fix", "rules")},
            "run": self._rng.choice([4, 6, 9]),
        }
        self._share = {
            "whole": self._rng.choice([0.1, 0.3, 0.5]),
            **{name: self._rng.choice([0, 0.1, 0.4]) for name in ("window", "kill")},
            **{name: self._rng.choice([0, 0.05, 0.3]) for name in ("rebuild", "replay")},
        }

    def happenings(self, length: int) -> list[Happening]:
        """So many things that happen."""
        happenings: list[Happening] = [self._put() for _number in range(3)]
        while len(happenings) < length:
            (kind,) = self._rng.choices([*self._often], [*self._often.values()])
            if (happening := getattr(self, f"_{kind}")()) is not None:
                happenings.append(happening)
        return happenings

    # --- deliveries ---

    def _put(self) -> Put:
        (dataset,) = self._rng.choices(DATASETS, [6, 3, 2])
        key = self._rng.choice(KEYS[dataset])
        count = self._rng.choice([0, 1, 2, 3, 5])
        lines = [self._line(dataset) for _number in range(count)]
        if lines and self._rng.random() < 0.2:
            lines.append(self._rng.choice(lines))
        return self._sending(Put(dataset, key, tuple(lines), self._landing()))

    def _again(self) -> Put:
        """The content that there was last, at another time."""
        return self._sending(replace(self._last(), landed_at=self._landing()))

    def _less(self) -> Put:
        """The content that there was last, without one of its lines."""
        last, number = self._last(), self._rng.randrange(6)
        lines = last.lines[:number] + last.lines[number + 1 :]
        return self._sending(replace(last, lines=lines, landed_at=self._landing()))

    def _back(self) -> Put:
        """A past content, as of then or landing anew."""
        past = self._past()
        is_as_of_then = self._rng.random() < 0.5
        return self._sending(past if is_as_of_then else replace(past, landed_at=self._landing()))

    def _last(self) -> Put:
        past = self._past()
        return self._sent[past.dataset, past.key][-1]

    def _past(self) -> Put:
        return self._rng.choice(self._rng.choice([*self._sent.values()]))

    def _sending(self, put: Put) -> Put:
        self._sent.setdefault((put.dataset, put.key), []).append(put)
        return put

    def _delete(self) -> Delete:
        past = self._past()
        return Delete(past.dataset, past.key)

    def _fix(self) -> Fix:
        return Fix()

    def _landing(self) -> datetime:
        return FIRST_LANDING + timedelta(hours=self._rng.randrange(40))

    def _instant(self) -> str:
        """Instants are few, so that events fall on the ends of trials and on those of days."""
        hours = self._rng.choice([*range(0, 96, 12), self._rng.randrange(96)])
        at = FIRST_DAY + timedelta(hours=hours, milliseconds=self._rng.choice([0, 0, 0, -1, 1]))
        return at.isoformat(" ", "milliseconds") + self._rng.choice(["", "", "", "+02:00"])

    def _line(self, dataset: str) -> Line:
        chance = self._rng.random()
        if chance < 0.1:
            return Line(self._rng.choice(UNUSABLE), is_usable=False)
        if chance < 0.15:
            return Line(self._rng.choice(BLANK), is_usable=False)
        record = getattr(self, f"_{dataset}")()
        if self._rng.random() < 0.3:
            record["title"] = self._rng.choice(["song", "canción", "long" * 200])
        return Line(json.dumps(record, ensure_ascii=False).encode())

    def _events(self) -> dict[str, Any]:
        rng = self._rng
        return an_event_record(
            rng.randrange(1, 7),
            name=rng.choice(["activity_exit"] * 4 + ["activity_enter"]),
            occurred_at=self._instant(),
            user_id=an_id(900 + rng.randrange(3)),
            data={
                "activity_id": rng.choice(["fish", "stars"]),
                "source": rng.choice([None, "home", "home"]),
                "duration": rng.choice([0, 0.1, 59.999, 151.918, 514054]),
                "completed": rng.choice([True, False, None]),
                "collection_id": rng.choice(["", "songs", None]),
            },
            context={"os": {"name": rng.choice(["iOS", "Android", None])}},
        )

    def _users(self) -> dict[str, Any]:
        rng = self._rng
        return a_user_record(
            900 + rng.randrange(3),
            country_code=rng.choice([None, "es", "fr"]),
            registration_at=self._instant(),
            **{name: self._instant() for name in MILESTONES if rng.random() < 0.5},
        )

    def _activities(self) -> dict[str, Any]:
        rng = self._rng
        return an_activity_record(
            rng.choice(["fish", "stars"]),
            type=rng.choice([None, "game", "video"]),
            name=rng.choice([None, "Fish", "Star"]),
        )

    # --- runs ---

    def _rules(self) -> None:
        """From now on runs are given other parameters."""
        name = self._rng.choice([*RULES])
        self._given = self._given | {name: self._rng.choice(RULES[name])}

    def _run(self) -> Run:
        rng, share = self._rng, self._share
        selection = {} if rng.random() < share["whole"] else self._selection()
        parameters = dict(self._given)
        edits = False
        if rng.random() < share["window"]:
            parameters["window"] = self._window()
            edits = rng.random() < 0.5
        if rng.random() < share["rebuild"]:
            parameters["rebuild"] = rng.choice(["bronze", "raw"])
        if rng.random() >= share["kill"]:
            return Run(selection, parameters, edits=edits)
        place = rng.choice([*KILLS, *KILLS_IN_A_LAKE] if not selection else KILLS)
        times = {"before a step": 11, **dict.fromkeys(KILLS_IN_A_LAKE, 2)}
        times |= dict.fromkeys(KILLS_IN_A_LAKE[:2], 8)
        return Run(selection, parameters, place, rng.randrange(times.get(place, 1)) + 1)

    def _window(self) -> dict[str, Any]:
        start = self._rng.randrange(4)
        end = self._rng.randrange(start + 1, 6)
        days = [str((FIRST_DAY + timedelta(days=number)).date()) for number in (start, end)]
        kept = self._rng.choice([("start", "end"), ("start", "end"), ("start",), ("end",)])
        window = {
            name: day for name, day in zip(("start", "end"), days, strict=True) if name in kept
        }
        return window | {"lookback_days": self._rng.choice([0, 0, 2])}

    def _selection(self) -> dict[str, list[str]]:
        rng, default = self._rng, pipelines["__default__"]
        nodes = sorted(node.name for node in default.nodes)
        tables = sorted(default.all_outputs())
        if rng.random() < self._share["replay"]:
            return {"pipeline_names": ["replay"]}
        some = ["ingestion", "staging", "enrichment", "marts"]
        (kind,) = rng.choices(
            ["pipelines", "nodes", "to", "from", "through", "tables", "namespaces"],
            [4, 4, 2, 1, 1, 1, 1],
        )
        return {
            "pipelines": {"pipeline_names": rng.sample(some, rng.choice([1, 1, 2]))},
            "nodes": {"node_names": rng.sample(nodes, rng.choice([1, 1, 2, 5]))},
            "to": {"to_outputs": rng.sample(tables, rng.choice([1, 2]))},
            "from": {"from_nodes": [rng.choice(nodes)]},
            "through": {"to_nodes": [rng.choice(nodes)]},
            "tables": {"from_inputs": [rng.choice(sorted(default.all_inputs() & {*tables}))]},
            "namespaces": {"namespaces": [rng.choice(some)]},
        }[kind]  # fmt: skip


def a_history(seed: int, length: int) -> list[Happening]:
    """A history of so many happenings, by a seed."""
    return History(seed).happenings(length)
