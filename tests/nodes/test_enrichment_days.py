"""Which days the enrichment makes as a whole, and which users of the others it notes."""

from __future__ import annotations

import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.pipelines.enrichment.nodes import mark_changed_user_days, mark_enriched_days

NO_WINDOW = {"start": None, "end": None, "lookback_days": 0}
NEW, OLD, LEFT = "2021-01-05", "2021-01-06", "2021-01-07"
LOADS = table_of(schema.ENRICHED_LOADS, {"load_id": 2})
STAGED = (
    {"event_id": an_id(1), "user_id": an_id(901), "date": NEW, "load_id": 2},
    {"event_id": an_id(2), "user_id": an_id(902), "date": OLD, "load_id": 2},
    {"event_id": an_id(3), "user_id": an_id(903), "date": OLD, "load_id": 1},
)
OUTDATED = (
    {"event_id": an_id(4), "user_id": an_id(904), "date": LEFT, "load_id": 1},
    {"event_id": an_id(5), "user_id": an_id(902), "date": OLD, "load_id": 1},
)
KNOWN = tuple(
    {"date": day, "revision": 4, "whole_revision": 3} for day in (OLD, LEFT, "2021-01-08")
)


def marked(rows, window, rebuild=None):
    """Revision and whole revision of each day that changes."""
    days = mark_enriched_days(
        table_of(schema.STG_EVENTS, *STAGED),
        table_of(schema.OUTDATED_EVENTS, *OUTDATED),
        LOADS,
        table_of(schema.ENRICHED_DAYS, *KNOWN),
        window,
        rebuild,
    )
    return {str(row["date"]): (row["revision"], row["whole_revision"]) for row in rows(days)}


@pytest.mark.parametrize(
    ("window", "rebuild", "expected"),
    [
        (NO_WINDOW, None, {NEW: (1, 1), OLD: (5, 3), LEFT: (5, 3)}),
        (NO_WINDOW | {"start": LEFT}, None, {NEW: (1, 1), OLD: (5, 3), LEFT: (5, 5)}),
        (
            NO_WINDOW,
            "bronze",
            {NEW: (1, 1), OLD: (5, 5), LEFT: (5, 5), "2021-01-08": (5, 5)},
        ),
    ],
)
def test_a_day_is_made_as_a_whole_if_it_is_new_or_rebuilt_on_purpose(
    rows, window, rebuild, expected
):
    assert marked(rows, window, rebuild) == expected


def test_users_who_gain_or_lose_a_row_on_a_day_made_in_part_are_noted(rows):
    days = table_of(
        schema.ENRICHED_DAYS,
        {"date": NEW, "revision": 1, "whole_revision": 1},
        *({"date": day, "revision": 5, "whole_revision": 3} for day in (OLD, LEFT, "2021-01-08")),
    )

    changed = mark_changed_user_days(
        table_of(schema.STG_EVENTS, *STAGED),
        table_of(schema.OUTDATED_EVENTS, *OUTDATED),
        LOADS,
        days,
        NO_WINDOW,
    )

    found = [(str(row["date"]), str(row["user_id"]), row["revision"]) for row in rows(changed)]
    assert sorted(found) == [(OLD, an_id(902), 5), (LEFT, an_id(904), 5)]
