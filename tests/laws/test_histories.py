"""Whatever was delivered and whichever runs were made of it, the tables keep their laws."""

from __future__ import annotations

import json
import os
import random
import time
from datetime import timedelta

import pytest
from histories import FIRST_LANDING, KILLS, KILLS_IN_A_LAKE, Line, Put, Run, a_history
from too_strict import RULES
from world import World

from builders import an_event_record

#: How many histories the slow tests follow: LINGOKIDS_HISTORIES=300 uv run pytest -m slow …
HISTORIES = int(os.environ.get("LINGOKIDS_HISTORIES", "3"))


def _follow(length: int, new_project) -> None:
    seed = int(os.environ.get("LINGOKIDS_SEED") or random.SystemRandom().randrange(10**9))
    print(f"LINGOKIDS_SEED={seed}", flush=True)
    world = World(new_project, rule=random.Random(seed).choice(["", "", *RULES]))
    began = time.monotonic()
    for happening in a_history(seed, length):
        print(happening)
        world.do(happening)
    world.end()
    print(json.dumps({"seconds": round(time.monotonic() - began), **world.happened}))


@pytest.mark.slow
def test_a_run_killed_anywhere_is_made_up_for_by_the_next(new_project):
    world = World(new_project, rule="")
    for day, place in enumerate((*KILLS, *KILLS_IN_A_LAKE), start=1):
        event = an_event_record(1, occurred_at=f"2021-01-{day:02} 10:00:00.000")
        content = (Line(json.dumps(event).encode()),)
        world.do(Put("events", "a", content, FIRST_LANDING + timedelta(days=day)))
        world.do(Run(kill=place, nth=1))
        is_reached = world.happened[f"killed after: {place}"] == 1
        assert is_reached or place == "during the commit", place
        world.do(Run())
    world.end()


def test_a_short_history_keeps_the_laws(new_project):
    _follow(6, new_project)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(HISTORIES))
def test_a_history_keeps_the_laws(number, new_project):
    _follow(8 + 2 * number % 12, new_project)
