"""Whatever part is run, a whole run completes it; and only what differs is written."""

from __future__ import annotations

import ibis
import pytest

from builders import a_user_record, an_activity_record, an_event_record, an_id
from lingokids.pipelines.enrichment import nodes as enrichment
from small_warehouse import take_in_two_events

WRITTEN = """
SELECT table_name, rows_deleted, rows_inserted FROM run_steps
WHERE run_id = (SELECT max(run_id) FROM runs) AND rows_deleted + rows_inserted > 0
ORDER BY step
"""


def _deliver_more(project) -> None:
    """A late event, one that moves, one that its object has no longer; users, and a catalogue."""
    take_in_two_events(project)
    landed_at = "2021-02-02 00:00:00"
    moved = an_event_record(1, occurred_at="2021-01-07 10:00:00.000")
    late = an_event_record(3, occurred_at="2020-12-01 10:00:00.000")
    project.deliver("events", "a", [moved], landed_at)
    project.deliver("events", "b", [late], landed_at)
    project.deliver("users", "v", [a_user_record(country_code="fr"), a_user_record(7)], landed_at)
    project.deliver("activities", "c", [an_activity_record(type="video")], landed_at)


def _take_in_more(project) -> None:
    _deliver_more(project)
    project.run()


@pytest.fixture
def delivered(project_after):
    """A project with more delivered than is taken in."""
    return project_after("more-delivered", _deliver_more)


@pytest.fixture
def expected(project_after):
    """What one whole run makes of it."""
    return project_after("more-taken-in", _take_in_more).snapshot(without_loads=True)


def _slow(*selections):
    return pytest.param(selections, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    "selections",
    [
        [("--nodes", "ingestion.ingest_events"), ("--nodes", "staging.stage_events")],
        [("--to-outputs", "stg_events"), ("--from-nodes", "enrichment.enrich_events")],
        _slow(("--namespaces", "ingestion"), ("--namespaces", "staging")),
        _slow(("--from-nodes", "staging.stage_users")),
        _slow(("--nodes", "marts.rank_activities", "--params", "rebuild=bronze")),
        _slow(("--to-nodes", "enrichment.enrich_events"), ("--from-inputs", "stg_users")),
        _slow(("--to-outputs", "activity_engagement_metrics")),
        _slow(("--to-outputs", "user_journeys"), ("--nodes", "marts.rank_activities")),
        _slow(("--nodes", "ingestion.ingest_users"), ("--to-nodes", "staging.stage_users")),
        _slow(
            *(("--pipeline", name) for name in ("marts", "enrichment", "staging", "ingestion")),
            *(("--pipeline", name) for name in ("marts", "staging", "enrichment")),
        ),
    ],
    ids=lambda selections: " then ".join(" ".join(selection) for selection in selections),
)
def test_a_whole_run_completes_what_a_part_began(expected, delivered, selections):
    for selection in selections:
        part = delivered.invoke("run", *selection)
        assert part.exit_code == 0, part.output

    delivered.run()

    assert delivered.snapshot(without_loads=True) == expected


@pytest.mark.slow
def test_a_rebuild_from_raw_of_bronze_alone_is_completed_as_well(project_after):
    """Raw has each object's last version only, so bronze has less than it had."""
    whole = project_after("more-taken-in", _take_in_more)
    whole.run(rebuild="raw")
    in_parts = project_after("more-taken-in", _take_in_more)
    in_parts.run("ingestion", rebuild="raw")

    in_parts.run()

    assert in_parts.snapshot(without_loads=True) == whole.snapshot(without_loads=True)


def test_a_second_run_writes_nothing(small):
    before = small.database.read_bytes()

    small.run()

    assert small.database.read_bytes() == before


@pytest.mark.slow
def test_a_changed_rule_is_seen_and_only_rows_that_differ_are_written(small, monkeypatch):
    android = an_event_record(3, context={"os": {"name": "Android"}})
    small.deliver("events", "b", [android])
    small.run()
    rule = enrichment.subscription_status

    def free_on_android(events):
        return ibis.ifelse(events.os_name == "Android", "trial", rule(events))

    monkeypatch.setattr(enrichment, "subscription_status", free_on_android)
    small.run()

    assert small.rows(WRITTEN) == [
        ("intermediate_activity_events_enriched", 1, 1),
        ("activity_engagement_metrics", 1, 1),
        ("user_activity_daily", 1, 1),
    ]
    statuses = "SELECT subscription_status FROM activity_engagement_metrics ORDER BY os_name"
    assert small.rows(statuses) == [("trial",), ("free",)]
    before = small.database.read_bytes()
    small.run()
    assert small.database.read_bytes() == before


def test_rows_of_a_user_are_stored_beside_each_other(project):
    records = [an_event_record(number, user_id=an_id(900 + number % 3)) for number in range(9)]
    project.deliver("events", "a", records)

    project.run_selected({"pipeline_names": ["ingestion", "staging"]})

    for table in "bronze_events", "stg_events":
        users = [user for (user,) in project.rows(f"SELECT user_id FROM {table} ORDER BY rowid")]
        assert users == sorted(users)
