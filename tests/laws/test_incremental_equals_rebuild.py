"""The first law: any history of deliveries gives the tables that one full rebuild gives."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_user_record, an_activity_record, an_event_record, an_id
from conftest import A_LAW

_START = datetime(2021, 1, 4)


def _instant(hours: int) -> str:
    return (_START + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S.000")


hours = st.integers(0, 96)
maybe_hours = st.none() | hours

events = st.builds(
    lambda number, name, hour, user, activity, duration, completed: an_event_record(
        number,
        name=name,
        occurred_at=_instant(hour),
        user_id=an_id(900 + user),
        data={
            "activity_id": activity,
            "duration": duration,
            "completed": completed,
            "collection_id": "" if number % 2 else "songs",
        },
    ),
    st.integers(1, 12),
    st.sampled_from(["activity_exit", "activity_exit", "activity_exit", "activity_enter"]),
    hours,
    st.integers(0, 2),
    st.sampled_from(["fish", "stars"]),
    st.sampled_from([0, 0.1, 59.999, 151.918, 514054]),
    st.sampled_from([True, False, None]),
)


def _a_user(number, country, milestones):
    names = (
        "registration_at",
        "trial_start_at",
        "trial_end_at",
        "subscription_start_at",
        "subscription_expire_at",
    )
    reached = {
        name: _instant(hour)
        for name, hour in zip(names, milestones, strict=True)
        if hour is not None
    }
    return a_user_record(900 + number, country_code=country, **reached)


users = st.builds(
    _a_user,
    st.integers(0, 2),
    st.sampled_from(["es", "fr"]),
    st.tuples(hours, maybe_hours, maybe_hours, maybe_hours, maybe_hours),
)

activities = st.builds(
    lambda activity_id, type_: an_activity_record(activity_id, type=type_),
    st.sampled_from(["fish", "stars"]),
    st.sampled_from(["game", "video", ""]),
)

broken = st.sampled_from([b"{", b"[1]", b"\xff\xfe", b"", b"  ", b'{"event_id": "x"}'])

# (dataset, which key, records, the hour it landed); few keys and hours, so that objects are sent
# again, land late and tie
deliveries = st.one_of(
    st.tuples(st.just("events"), st.integers(0, 3), st.lists(events | broken, max_size=6), hours),
    st.tuples(st.just("users"), st.integers(0, 1), st.lists(users | broken, max_size=4), hours),
    st.tuples(st.just("activities"), st.integers(0, 1), st.lists(activities, max_size=2), hours),
)

# what is run after each batch of deliveries; an empty list is a missed run
runs = st.sampled_from(
    [
        [None],
        [None],
        [],
        ["ingestion"],
        ["ingestion", "staging"],
        ["enrichment", "marts"],
        ["marts", "staging", "ingestion"],
    ]
)
histories = st.lists(
    st.tuples(st.lists(deliveries, min_size=1, max_size=3), runs), min_size=2, max_size=4
)


def _bytes(records) -> bytes:
    import json

    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in records]
    return b"".join(line + b"\n" for line in lines)


def _follow(history, project) -> None:
    for number, (batch, pipelines) in enumerate(history):
        for dataset, key, records, hour in batch:
            # a version that is overwritten unseen never existed: so each batch has its own keys
            # unless the run before it took the older version in
            name = f"{key}-{number if not _taken_in(history, number) else 0}.jsonl"
            project.deliver(dataset, name, _bytes(records), _instant(hour))
        for pipeline in pipelines:
            project.run(pipeline)
    project.run()


def _taken_in(history, number) -> bool:
    return all(None in runs or "ingestion" in runs for _, runs in history[:number])


def _check(history, new_project) -> None:
    incremental = new_project()
    _follow(history, incremental)
    grown = incremental.snapshot()

    incremental.run(rebuild="bronze")
    assert incremental.snapshot() == grown

    incremental.run()
    assert incremental.snapshot() == grown


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        {"duration_cap_seconds": 10},
        {"session_gap_minutes": 1},
        {"os_names": {"iOS": "Apple"}},
        {"subscription_impact": {"days": 1}},
    ],
    ids=lambda rules: next(iter(rules)),
)
def test_another_rule_gives_what_a_rebuild_with_it_gives(project_after, rules):
    project = project_after("four-exits", _take_in_four_exits)
    usual = project.snapshot()

    project.run(**rules)
    changed = project.snapshot()
    project.run(**rules, rebuild="bronze")

    assert changed != usual
    assert project.snapshot() == changed

    project.run()
    assert project.snapshot() == usual


def _take_in_four_exits(project) -> None:
    exits = [
        an_event_record(number, occurred_at=f"2021-01-0{day} 10:{minute}:00.000")
        for number, (day, minute) in enumerate(((4, 10), (5, 10), (5, 20), (8, 10)), start=1)
    ]
    project.deliver("events", "e", exits)
    project.deliver("users", "u", [a_user_record(900, subscription_start_at="2021-01-06 10:00:00")])
    project.run()


@pytest.mark.slow
def test_a_record_that_corrects_only_the_registration_makes_the_journey_right(project):
    project.deliver("events", "e", [an_event_record(1, occurred_at="2021-01-12 10:00:00.000")])
    project.deliver("users", "u", [a_user_record(900, registration_at="2021-01-04 00:00:00")])
    project.run()
    weeks = "SELECT registration_date::VARCHAR, active_weeks FROM user_journeys"
    assert project.rows(weeks) == [("2021-01-04", [1])]

    corrected = a_user_record(900, registration_at="2021-01-11 00:00:00")
    project.deliver("users", "u2", [corrected], "2021-02-02 00:00:00")
    project.run()

    assert project.rows(weeks) == [("2021-01-11", [0])]


def test_a_history_of_late_and_corrected_deliveries_gives_what_a_rebuild_gives(new_project):
    """One that meets most of what can happen; the many are below."""
    at = [_instant(hour) for hour in (0, 30, 60, 90)]
    trial = _a_user(0, "fr", (0, 20, 50, None, None))
    history = [
        (
            [
                ("events", 0, [an_event_record(1, occurred_at=at[2]), b"{"], 48),
                ("events", 1, [an_event_record(2, occurred_at=at[1])], 72),
            ],
            ["ingestion", "staging"],
        ),
        (
            [
                ("events", 0, [an_event_record(1, occurred_at=at[3])], 60),  # moves to another day
                ("events", 2, [an_event_record(2, name="activity_enter")], 12),  # late: no last one
                ("users", 0, [trial], 60),
                ("activities", 0, [an_activity_record(type="video")], 60),
                ("events", 3, [an_event_record(3, occurred_at=at[0])], 90),
            ],
            [],  # a missed run
        ),
    ]

    _check(history, new_project)


@pytest.mark.slow
@settings(max_examples=12, **A_LAW)
@given(history=histories)
def test_many_histories_give_what_a_rebuild_gives(history, new_project):
    _check(history, new_project)
