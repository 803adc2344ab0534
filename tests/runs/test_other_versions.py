"""A warehouse that another version of the contracts made: refused in a sentence, and cured."""

from __future__ import annotations

import os
import re

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record
from lingokids.errors import LingokidsError

pytestmark = pytest.mark.slow


def _take_in(project):
    project.deliver("events", "a", [an_event_record(number) for number in (1, 2, 3)])
    project.deliver("users", "u", [a_user_record(900)])
    project.deliver("activities", "x", [an_activity_record("fish")])
    project.run()


@pytest.fixture
def taken_in(project_after):
    """Three events of a known user and activity, taken in by one run."""
    return project_after("three-events", _take_in)


def refuse_after(project, table: str, change: str, sentence: str) -> None:
    """Alter a table as another version would have it: a run is refused."""
    with duckdb.connect(str(project.database)) as con:
        con.execute(f"ALTER TABLE {table} {change}")
    with pytest.raises(
        LingokidsError,
        match=f"{table} was made by another version or with other settings: {sentence}",
    ):
        project.run()


@pytest.mark.parametrize(
    ("table", "change", "fault"),
    [
        ("stg_users", "DROP COLUMN country_code", "lacks country_code"),
        ("stg_events", "ADD COLUMN shape INTEGER", "has an unexpected column shape"),
        ("user_activity_daily", "DROP COLUMN version", "lacks version"),
        (
            "activity_engagement_metrics",
            "ALTER activities_played TYPE INTEGER",
            "has activities_played as int32 NOT NULL, promised int64 NOT NULL",
        ),
        (
            "stg_users",
            "ALTER landed_at DROP NOT NULL",
            "has landed_at as timestamp(6), promised timestamp(6) NOT NULL",
        ),
        (
            "stg_users",
            "ALTER country_code SET NOT NULL",
            "has country_code as string NOT NULL, promised string",
        ),
    ],
)
def test_a_derived_table_of_another_version_is_refused_and_a_rebuild_renews_it(
    taken_in, table, change, fault
):
    expected = taken_in.snapshot()

    refuse_after(taken_in, table, change, f"it {re.escape(fault)}")

    taken_in.run(rebuild="bronze")
    assert taken_in.snapshot() == expected
    taken_in.deliver("events", "b", [an_event_record(4)])
    taken_in.run()
    assert len(taken_in.table("intermediate_activity_events_enriched")) == 4


@pytest.mark.parametrize(
    ("table", "change", "cure"),
    [
        ("bronze_users", "DROP COLUMN country_code", "rebuild=bronze"),  # a new field is filled
        ("bronze_users", "ADD COLUMN shape INTEGER", "rebuild=raw"),
        ("bronze_users", "ALTER country_code TYPE VARCHAR[] USING NULL", "rebuild=raw"),
        ("ingested_objects", "ALTER lines DROP NOT NULL", "rebuild=raw"),
        ("ingested_objects", "DROP COLUMN lines", "rebuild=raw"),
        ("quarantined_lines", "DROP COLUMN dataset", "rebuild=raw"),
    ],
)
def test_bronze_of_another_version_is_refused_and_raw_makes_it_anew(taken_in, table, change, cure):
    expected = taken_in.snapshot(without_loads=True)

    refuse_after(taken_in, table, change, f".* {cure} ")

    taken_in.run(rebuild="raw")
    assert taken_in.snapshot(without_loads=True) == expected


def test_a_table_with_another_key_is_refused_and_a_rebuild_renews_it(taken_in):
    expected = taken_in.snapshot()
    key = "SELECT comment FROM duckdb_tables() WHERE table_name = 'activity_popularity_daily'"
    ((comment,),) = taken_in.rows(key)
    assert comment.endswith(" Key: date, activity_id")
    with duckdb.connect(str(taken_in.database)) as con:
        con.execute("COMMENT ON TABLE activity_popularity_daily IS 'As it was. Key: date'")

    with pytest.raises(LingokidsError, match="it has the key date, promised date, activity_id"):
        taken_in.run()

    taken_in.run(rebuild="bronze")
    assert taken_in.snapshot() == expected
    assert taken_in.rows(key) == [(comment,)]


def test_a_changed_type_reaches_the_copy(taken_in):
    """The copy is brought up to date by days; one of other types is written whole."""
    copy = taken_in.folder / "lingokids-gold.duckdb"
    written = copy.stat().st_mtime_ns
    for file in (taken_in.database, copy):
        with duckdb.connect(str(file)) as con:
            con.execute("ALTER TABLE user_activity_daily ALTER activities_played TYPE INTEGER")
    os.utime(copy, ns=(written, written))

    taken_in.run(rebuild="bronze")

    with duckdb.connect(str(copy), read_only=True) as con:
        types = con.execute("SELECT typeof(activities_played) FROM user_activity_daily").fetchall()
    assert set(types) == {("BIGINT",)}
