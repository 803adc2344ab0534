"""Python that reads rows, as charts do: what is declared of it is what it reads.

The values of each column of its input are shuffled: a figure changes for those that it is said to
read, and for no other.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from made_up import MadeUp

from lingokids import schema
from lingokids.lineage import declared
from lingokids.pipelines.reporting import charts, nodes
from lingokids.schema.parameters import Reporting

CHARTS = [name for name in declared.READS if name.startswith("draw_")]
KEYS = [f"{part}_{place}" for part in ("name", "value") for place in (1, 2)]


@pytest.fixture(scope="module")
def made() -> MadeUp:
    return MadeUp(random.Random(1))


@pytest.fixture(scope="module")
def answers(made: MadeUp) -> dict[str, pa.Table]:
    """What charts are drawn from, of made-up rows."""
    contracts = {
        "user_activity_daily": schema.USER_ACTIVITY_DAILY,
        "user_journeys": schema.USER_JOURNEYS,
        "shown_completion_rate": schema.Q1_COMPLETION_RATE,
        "shown_price_tier_engagement": schema.Q2_PRICE_TIER_ENGAGEMENT,
        "shown_subscription_impact": schema.Q3_SUBSCRIPTION_IMPACT,
    }
    for name, contract in contracts.items():
        made.named(name, contract.nullable_schema, made.rows(contract, 60))
    asked = {name: ibis.table(of.nullable_schema, name=name) for name, of in contracts.items()}
    days = asked["user_activity_daily"]
    reporting = Reporting(weeks=13, dimensions=["country_code", "os_name"])
    nothing = pa.table({})
    asked["measured_groups"] = nodes.measure_groups(
        days, asked["user_journeys"], nothing, nothing, reporting, "UTC"
    )
    asked["activity_names"] = days.select(
        "activity_id", activity_name=days.activity_id + "!"
    ).distinct()
    found = {name: made.asking(each)() for name, each in asked.items()}
    measured = found["measured_groups"]
    most = [name for name in measured.column_names if name.startswith("most_")]
    shown = measured.drop_columns(most)
    users = pa.array(range(shown.num_rows, 0, -1), pa.int64())
    shown = shown.set_column(shown.column_names.index("active_users"), "active_users", users)
    place, week = shown.column_names.index("week"), shown["week"]
    before = pc.subtract(week, pa.scalar(timedelta(days=7))).cast(week.type)
    other = pa.array(["registration"] * shown.num_rows)
    parts = [shown, shown.set_column(place, "week", before).slice(0, shown.num_rows - 1)]
    parts.append(shown.set_column(0, "subject", other))
    return found | {"latest_shown_groups": pa.concat_tables(parts)}


def _shuffled(made: MadeUp, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows with the values of one column in another order, or all the same, for each."""
    for place, name in enumerate(rows.column_names):
        values = rows[name].to_pylist()
        some = next((value for value in values if value is not None), None)
        for others in (made.rng.sample(values, len(values)), [some] * len(values)):
            column = pa.array(others, rows.schema.field(name).type)
            yield name, rows.set_column(place, name, column)


def _drawn(function: Any, given: dict[str, pa.Table]) -> str:
    """The figure; what cannot be drawn of shuffled rows was read as well."""
    try:
        return function(**given).to_json()
    except (AttributeError, KeyError, TypeError) as error:
        return repr(error)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_reads_what_is_declared(name, made, answers):
    function = getattr(charts, name)
    given = {each: answers[each] for each in inspect.signature(function).parameters}
    before = _drawn(function, given)
    changed = {each: set() for each in given}

    for each, rows in given.items():
        for column, others in _shuffled(made, rows):
            if _drawn(function, given | {each: others}) != before:
                changed[each].add(column)

    every = {each: tuple(rows.column_names) for each, rows in given.items()}
    assert changed == {each: {*of} for each, of in (every | declared.READS[name]).items()}


def test_which_groups_are_hidden_follows_from_what_is_declared(made, answers):
    measured = answers["measured_groups"]
    read = declared.READS["hide_groups"]["measured_groups"]
    nothing = pa.table({})
    before = nodes.hide_groups(measured, nothing, nothing, 3, 0.85, "UTC")

    for column, rows in _shuffled(made, measured):
        if column not in read:
            after = nodes.hide_groups(rows, nothing, nothing, 3, 0.85, "UTC")
            assert after.shown.select(KEYS) == before.shown.select(KEYS)
            assert after.hidden == before.hidden


def test_every_chart_is_declared():
    assert {name for name in vars(charts) if name.startswith("draw_")} == {*CHARTS}
