"""A run that breaks a rule changes no table and leaves evidence; checks on demand build nothing."""

from __future__ import annotations

import json
import re
import shutil

import duckdb
import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_user_record, an_activity_record, an_event_record
from conftest import A_LAW
from lingokids import sample
from lingokids.checks.inspection import BrokenRuleError
from lingokids.pipelines.enrichment import nodes as enrichment

ENRICHED = "intermediate_activity_events_enriched"
RESULTS = """
SELECT table_name, rule, severity, verdict, rows_checked, rows_failed FROM check_results
WHERE run_id = (SELECT max(run_id) FROM check_results) AND verdict IN ('failed', 'warned')
"""
STRICT_COUNTRIES = {"severities": {"stg_users.country_code_matches": "error"}}


def _slow(*values: str):
    return pytest.param(*values, marks=pytest.mark.slow)


def _tamper(project, statement: str) -> None:
    with duckdb.connect(str(project.database)) as con:
        con.execute(statement)


# --- in a run ---------------------------------------------------------------------------


def test_a_run_that_keeps_its_rules_says_so_and_keeps_the_evidence(small, caplog):
    small.deliver("users", "v", [a_user_record(country_code="fr")])
    small.deliver("events", "b", [an_event_record(3)])
    small.deliver("activities", "d", [an_activity_record("stars")])
    small.run()
    held = small.rows("SELECT DISTINCT table_name FROM check_results WHERE verdict = 'held'")

    assert {name for (name,) in held} >= {
        *("ingested_objects", "stg_users", "stg_activities"),
        *(ENRICHED, "activity_engagement_metrics"),
        *("activity_popularity_daily", "user_activity_daily"),
    }
    assert small.rows(RESULTS) == []
    assert re.search(r"Checked: (\d+) of \1 rules hold, in \d tables\.", caplog.text)


def test_a_rule_of_severity_error_rolls_the_run_back_and_leaves_evidence(small, monkeypatch):
    before = small.snapshot()
    small.deliver("events", "b", [an_event_record(3)])
    monkeypatch.setattr(enrichment, "subscription_status", lambda _: ibis.literal("gratis"))

    with pytest.raises(BrokenRuleError) as broken:
        small.run()

    assert re.match(
        "intermediate_activity_events_enriched: rule subscription_status_accepted "
        r"\(subscription_status is one of subscribed, trial, free, lapsed, unknown\) is broken by "
        r"3 of 3, such as line 1 of \w+ \(and 2 more\). Every table is as it was.",
        broken.value.message,
    )
    assert small.snapshot() == before
    assert (
        *(ENRICHED, "subscription_status_accepted"),
        *("error", "failed", 3, 3),
    ) in small.rows(RESULTS)
    assert small.rows("SELECT status, failure FROM runs ORDER BY run_id DESC LIMIT 1") == [
        ("failed", broken.value.message)
    ]
    ((key, values, source, line),) = small.rows(
        "SELECT row_key, row_values, object_key, line_number FROM check_failures "
        f"WHERE table_name = '{ENRICHED}' AND object_key = 'b'"
    )
    assert json.loads(key) == {"event_id": "…"}
    assert json.loads(values)["subscription_status"] == "gratis"
    assert (source, line) == ("b", 1)


@pytest.mark.slow
def test_an_unusual_value_is_a_warning_unless_the_operator_says_otherwise(small, caplog):
    small.deliver("users", "v", [a_user_record(901, country_code="ES")])

    with pytest.raises(BrokenRuleError, match="country_code_matches"):
        small.run(checks=STRICT_COUNTRIES)
    small.run()

    assert ("stg_users", "country_code_matches", "warn", "warned", 1, 1) in small.rows(RESULTS)
    assert "stg_users: rule country_code_matches" in caplog.text
    assert small.rows(
        "SELECT object_key, line_number FROM check_failures "
        "WHERE run_id = (SELECT max(run_id) FROM runs) AND table_name = 'stg_users'"
    ) == [("v", 1)]


@pytest.mark.slow
def test_a_rule_can_be_turned_off(small):
    small.deliver("users", "v", [a_user_record(901, country_code="ES")])
    small.run(checks={"severities": {"stg_users": {"country_code_matches": "off"}}})

    assert "stg_users" not in {row[0] for row in small.rows(RESULTS)}


@pytest.mark.slow
def test_the_rows_a_run_inserted_are_those_it_checks(small):
    """The engine numbers uncommitted rows apart: what tells changed rows from others."""
    small.deliver("events", "b", [an_event_record(number) for number in range(2, 5)])
    small.run()

    assert small.rows(
        "SELECT rows_checked FROM check_results WHERE rule = 'event_id_unique' "
        f"AND table_name = '{ENRICHED}' ORDER BY run_id"
    ) == [(2,), (3,)]


@pytest.mark.slow
def test_the_committed_sample_is_warned_of_for_its_dirt_and_a_key_that_no_field_reads(
    sample_project,
):
    in_an_experiment = ("unknown_keys", "keys_known", "warn", "warned", 1, 1)
    assert sample_project.rows(RESULTS) == [
        ("ingested_objects", "object_usable", "warn", "warned", 335, 1),
        ("ingested_objects", "lines_of_load_usable", "warn", "warned", 3, 2),
        in_an_experiment,
    ]

    sample.add_next_day(sample_project.folder / "raw")
    sample_project.run()
    assert in_an_experiment in sample_project.rows(RESULTS)

    sample_project.run("checks", checks={"now": "2021-02-02T00:00:00"})
    both_loads = ("unknown_keys", "keys_known", "warn", "warned", 2, 2)
    assert both_loads in sample_project.rows(RESULTS)
    judged = "SELECT rows_checked FROM check_results WHERE rule = 'rows_of_day_steady'"
    assert sample_project.rows(f"{judged} ORDER BY run_id") == [(17,), (6,), (18,)]


