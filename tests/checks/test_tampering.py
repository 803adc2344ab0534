"""Whatever is changed in the file by hand, checks on demand find it, say so, and name the cure."""

from __future__ import annotations

import re

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record
from lingokids.checks.inspection import BrokenRuleError
from lingokids.errors import LingokidsError

ENRICHED = "intermediate_activity_events_enriched"
DAILY = ("activity_engagement_metrics", "activity_popularity_daily", "user_activity_daily")
RESULTS = """
SELECT table_name, rule, verdict FROM check_results
WHERE run_id = (SELECT max(run_id) FROM check_results) AND verdict IN ('failed', 'warned')
AND rule <> 'fresh'
"""


def _slow(*values: str):
    return pytest.param(*values, marks=pytest.mark.slow)


def _tamper(project, statement: str) -> None:
    with duckdb.connect(str(project.database)) as con:
        con.execute(statement)


def _failed(project) -> list[tuple]:
    return [row for row in project.rows(RESULTS) if row[2] == "failed"]


def _empty(*names: str) -> str:
    return "; ".join(f"DELETE FROM {name}" for name in names)


def _count_more(column: str, dataset: str) -> str:
    one_more = f"{column} = {column} + 1, lines = lines + 1"
    return f"UPDATE ingested_objects SET {one_more} WHERE dataset = '{dataset}'"


THE_DAY_IN_SILVER_AND_GOLD = _empty(ENRICHED, *DAILY)


@pytest.mark.parametrize(
    ("statement", "table", "rule"),
    [
        (_count_more("kept", "events"), "ingested_objects", "kept_of_events_adds_up"),
        _slow(_count_more("quarantined", "users"), "ingested_objects", "quarantined_adds_up"),
        _slow(
            f"{THE_DAY_IN_SILVER_AND_GOLD}; DELETE FROM stg_events; DELETE FROM bronze_events",
            *("ingested_objects", "kept_of_events_adds_up"),
        ),
        (THE_DAY_IN_SILVER_AND_GOLD, "stg_events", "event_enriched"),
        _slow(_empty("user_journeys"), "stg_users", "journey_made"),
    ],
)
def test_rows_changed_by_hand_are_found(small, statement, table, rule):
    _tamper(small, statement)

    with pytest.raises(BrokenRuleError, match="Nothing was changed"):
        small.run("checks", checks={"table": table})

    assert (table, rule, "failed") in small.rows(RESULTS)
    assert small.rows(
        "SELECT count(*) > 0 FROM check_failures WHERE (run_id, table_name, rule) = "
        f"((SELECT max(run_id) FROM runs), '{table}', '{rule}')"
    ) == [(True,)]


COUNTED_AGAIN = ("completed_before", "completed_after", "active_days")
SUMS = ("total_time_spent", "activities_completed")
PERCENTAGES = ("q1_completion_rate", "q2_price_tier_engagement")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        (
            _empty("bronze_users", "bronze_activities"),
            {("ingested_objects", f"kept_of_{of}_adds_up") for of in ("users", "activities")},
        ),
        (
            _empty("stg_users", "user_journeys", "stg_activities"),
            {("bronze_users", "user_staged"), ("bronze_activities", "activity_staged")},
        ),
        (
            "; ".join(
                [f"UPDATE {name} SET {' = 1, '.join(SUMS)} = 1" for name in DAILY]
                + [f"UPDATE user_journeys SET {' = 9, '.join(COUNTED_AGAIN)} = 9"]
            ),
            {(name, f"{column}_adds_up") for name in DAILY for column in SUMS}
            | {("user_journeys", f"{column}_recounted") for column in COUNTED_AGAIN},
        ),
        (
            f"UPDATE {DAILY[0]} SET completion_rate = 0.5; "
            + "; ".join(f"UPDATE {name} SET completion_percentage = 9" for name in PERCENTAGES),
            {
                (DAILY[0], "rate_of_counts"),
                *((name, "percentage_of_counts") for name in PERCENTAGES),
            },
        ),
    ],
    ids=["lines", "rows staged", "sums and counts", "rates"],
)
def test_columns_changed_by_hand_are_each_found(small, statement, rules):
    """What is changed of one rule changes nothing of another: they are found by one look."""
    _tamper(small, statement)

    with pytest.raises(BrokenRuleError, match="Nothing was changed"):
        small.run("checks")

    assert rules <= {(table, rule) for table, rule, _ in _failed(small)}
    assert rules <= {*small.rows("SELECT table_name, rule FROM check_failures")}


@pytest.mark.parametrize(
    "name",
    [
        "user_journeys",
        *map(_slow, ("ingested_objects", "q1_completion_rate")),
        *map(_slow, ("stg_events", "run_steps", "check_failures")),
    ],
)
def test_a_table_that_was_dropped_is_named(small, name):
    _tamper(small, f"DROP TABLE {name}")

    with pytest.raises(BrokenRuleError, match=f'rule schema_kept .*such as .*"{name}"'):
        small.run("checks", checks={"table": name})

    assert small.rows(RESULTS) == [(name, "schema_kept", "failed")]


@pytest.mark.slow
def test_nothing_is_found_where_nothing_was_changed(small):
    small.run("checks")

    assert small.rows(RESULTS) == []


