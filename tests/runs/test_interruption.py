"""A run is all or nothing: killed or stopped anywhere, every table is as before."""

from __future__ import annotations

import signal
import time

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record
from conftest import wait_for

pytestmark = pytest.mark.slow

STEPS = [
    "ingestion.ingest_events",
    "enrichment.enrich_events",
    "marts.build_user_journeys",
]


def _deliver_a_day(project, day: int) -> None:
    project.deliver(
        "events",
        f"day-{day}",
        [
            an_event_record(number, occurred_at=f"2021-01-0{day} 10:00:00.000")
            for number in range(day, day + 400)
        ],
        f"2021-02-0{day} 00:00:00",
    )
    project.deliver("users", f"day-{day}", [a_user_record(country_code=["es", "fr"][day % 2])])
    project.deliver("activities", f"day-{day}", [an_activity_record(name=f"Fish {day}")])


def _take_in_one_of_two_days(project):
    _deliver_a_day(project, 1)
    project.run()
    _deliver_a_day(project, 2)


def _take_in_both_days(project):
    _take_in_one_of_two_days(project)
    project.run()


@pytest.fixture
def half_done(project_after):
    """A project with one day taken in and another delivered; and what it should become."""
    expected = project_after("both-days", _take_in_both_days).snapshot(without_loads=True)
    return project_after("one-of-two-days", _take_in_one_of_two_days), expected


def test_a_run_killed_at_any_step_leaves_every_table_and_running_again_cures_it(half_done):
    project, expected = half_done
    before = project.snapshot()
    for step in STEPS:
        run = project.start()
        wait_for(run, step)
        run.kill()
        run.communicate()
        assert project.snapshot() == before, step

    assert project.command("run").returncode == 0
    assert project.snapshot(without_loads=True) == expected


def test_a_run_killed_around_its_commit_is_there_whole_or_not_at_all(half_done):
    project, expected = half_done
    before = project.snapshot()
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1):
        run = project.start()
        wait_for(run, "marts.build_user_journeys")
        time.sleep(delay)
        run.kill()
        run.communicate()
        if project.snapshot(without_loads=True) == expected:
            break
        assert project.snapshot() == before

    assert project.command("run").returncode == 0
    assert project.snapshot(without_loads=True) == expected
    with duckdb.connect(str(project.folder / "lingokids-gold.duckdb"), read_only=True) as con:
        copied = con.execute("SELECT * FROM activity_engagement_metrics ORDER BY ALL").fetchall()
    assert copied == project.table("activity_engagement_metrics")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_leaves_every_table(project_after, number):
    project = project_after("one-of-two-days", _take_in_one_of_two_days)
    before = project.snapshot()
    run = project.start()
    wait_for(run, "ingestion.ingest_events")

    run.send_signal(number)
    output, _ = run.communicate(timeout=30)

    assert run.returncode == 128 + number
    assert "Stopped. Every table is as it was before the run." in output
    assert "Traceback" not in output
    assert project.snapshot() == before