# --- on demand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "statement", "rule"),
    [
        _slow(
            "user_activity_daily", "UPDATE {} SET activities_completed = 9", "completed_of_played"
        ),
        ("activity_popularity_daily", "DELETE FROM {}", "activities_played_adds_up"),
        _slow("stg_users", "INSERT INTO {} FROM {}", "user_id_unique"),
        _slow(ENRICHED, "UPDATE {} SET date = date + 2", "date_of_event"),
        _slow(ENRICHED, "UPDATE {} SET event_id = uuid()", "event_known"),
        _slow("bronze_events", "UPDATE {} SET line_number = 0", "line_number_in_range"),
        ("stg_activities", "ALTER TABLE {} DROP activity_type", "schema_kept"),
        _slow(ENRICHED, "ALTER TABLE {} ALTER duration_seconds TYPE DOUBLE", "schema_kept"),
    ],
)
def test_tables_changed_by_hand_are_found_on_demand(small, table, statement, rule):
    asked = {"table": table}
    small.run("checks", checks=asked)
    _tamper(small, statement.replace("{}", table))

    with pytest.raises(BrokenRuleError, match="Nothing was changed"):
        small.run("checks", checks=asked)

    assert rule in {row[1] for row in small.rows(RESULTS) if row[3] == "failed"}
    assert small.rows("SELECT pipelines, status FROM runs ORDER BY run_id DESC LIMIT 1") == [
        ("checks", "failed")
    ]


def test_what_is_only_unusual_is_a_warning_on_demand(small):
    _tamper(small, "ALTER TABLE stg_users ADD COLUMN nickname VARCHAR")

    small.run("checks", checks={"table": "stg_users"})

    assert [(row[1], row[3]) for row in small.rows(RESULTS)] == [("no_other_columns", "warned")]


@pytest.mark.slow
def test_checks_on_demand_end_with_exit_code_1_and_a_sentence(small, caplog):
    _tamper(small, "UPDATE activity_engagement_metrics SET completion_rate = 2")
    tables = small.snapshot()

    refused = small.invoke("run", "--pipeline", "checks")

    assert refused.exit_code == 1
    assert "rule completion_rate_in_range" in refused.stderr
    assert isinstance(refused.exception, SystemExit), "no traceback"
    assert "The run failed" not in caplog.text
    assert small.snapshot() == tables


def test_one_table_or_one_rule_can_be_checked(small):
    last_run = "(SELECT max(run_id) FROM check_results)"
    last = f"SELECT DISTINCT {{}} FROM check_results WHERE run_id = {last_run}"

    small.run("checks", checks={"table": "stg_users"})
    assert small.rows(last.format("table_name")) == [("stg_users",)]

    small.run("checks", checks={"rule": "activities_played_adds_up"})
    assert small.rows(last.format("rule")) == [("activities_played_adds_up",)]
    assert len(small.rows(last.format("table_name"))) == 3


def test_data_that_stops_coming_is_found_by_the_clock(small):
    fresh = {"table": "ingested_objects", "rule": "fresh"}

    small.run("checks", checks=fresh | {"now": "2021-02-02T11:59:00"})
    assert small.rows(RESULTS) == []

    small.run("checks", checks=fresh | {"now": "2021-02-02T12:01:00"})
    stale = [("ingested_objects", "fresh", "warn", "warned", 2, 2)]
    assert small.rows(RESULTS) == stale

    small.run("checks", checks=fresh)
    assert small.rows(RESULTS) == stale


def test_there_is_nothing_to_check_before_the_first_run(project):
    with pytest.raises(Exception, match="There is no table to check yet"):
        project.run("checks")


# --- the law ----------------------------------------------------------------------------

broken_users = st.builds(
    lambda number, country: a_user_record(900 + number, country_code=country),
    st.integers(0, 3),
    st.sampled_from(["ES", "esp", "e", "00"]),
)
events = st.builds(
    lambda number, day: an_event_record(number, occurred_at=f"2021-01-0{day} 10:00:00.000"),
    st.integers(1, 6),
    st.integers(1, 9),
)


_DELIVERIES = {
    "first": st.lists(events, max_size=4),
    "second": st.lists(events, max_size=4),
    "users": st.lists(broken_users, min_size=1, max_size=3),
}


@pytest.mark.slow
@settings(max_examples=3, **A_LAW)
@given(**_DELIVERIES)
def test_runs_broken_by_a_rule_leave_all_tables_as_they_were(first, second, users, new_project):
    """Not even in the next run, which takes in the same deliveries with the rule relaxed."""
    broken, untroubled = new_project(), new_project()
    broken.deliver("events", "a", first)
    broken.run()
    broken.deliver("events", "b", second, "2021-02-02 00:00:00")
    broken.deliver("users", "u", users)
    before = broken.snapshot()
    shutil.rmtree(untroubled.folder)
    shutil.copytree(broken.folder, untroubled.folder, symlinks=True)

    with pytest.raises(BrokenRuleError):
        broken.run(checks=STRICT_COUNTRIES)
    assert broken.snapshot() == before

    broken.run()
    untroubled.run()
    assert broken.snapshot() == untroubled.snapshot()
