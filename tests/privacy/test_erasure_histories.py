"""Random histories of deliveries, runs and erasures: tables are what raw without the erased makes.

A failure prints its seed, which ``LINGOKIDS_SEED=…`` repeats.
"""

from __future__ import annotations

import json
import os
import random
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from builders import a_user_record, an_activity_record, an_event_record
from people import ask_to_erase, copy_raw_without, found_in, tables

pytestmark = pytest.mark.slow
HISTORIES = int(os.environ.get("LINGOKIDS_HISTORIES", "2"))
STEPS = 7


class _World:
    """Few people, events and keys, so that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.users, self.children = (
            [str(UUID(int=self.random.getrandbits(128), version=4)) for _ in range(4)]
            for _ in range(2)
        )
        self.landed_at = datetime(2021, 2, 1)

    def deliver(self, project) -> None:
        """An object, new or sent again."""
        dataset = self.random.choice(["events", "events", "events", "users"])
        lines = [self._line(dataset) for _ in range(self.random.randrange(1, 9))]
        self.landed_at += timedelta(hours=self.random.randrange(1, 30))
        key = self.random.choice("abcd")
        project.deliver(dataset, key, b"\n".join(lines), str(self.landed_at))

    def _line(self, dataset: str) -> bytes:
        pick = self.random.choice
        if dataset == "users":
            record = a_user_record(
                user_id=pick(self.users),
                children_ids=self.random.sample(self.children, self.random.randrange(4)),
                country_code=pick(["es", "fr", "de"]),
            )
        else:
            day = self.random.randrange(1, 6)
            record = an_event_record(
                self.random.randrange(1, 15),
                name=pick(["activity_exit", "activity_exit", "activity_enter"]),
                user_id=pick([str, str.upper, lambda it: UUID(it).hex])(pick(self.users)),
                child_id=pick(self.children),
                occurred_at=f"2021-01-{day:02} 10:00:00.000",
            )
        if self.random.random() < 0.15:
            record["unknown"] = pick([1, {"of": pick(self.users)}, [pick(self.children)]])
        line = json.dumps(record).encode()
        if dataset == "events" and self.random.random() < 0.1:
            return line[: -self.random.randrange(1, 60)]
        return line


@pytest.mark.parametrize("nth", range(HISTORIES))
def test_after_any_history_tables_are_those_of_raw_without_the_erased(new_project, nth):
    seed = int(os.environ.get("LINGOKIDS_SEED") or random.SystemRandom().randrange(1 << 32)) + nth
    print(f"LINGOKIDS_SEED={seed - nth}")
    world, project, erased = _World(seed), new_project(), []
    project.deliver("activities", "w", [an_activity_record()])
    world.deliver(project)
    project.run()
    for _ in range(STEPS):
        step = world.random.choice(["deliver", "deliver", "run", "erase", "rebuild", "part"])
        if step == "deliver":
            world.deliver(project)
        elif step == "run":
            project.run()
        elif step == "part":
            project.run(world.random.choice(["ingestion", "staging", "marts", "replay"]))
        elif step == "rebuild":
            project.run(rebuild=world.random.choice(["bronze", "raw"]))
        else:
            kind = world.random.choice(["user", "child"])
            person = world.random.choice(world.users if kind == "user" else world.children)
            rewrite_raw = world.random.random() < 0.5
            ask_to_erase(project, rewrite_raw=rewrite_raw, **{kind: person})
            erased.append((kind, person))
            left = found_in(project.folder, person)
            assert [file for file in left if rewrite_raw or not file.startswith("raw/")] == []
    project.run()

    without_them = new_project()
    copy_raw_without(project, without_them, *erased)
    without_them.run()

    project.switch_to()
    assert tables(project, "etag", "size_bytes") == tables(without_them, "etag", "size_bytes")
