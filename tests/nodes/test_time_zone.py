"""Days in the reporting time zone, held against Python's own."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.marts.nodes import build_user_journeys
from lingokids.pipelines.staging.nodes import stage_events
from lingokids.schema.days import local_date

#: Summer time, half hours, half an hour of summer time, a day that was skipped, months of fasting,
#: summer time below zero, and half an hour that was given up.
ZONES = (
    *("America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"),
    *("Africa/Casablanca", "Europe/Dublin", "America/Caracas", "Asia/Kathmandu", "Etc/UTC"),
)
INSTANTS = ibis.table({"at": "timestamp(6)"}, name="instants")
DAY = timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def _zones_of_the_package():
    """Python's zones of the package, as the lock has them: a machine's own may be older."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(())
    ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(before)
    ZoneInfo.clear_cache()


def day_of(at: datetime, zone: str) -> date:
    return at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()


@pytest.fixture(scope="module")
def days():
    """The days that the engine makes of instants."""
    con = ibis.duckdb.connect()
    compiled = cache(lambda zone: con.compile(INSTANTS.select(day=local_date(INSTANTS.at, zone))))

    def ask(zone: str, instants: list[datetime | None]) -> list[date | None]:
        con.con.register("instants", pa.table({"at": pa.array(instants, pa.timestamp("us"))}))
        return [day for (day,) in con.con.sql(compiled(zone)).fetchall()]

    return ask


def near_midnights(zone: str) -> list[datetime]:
    """Just before and after each midnight there; and around changes of the clock."""
    found, at = [], datetime(2000, 1, 2)
    offset = None
    while at < datetime(2049, 12, 30):
        now = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
        if offset not in (None, now):
            hours = (at - DAY + timedelta(minutes=30 * step) for step in range(49))
            found += [hour + timedelta(microseconds=by) for hour in hours for by in (-1, 0)]
        found += [at - now + timedelta(microseconds=by) for by in (-1, 0)]
        offset, at = now, at + DAY
    return found


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_no_day_of_50_years_begins_or_ends_elsewhere(zone, days):
    instants = near_midnights(zone)

    assert days(zone, instants) == [day_of(at, zone) for at in instants]


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(ZONES),
    st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2049, 12, 31)), min_size=1, max_size=200),
)
def test_a_day_is_that_of_python_at_any_instant(days, zone, instants):
    assert days(zone, instants) == [day_of(at, zone) for at in instants]


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("America/Los_Angeles", "2021-01-05 07:59:59.999999", "2021-01-04"),
        ("America/Los_Angeles", "2021-01-05 08:00", "2021-01-05"),
        ("America/Los_Angeles", "2021-03-15 07:00", "2021-03-15"),  # the day before had 23 hours
        ("America/Los_Angeles", "2021-11-08 07:59:59", "2021-11-07"),  # which had 25
        ("America/Los_Angeles", "2021-11-08 08:00", "2021-11-08"),
        ("Pacific/Apia", "2011-12-30 09:59:59", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-31"),  # there was no 30th
        ("Asia/Kolkata", "2021-01-04 18:30", "2021-01-05"),
        ("UTC", "2021-01-05 00:00", "2021-01-05"),
    ],
)
def test_a_day_begins_at_midnight_there(days, zone, at, day):
    assert days(zone, [datetime.fromisoformat(at), None]) == [date.fromisoformat(day), None]


def test_in_utc_the_expression_is_the_day_alone():
    assert local_date(INSTANTS.at, "UTC").equals(INSTANTS.at.date())


def test_names_of_one_zone_are_one_rule():
    """So that another name for it makes nothing due."""
    here, there = (local_date(INSTANTS.at, f"US/{name}") for name in ("Pacific", "Mountain"))

    assert here.equals(local_date(INSTANTS.at, "America/Los_Angeles"))
    assert not here.equals(there)


@pytest.mark.parametrize("dialect", ["pyspark", "databricks", "trino", "snowflake", "bigquery"])
def test_other_engines_are_given_no_zone(dialect):
    """A cast to one means something else in each, or nothing."""
    sql = str(ibis.to_sql(INSTANTS.select(day=local_date(INSTANTS.at, "Asia/Kathmandu")), dialect))

    assert "Kathmandu" not in sql
    assert "20700" in sql


def test_events_and_journeys_are_of_the_zones_days(rows):
    event = {
        **{"object_key": "a", "etag": "v1", "line_number": 1, "load_id": 1, "is_current": True},
        **{"event_id": an_id(1), "user_id": an_id(900), "activity_id": "fish"},
        **{"event_name": "activity_exit", "occurred_at": "2021-01-05 03:00:00"},
        "landed_at": "2021-02-01 00:00:00",
    }
    instants = {
        f"{name}_at": "2021-01-04 07:00:00"
        for name in ("registration", "trial_start", "subscription_start")
    }
    user = {"user_id": an_id(900)} | instants
    played = {"user_id": an_id(900), "date": "2021-01-04", "activities_completed": 1}

    (staged,) = rows(stage_events(table_of(schema.BRONZE_EVENTS, event), "America/Los_Angeles"))
    (journey,) = rows(
        build_user_journeys(
            table_of(schema.STG_USERS, user),
            table_of(schema.USER_ACTIVITY_DAILY, played),
            7,
            "America/Los_Angeles",
        )
    )

    assert staged["date"] == date(2021, 1, 4)
    assert {journey[f"{name.removesuffix('_at')}_date"] for name in instants} == {date(2021, 1, 3)}
    # registered on a Sunday there, played on the Monday: in the next week
    assert journey["active_weeks"] == [1]
    assert journey["completed_after"] == 1
