"""Events with their user and activity, and the status of the user at that moment."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.enrichment.nodes import enrich_events, subscription_status

MILESTONES = ("trial_start_at", "trial_end_at", "subscription_start_at", "subscription_expire_at")


def _status(moment, *, is_known_user=True, **milestones):
    return _statuses([{"occurred_at": moment, "is_known_user": is_known_user, **milestones}])[0]


def _statuses(events):
    names = ("occurred_at", *MILESTONES)
    columns = {name: pa.array([event.get(name) for event in events], pa.string()) for name in names}
    known = pa.array([event["is_known_user"] or None for event in events], pa.bool_())
    table = ibis.memtable(pa.table({**columns, "is_known_user": known}))
    table = table.mutate(**{name: table[name].cast("timestamp") for name in names})
    answer = table.select(status=subscription_status(table))
    return answer.to_pyarrow()["status"].to_pylist()


TRIAL = {"trial_start_at": "2021-01-05 00:00:00", "trial_end_at": "2021-01-12 00:00:00"}
PAID = {
    "subscription_start_at": "2021-01-12 00:00:00",
    "subscription_expire_at": "2021-02-12 00:00:00",
}


@pytest.mark.parametrize(
    ("moment", "milestones", "status"),
    [
        ("2021-01-04 23:59:59.999", TRIAL, "free"),
        ("2021-01-05 00:00:00", TRIAL, "trial"),
        ("2021-01-12 00:00:00", TRIAL, "trial"),
        ("2021-01-12 00:00:00.001", TRIAL, "lapsed"),
        ("2021-01-11 23:59:59.999", TRIAL | PAID, "trial"),
        ("2021-01-12 00:00:00", TRIAL | PAID, "subscribed"),
        ("2021-02-12 00:00:00", TRIAL | PAID, "subscribed"),
        ("2021-02-12 00:00:00.001", TRIAL | PAID, "lapsed"),
        ("2031-01-01 00:00:00", {"subscription_start_at": "2021-01-12 00:00:00"}, "subscribed"),
        ("2021-01-04 23:59:59.999", {"trial_start_at": "2021-01-05 00:00:00"}, "free"),
        ("2021-01-05 00:00:00", {"trial_start_at": "2021-01-05 00:00:00"}, "lapsed"),
        ("2021-01-06 00:00:00", {}, "free"),
        ("2021-03-01 00:00:00", PAID, "free"),
    ],
)
def test_the_first_status_that_holds_is_taken_ends_included(moment, milestones, status):
    assert _status(moment, **milestones) == status


def test_a_user_whose_record_has_not_arrived_is_unknown():
    assert _status("2021-01-06 00:00:00", is_known_user=False) == "unknown"


def test_an_event_keeps_its_row_whether_its_user_and_activity_are_known_or_not(rows):
    events = table_of(
        schema.STG_EVENTS,
        {"event_id": an_id(1), "user_id": an_id(900), "activity_id": "fish"},
        {"event_id": an_id(2), "user_id": an_id(901), "activity_id": "stars"},
    )
    users = table_of(schema.STG_USERS, {"user_id": an_id(900), "country_code": "es"})
    activities = table_of(schema.STG_ACTIVITIES, {"activity_id": "fish", "activity_type": "game"})

    enriched = rows(enrich_events(events, users, activities))

    assert sorted(
        (
            *(str(row["event_id"]), row["country_code"], row["activity_type"]),
            row["subscription_status"],
        )
        for row in enriched
    ) == [(an_id(1), "es", "game", "free"), (an_id(2), None, None, "unknown")]


def _expected(moment, milestones):
    """The rule of DESIGN read out loud, in Python."""
    trial_start, trial_end, start, expire = milestones
    if start is not None and start <= moment and (expire is None or moment <= expire):
        return "subscribed"
    if trial_start is not None and trial_end is not None and trial_start <= moment <= trial_end:
        return "trial"
    if trial_start is None or moment < trial_start:
        return "free"
    return "lapsed"


days = st.integers(1, 9)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(days, st.tuples(*[st.none() | days] * 4)), min_size=1, max_size=40))
def test_the_status_is_total_and_exclusive(cases):
    events = [
        {"occurred_at": f"2021-01-0{moment} 00:00:00", "is_known_user": True}
        | {
            name: day and f"2021-01-0{day} 00:00:00"
            for name, day in zip(MILESTONES, milestones, strict=True)
        }
        for moment, milestones in cases
    ]

    assert _statuses(events) == [_expected(moment, milestones) for moment, milestones in cases]