# --- the cure ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "cure"),
    [
        (
            f"{_empty('user_journeys')}; UPDATE user_activity_daily SET total_time_spent = 1",
            "bronze",
        ),
        (THE_DAY_IN_SILVER_AND_GOLD, "bronze"),
        ("DROP TABLE stg_users", "bronze"),
        ("ALTER TABLE stg_users DROP country_code", "bronze"),
        (_count_more("kept", "events"), "raw"),
        (_empty("bronze_events"), "raw"),
        ("DROP TABLE ingested_objects", "raw"),
        ("ALTER TABLE bronze_events DROP os_name", "raw"),
    ],
)
def test_the_cure_that_is_named_cures(small, statement, cure):
    before = small.snapshot(without_loads=True)
    _tamper(small, statement)

    with pytest.raises(BrokenRuleError) as broken:
        small.run("checks")

    assert f"rebuild={cure}" in broken.value.message
    for table in re.findall(r"\(drop (\w+) before it", broken.value.message):
        _tamper(small, f"DROP TABLE {table}")
    small.run(rebuild=cure)
    assert small.snapshot(without_loads=True) == before
    small.run("checks")
    assert small.rows(RESULTS) == []


def test_records_of_runs_have_no_cure_but_a_backup(small):
    _tamper(small, "UPDATE runs SET status = 'fine'")

    with pytest.raises(BrokenRuleError, match="cannot be rebuilt"):
        small.run("checks", checks={"table": "runs"})


# --- what cannot be checked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "asked", "sentence"),
    [
        (
            f"ALTER TABLE {ENRICHED} DROP completed_flag",
            {"table": "activity_engagement_metrics"},
            r"rule activities_completed_adds_up .* cannot be checked: Binder Error",
        ),
        _slow(
            f"ALTER TABLE {ENRICHED} DROP completed_flag",
            *({"table": ENRICHED, "rule": "date_of_event"}, "enriched: rule schema_kept .*complet"),
        ),
        _slow(
            "ALTER TABLE bronze_events DROP user_id",
            *({"table": "unknown_keys"}, r"unknown_keys: rule schema_kept .* by 1 of"),
        ),
        _slow(
            "ALTER TABLE stg_events RENAME TO stg_events_right; CREATE VIEW stg_events AS "
            "SELECT * REPLACE (error('no day')::DATE AS date) FROM stg_events_right",
            *({"table": "stg_events"}, "The tables cannot be checked: .*no day"),
        ),
        _slow(
            "ALTER TABLE check_results DROP verdict",
            *({"table": "stg_users"}, "cannot be kept in check_results: .* drop it"),
        ),
    ],
)
def test_a_check_that_cannot_be_made_is_a_sentence(small, statement, asked, sentence):
    _tamper(small, statement)

    with pytest.raises(LingokidsError, match=sentence):
        small.run("checks", checks=asked)


def test_the_command_ends_with_that_sentence_and_exit_code_1(small):
    _tamper(small, "ALTER TABLE bronze_events DROP device_id")

    refused = small.invoke("run", "--pipeline", "checks")

    assert refused.exit_code == 1
    assert "Error: bronze_events: rule schema_kept" in refused.stderr
    assert isinstance(refused.exception, SystemExit), "no traceback"


def test_a_check_makes_no_table(small):
    """Not even the one that a rule refers to, and that is gone."""
    _tamper(small, "DROP TABLE user_journeys")

    with pytest.raises(BrokenRuleError, match="rule journey_made"):
        small.run("checks", checks={"rule": "journey_made"})

    assert small.rows("FROM duckdb_tables() WHERE table_name = 'user_journeys'") == []


# --- what is asked ------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_pipelines_run_one_by_one_have_not_made_yet_breaks_no_rule(project):
    for day in 1, 2:
        project.deliver("events", f"a{day}", [an_event_record(day)])
        project.deliver("users", f"u{day}", [a_user_record(900 + day)])
        project.deliver("activities", f"c{day}", [an_activity_record(f"fish {day}")])
        for name in ("ingestion", "staging", "enrichment", "marts")[: 4 if day == 1 else 2]:
            project.run(name)

            project.run("checks")

            assert _failed(project) == [], (day, name)


@pytest.mark.slow
def test_what_an_object_sent_again_has_no_longer_breaks_no_rule(small):
    small.deliver("users", "u", [a_user_record(901)], "2021-02-02 00:00:00")
    small.deliver("activities", "c", [an_activity_record("stars")], "2021-02-02 00:00:00")
    small.deliver("events", "a", [an_event_record(2)], "2021-02-02 00:00:00")
    small.run()

    small.run("checks")

    assert _failed(small) == []


def test_what_is_turned_off_cannot_be_asked_for(small):
    off = {"severities": {"ingested_objects.lines_accounted_for": "off"}}

    with pytest.raises(LingokidsError, match=r"turns off all that is asked for"):
        small.run("checks", checks=off | {"rule": "lines_accounted_for"})


@pytest.mark.slow
@pytest.mark.parametrize("day", ["0001-01-05", "9999-12-31", "10000-01-01", "0044-03-15 (BC)"])
def test_a_day_of_any_year_is_checked_without_a_traceback(small, day):
    """The engine knows years that Python does not, and days before which it knows none."""
    with duckdb.connect(str(small.database)) as con:
        con.execute(
            "INSERT INTO activity_engagement_metrics "
            f"SELECT * REPLACE (DATE '{day}' AS date) FROM activity_engagement_metrics"
        )
        con.execute(f"UPDATE ingested_objects SET landed_at = TIMESTAMP '{day}'")
        con.execute(f"UPDATE stg_users SET registration_at = TIMESTAMP '{day}', country_code = 'E'")

    checked = small.invoke(
        *("run", "--pipeline", "checks", "--params", "checks.now=2021-02-01T12:00:00")
    )

    assert isinstance(checked.exception, SystemExit), "no traceback"
    assert small.rows(
        "SELECT verdict FROM check_results WHERE rule = 'country_code_matches' AND "
        "table_name = 'stg_users' AND run_id = (SELECT max(run_id) FROM runs)"
    ) == [("warned",)]
    assert small.rows("SELECT verdict FROM check_results WHERE rule = 'fresh'") == [
        ("held" if day == "9999-12-31" else "warned",)
    ]
