"""The plan in words: exact, or said to be an estimate. That it is the run: `laws/test_plans.py`."""

from __future__ import annotations

import json
import re

import pytest

from builders import an_event_record
from lingokids.storage.duckdb import opening
from operators import ago, ask, held


def test_nothing_is_due_after_a_run(fresh_project):
    said = ask(fresh_project, "plan")

    assert said.stdout == "__default__: nothing is due. A run would write nothing.\n"


def test_a_first_run_is_planned_where_there_is_no_warehouse(project):
    project.deliver("events", "a", [an_event_record()])

    said = ask(project, "plan")

    assert re.search(r"load 1\n +events +1 object +\d+ B +\? usable lines +1 new\n", said.stdout)
    assert re.search(r"user_journeys +\? rows +new objects of events", said.stdout)
    assert not project.database.exists()


@pytest.mark.slow
def test_what_is_expected_of_new_objects_is_what_they_usually_bring(fresh_project):
    for number in range(2, 5):
        fresh_project.deliver("events", str(number), [an_event_record(number)], ago(0.5))
        fresh_project.run()
    fresh_project.deliver("events", "5", [an_event_record(5), an_event_record(6)], ago(0.5))

    plan = json.loads(ask(fresh_project, "plan", "--json").stdout)

    assert [taken["usable_lines"] for taken in plan["objects"]] == [2]
    tables = {made["table_name"]: made for made in plan["tables"]}
    assert not any(made["is_exact"] for made in tables.values())
    assert tables["activity_engagement_metrics"]["days"] == 1
    assert tables["stg_events"]["rows_inserted"] == 2
    assert plan["past_runs"] == 4
    assert 0 < plan["seconds"] < 60


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--params", "duration_cap_seconds=10"], r"days?, .* its node, its parameters or Ibis"),
        (["--pipeline", "replay"], "A plan is of pipelines that keep tables up to date: name one"),
        (["--pipeline", "mart"], r"There is no pipeline mart\. There are: ingestion"),
        (["--params", "window=${x}"], "--params cannot be read|parameters given with a run are"),
        (["--params", "windw.start=1"], r"There is no parameter windw\. Did you mean window\?"),
    ],
)
def test_what_is_asked_is_planned_or_refused(fresh_project, asked, said):
    found = ask(fresh_project, "plan", *asked)

    assert re.search(said, found.output), found.output
    assert found.exit_code == (0 if "duration" in asked[-1] else 1)


def test_while_a_run_goes_on_there_is_no_plan(fresh_project):
    with held(fresh_project) as pid:
        said = ask(fresh_project, "plan")

    assert said.exit_code == 1
    assert re.search(rf"in use by another process \(PID {pid}, .*Wait until it ends", said.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3, 0.5])
def test_a_plan_gives_up_before_a_run_would(sample_project, monkeypatch, seconds):
    """Wherever it is interrupted, it says that more is due, and writes nothing."""
    monkeypatch.setattr(opening, "_REHEARSAL_SECONDS", seconds)
    before = sample_project.database.read_bytes()

    said = ask(sample_project, "plan", "--params", "rebuild=bronze")

    late = "More is due than can be worked out while a run may wait for the warehouse"
    assert re.search(f"{late}|nothing is due", said.output), said.output
    assert seconds or "nothing is due" not in said.output
    assert sample_project.database.read_bytes() == before
    assert sample_project.is_free
