"""Lines of objects that landed longer ago are forgotten, as if they had never been delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_user_record, an_activity_record, an_event_record
from conftest import A_LAW
from lingokids import schema
from published import assert_published

TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
OF_RUNS = {"runs", "run_steps", "run_units", "table_state", "gone", "check_results"} | {
    "check_failures",
    "unknown_keys",  # counted by load
}
MADE = [name for name in schema.STORED if name not in OF_RUNS]
LIMITS = {"lines_days": {"events": 10, "users": 20, "activities": None}}


def landed(days: int) -> str:
    return f"{TODAY - timedelta(days=days):%Y-%m-%d %H:%M:%S}"


def deliver(project, number: int, days: int) -> None:
    """An event, an unusable line and an unknown key, of some days ago; a user and an activity."""
    occurred = f"{TODAY - timedelta(days=days):%Y-%m-%d} 10:00:00.000"
    events = [an_event_record(number, occurred_at=occurred, note="x"), {"event_id": f"{number}"}]
    project.deliver("events", f"e{number}", events, landed(days))
    user = a_user_record(900 + number % 2, country_code=["es", "fr", "de"][number % 3])
    project.deliver("users", f"u{number}", [user], landed(days))
    project.deliver("activities", f"a{number}", [an_activity_record(name=f"{days}")], landed(days))


def without_loads(project) -> dict[str, list]:
    """All tables that are made of lines; the numbers of loads are those of each project's runs."""
    tables = {}
    for name in MADE:
        columns = [f'"{each}"' for each in schema.CONTRACTS[name].columns if each != "load_id"]
        tables[name] = project.rows(f"SELECT {', '.join(columns)} FROM {name} ORDER BY ALL")
    return tables


@pytest.mark.slow
def test_all_tables_are_as_if_an_old_object_had_never_been_delivered(new_project):
    whole, young = new_project(), new_project()
    for number, days in enumerate((1, 9, 11, 19, 30)):
        deliver(whole, number, days)
    whole.run()
    assert whole.rows("SELECT count(*) FROM stg_events") == [(5,)]

    whole.run(retention=LIMITS)
    whole.run(retention=LIMITS)

    for number, days in enumerate((1, 9, 11, 19, 30)):
        deliver(young, number, days)
        for dataset, most in ("events", 10), ("users", 20):
            if days > most:
                (young.folder / "raw" / dataset / f"{dataset[0]}{number}").unlink()
    young.run()
    assert without_loads(whole) == without_loads(young)
    assert_published(whole)
    assert whole.rows("SELECT count(*) FROM gone") == [(0,)]
    whole.run(rebuild="raw", retention=LIMITS)
    assert without_loads(whole) == without_loads(young)


@pytest.mark.slow
@settings(**A_LAW | {"max_examples": 3})
@given(
    deliveries=st.lists(st.integers(1, 25), min_size=2, max_size=4),
    limits=st.lists(st.sampled_from([5, 10, 15, 20, None]), min_size=1, max_size=3),
)
def test_forgetting_bit_by_bit_is_a_rebuild(new_project, deliveries, limits):
    project, fresh = new_project(), new_project()
    limited = {"lines_days": {"events": limits[-1], "users": limits[-1], "activities": None}}
    for number, days in enumerate(deliveries):
        deliver(project, number, days)
        events = limits[number % len(limits)]
        project.run(retention={"lines_days": {"events": events, "users": None, "activities": None}})
    project.run(retention=limited)
    for number, days in enumerate(deliveries):
        deliver(fresh, number, days)
    fresh.run(retention=limited)

    assert without_loads(project) == without_loads(fresh)


def test_days_that_make_no_sense_are_refused(project):
    told = project.invoke("run", "--params", "retention.lines_days.events=0")

    assert told.exit_code == 1
    sentence = "retention.lines_days.events is 0: write a whole number of days, from 1 to 36,500."
    assert sentence in " ".join(told.output.split())
