"""Days are those of the reporting time zone in all tables, whichever it was before."""

from __future__ import annotations

import duckdb
import pytest

from builders import a_user_record, an_event_record, an_id
from lingokids.errors import LingokidsError
from operators import configure

LOS_ANGELES = "America/Los_Angeles"
#: Of the evening of the 4th in Los Angeles, and of noon of the 5th, for which a zone is no matter.
EVENING = ("2021-01-05 03:00:00.000", "2021-01-05 03:40:00.000", "2021-01-05 20:00:00.000")
DAYS = "SELECT date::VARCHAR, sum(activities_played) FROM {} GROUP BY ALL ORDER BY ALL"
DAILY = ("activity_engagement_metrics", "activity_popularity_daily", "user_activity_daily")


@pytest.fixture
def evening(new_project):
    """A project with some events, and the record of their user."""

    def make():
        project = new_project()
        events = [an_event_record(n, occurred_at=at) for n, at in enumerate(EVENING, start=1)]
        project.deliver("events", "a", events)
        user = a_user_record(900, registration_at="2021-01-04 07:00:00")
        project.deliver("users", "u", [user])
        return project

    return make


def _written(project) -> dict[str, tuple[int, int]]:
    """The rows that the last run deleted and inserted, by table."""
    steps = project.rows(
        "SELECT table_name, rows_deleted, rows_inserted FROM run_steps "
        "WHERE run_id = (SELECT max(run_id) FROM runs) AND rows_inserted > 0"
    )
    return {name: tuple(counts) for name, *counts in steps}


@pytest.mark.slow
def test_an_evening_is_not_split_and_only_what_moves_is_written(evening):
    project = evening()
    project.run()
    for name in DAILY:
        assert project.rows(DAYS.format(name)) == [("2021-01-05", 3)]

    project.run(time_zone=LOS_ANGELES)

    for name in DAILY:
        assert project.rows(DAYS.format(name)) == [("2021-01-04", 2), ("2021-01-05", 1)]
    # the event at noon is of the same day
    written = _written(project)
    assert written["stg_events"] == written["intermediate_activity_events_enriched"] == (2, 2)
    assert project.rows("SELECT registration_date::VARCHAR, active_weeks FROM user_journeys") == [
        ("2021-01-03", [1])
    ]
    project.run("checks")


@pytest.mark.slow
@pytest.mark.parametrize("last", [LOS_ANGELES, "UTC"])
def test_a_zone_that_changed_is_as_if_it_had_always_been(evening, last):
    project, other = evening(), evening()
    for part, zone in (
        *((None, "Asia/Kamchatka"), ("marts", LOS_ANGELES), ("staging", LOS_ANGELES)),
        *(("enrichment", "UTC"), (None, last)),
    ):
        project.switch_to()
        project.run(part, time_zone=zone)
    other.switch_to()
    other.run(time_zone=last)

    assert project.snapshot(without_loads=True) == other.snapshot(without_loads=True)
    project.switch_to()
    before = project.database.read_bytes()
    project.run(time_zone={"UTC": "UTC", LOS_ANGELES: "US/Pacific"}[last])
    assert project.database.read_bytes() == before  # another name is no other zone


@pytest.mark.slow
def test_days_are_reported_on_in_the_zone_that_all_tables_count_them_in(evening):
    project = evening()
    project.run(time_zone=LOS_ANGELES)
    project.run("reporting", time_zone="US/Pacific")

    for asked, made in (("UTC", LOS_ANGELES), ("Asia/Kolkata", LOS_ANGELES)):
        with pytest.raises(LingokidsError, match=f"has days in {made}, and time_zone is {asked}"):
            project.run("reporting", time_zone=asked)
    project.run("staging", time_zone="UTC")
    for asked in (LOS_ANGELES, "UTC"):
        with pytest.raises(LingokidsError, match="has days in several time zones"):
            project.run("reporting", time_zone=asked)
    project.run(time_zone="UTC")
    project.run("reporting", time_zone="UTC")
    project.run("staging", time_zone=LOS_ANGELES)
    project.run("marts", time_zone=LOS_ANGELES)
    project.run("staging", time_zone="UTC")
    project.run("marts", time_zone="UTC")  # nothing is other than before, which nothing says
    with pytest.raises(LingokidsError, match="has days in several time zones"):
        project.run("reporting", time_zone="UTC")
    project.run(time_zone="UTC")
    project.run("reporting", time_zone="UTC")


@pytest.mark.slow
def test_a_window_is_of_days_there(evening):
    project = evening()
    project.run(time_zone=LOS_ANGELES)
    with duckdb.connect(str(project.database)) as con:
        con.execute(f"UPDATE {DAILY[0]} SET activities_played = 9")

    window = {"start": "2021-01-04", "end": "2021-01-05"}
    project.run("marts", time_zone=LOS_ANGELES, window=window)

    assert project.rows(DAYS.format(DAILY[0])) == [("2021-01-04", 2), ("2021-01-05", 9)]


@pytest.mark.slow
def test_with_a_zone_in_the_file_what_is_forgotten_and_erased_leaves_its_days(evening):
    project = evening()
    configure(project, "parameters.yml", "time_zone: UTC", f"time_zone: {LOS_ANGELES}")
    project.run()
    late = an_event_record(4, occurred_at="2021-02-02 05:00:00.000", user_id=an_id(901))
    project.deliver("events", "b", [late], "2021-02-02 06:00:00")
    project.run()
    every = [("2021-01-04", 2), ("2021-01-05", 1), ("2021-02-01", 1)]
    assert project.rows(DAYS.format(DAILY[2])) == every

    erased = project.command("erase", "--user", an_id(901))
    assert erased.returncode == 0, erased.stderr
    assert project.rows(DAYS.format(DAILY[2])) == every[:2]
    project.run(retention={"lines_days": {"events": 1}})

    assert project.rows(DAYS.format(DAILY[2])) == []
    project.run("checks")
