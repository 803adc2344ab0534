"""Histories that a simpler way of keeping tables up to date gets wrong, one a test."""

from __future__ import annotations

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record
from published import the_rows

PLAYED = "SELECT date::VARCHAR, activities_played FROM activity_engagement_metrics ORDER BY ALL"
STATUS = "SELECT subscription_status, country_code FROM activity_engagement_metrics"
TYPES = "SELECT activity_type FROM activity_engagement_metrics"


def _on(day: int, number: int = 1, **values):
    return an_event_record(number, occurred_at=f"2021-01-{day:02} 10:00:00.000", **values)


def test_gold_made_between_staging_and_enrichment_does_not_pass_over_a_day_that_is_left(
    begun_project,
):
    """Gold follows what enrichment wrote, not how new its own inputs' inputs are."""
    project = begun_project
    project.deliver("events", "b", [_on(7)], "2021-02-02 00:00:00")

    project.run("ingestion")
    project.run("staging")
    project.run("marts")
    assert project.rows(PLAYED) == [("2021-01-05", 1)]
    project.run("enrichment")
    project.run("marts")

    assert project.rows(PLAYED) == [("2021-01-07", 1)]


@pytest.mark.slow
def test_an_object_sent_again_without_a_record_takes_it_back(project):
    """No line is newer than what staging reflects; its object was superseded since."""
    project.deliver("events", "a", [_on(5, 1), _on(6, 2)])
    project.deliver("users", "u", [a_user_record(900)])
    project.deliver("activities", "c", [an_activity_record()])
    project.run()

    project.deliver("events", "a", [_on(5, 1)], "2021-02-02 00:00:00")
    project.deliver("users", "u", [], "2021-02-02 00:00:00")
    project.deliver("activities", "c", [], "2021-02-02 00:00:00")
    project.run()

    assert project.rows(PLAYED) == [("2021-01-05", 1)]
    assert project.rows(STATUS) == [("unknown", "unknown")]
    assert project.rows(TYPES) == [("unknown",)]
    assert project.rows("SELECT * FROM user_journeys") == []


@pytest.mark.slow
def test_what_bronze_loses_as_it_is_taken_in_anew_is_lost_to_its_readers(project):
    """No line is left to say so, newer or superseded: what reads bronze is due as a whole."""
    project.deliver("events", "a", [_on(5, 1), _on(6, 2)])
    project.run()

    project.deliver("events", "a", [_on(5, 1)], "2021-02-02 00:00:00")
    project.run("ingestion", rebuild="raw")
    project.run()

    assert project.rows(PLAYED) == [("2021-01-05", 1)]


@pytest.mark.slow
def test_a_record_taken_back_leaves_the_one_that_another_object_has(project):
    project.deliver("users", "u", [a_user_record(country_code="es")])
    project.deliver("users", "v", [a_user_record(country_code="fr")], "2021-02-02 00:00:00")
    project.run()

    project.deliver("users", "v", [], "2021-02-03 00:00:00")
    project.run()

    assert project.rows("SELECT country_code FROM user_journeys") == [("es",)]


@pytest.mark.slow
@pytest.mark.parametrize("landed_at", ["2021-02-01 00:00:00", "2021-02-03 00:00:00"])
def test_a_content_that_comes_back_counts_again(begun_project, landed_at):
    """As of then, with the etag of then, or put again later."""
    project = begun_project
    project.deliver("events", "a", [_on(6), _on(6, 2)], "2021-02-02 00:00:00")
    project.run()
    assert project.rows(PLAYED) == [("2021-01-06", 2)]

    project.deliver("events", "a", [_on(5)], landed_at)
    project.run()

    assert project.rows(PLAYED) == [("2021-01-05", 1)]
    versions = "SELECT landed_at::VARCHAR, is_current FROM ingested_objects ORDER BY load_id"
    assert project.rows(versions)[1:] == [("2021-02-02 00:00:00", False), (landed_at, True)]
    project.deliver("events", "b", [_on(7)], "2021-02-04 00:00:00")  # the event's last delivery
    project.run()
    assert project.rows(PLAYED) == [("2021-01-07", 1)]


@pytest.mark.slow
def test_an_event_that_moves_out_of_the_window_of_the_first_run_leaves_no_trace(project):
    """What a window asks for is made besides what is due, so no day is left unmade by it."""
    project.deliver("events", "a", [_on(5), _on(9, 2)])
    project.run(window={"start": "2021-01-05", "end": "2021-01-06"})
    assert project.rows(PLAYED) == [("2021-01-05", 1), ("2021-01-09", 1)]

    project.deliver("events", "b", [_on(8)], "2021-02-02 00:00:00")
    project.run()

    assert project.rows(PLAYED) == [("2021-01-08", 1), ("2021-01-09", 1)]


@pytest.mark.slow
def test_users_staged_after_enrichment_of_their_own_load_are_not_passed_over(project):
    """The number of a load does not say whether a table reflects it: each keeps its own."""
    project.deliver("events", "a", [_on(5)])
    project.deliver("users", "u", [a_user_record(900)])
    project.run("ingestion")
    project.run_selected({"node_names": ["staging.stage_events"]})
    project.run("enrichment")
    project.run("marts")
    assert project.rows(STATUS) == [("unknown", "unknown")]

    project.run_selected({"node_names": ["staging.stage_users"]})
    project.run("enrichment")
    project.run("marts")

    assert project.rows(STATUS) == [("free", "es")]


@pytest.mark.slow
def test_other_rules_asked_for_with_a_window_leave_nothing_behind(project):
    project.deliver("events", "a", [_on(5), _on(9, 2)])
    project.run()
    systems = "SELECT date::VARCHAR, os_name FROM activity_engagement_metrics ORDER BY ALL"

    window = {"start": "2021-01-05", "end": "2021-01-06"}
    project.run("marts", window=window, os_names={"iOS": "Apple"})
    assert project.rows(systems) == [("2021-01-05", "Apple"), ("2021-01-09", "Apple")]
    project.run("marts")

    assert project.rows(systems) == [("2021-01-05", "iOS"), ("2021-01-09", "iOS")]


@pytest.mark.slow
def test_a_window_makes_its_days_right_where_gold_was_edited_by_hand(project):
    project.deliver("events", "a", [_on(day, day) for day in (4, 5, 6, 7)])
    project.run()
    with duckdb.connect(str(project.database)) as con:
        con.execute("UPDATE activity_engagement_metrics SET activities_played = 9")

    project.run()  # of which a run knows nothing
    assert [played for _day, played in project.rows(PLAYED)] == [9, 9, 9, 9]
    project.run("marts", window={"start": "2021-01-05", "end": "2021-01-07"})
    assert [played for _day, played in project.rows(PLAYED)] == [9, 1, 1, 9]
    project.run("marts", window={"end": "2021-01-05"})
    project.run("marts", window={"start": "2021-01-07"})

    assert [played for _day, played in project.rows(PLAYED)] == [1, 1, 1, 1]


@pytest.mark.slow
def test_a_day_that_is_left_while_all_days_are_made_leaves_the_lake_too(begun_project):
    project = begun_project

    project.deliver("events", "b", [_on(7)], "2021-02-02 00:00:00")
    project.run(os_names={"iOS": "Apple"})

    assert project.rows(PLAYED) == [("2021-01-07", 1)]
    published = the_rows(project.folder / "03_gold", "activity_engagement_metrics")
    assert published == project.table("activity_engagement_metrics", without=("version",))
