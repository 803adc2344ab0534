"""Each kind of rule fails on bad rows, holds on good ones, and is not blind to NULL."""

from __future__ import annotations

import ibis
import pytest

from builders import table_of
from lingokids import schema
from lingokids.checks import conditions
from lingokids.checks.conditions import Scope
from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED, Result
from lingokids.schema import (
    WARN,
    AcceptedValues,
    AddsUp,
    ForeignKey,
    Fresh,
    InRange,
    Matches,
    NotNull,
    Recounted,
    RowCondition,
    Steady,
    Unique,
)

SCHEMA = ibis.schema(
    {"id": "string", "day": "date", "country": "string", "played": "int64", "done": "int64"}
)
COMPLETED = RowCondition("done_of_played", "done <= played", lambda row: row.done <= row.played)


def _row(**values):
    return {"id": "a", "day": "2021-01-05", "country": "es", "played": 2, "done": 1} | values


def _table(*rows):
    return ibis.memtable([_row(**row) for row in rows], schema=SCHEMA)


def _scope(*rows, units=None, **others):
    table = _table(*rows)
    return Scope(rows=table, table=table, units=units, load=None, other=others.__getitem__)


ROW_RULES = {
    "not null": (NotNull("id"), {}, {"id": None}),
    "at least": (InRange("played", at_least=0), {"played": 0}, {"played": -1}),
    "at most": (InRange("played", at_most=9), {"played": 9}, {"played": 10}),
    "accepted": (AcceptedValues("country", ("es", "fr")), {"country": "fr"}, {"country": "ES"}),
    "form": (Matches("country", "[a-z]{2}|unknown", "a code"), {}, {"country": "esp"}),
    "either form": (
        Matches("country", "[a-z]{2}|unknown", "a code"),
        {"country": "unknown"},
        {"country": "unknown1"},
    ),
    "expression": (COMPLETED, {"done": 2}, {"done": 3}),
    "expression of NULL": (COMPLETED, {}, {"done": None}),
}


@pytest.mark.parametrize(("rule", "good", "bad"), ROW_RULES.values(), ids=list(ROW_RULES))
def test_a_rule_of_rows_counts_the_bad_rows_of_good_ones(rule, good, bad, rows):
    assert rows(conditions.one_pass([rule], _table(good, good, bad))) == [
        {"rows_checked": 3, "rule_0": 1}
    ]
    assert rows(conditions.one_pass([rule], _table(good, good))) == [
        {"rows_checked": 2, "rule_0": 0}
    ]
    assert rows(conditions.failing(rule, _scope(good, bad))) == rows(_table(bad))


@pytest.mark.parametrize(
    "rule",
    [
        InRange("played", at_least=0, at_most=1),
        AcceptedValues("country", ("x",)),
        Matches("country", "x", ""),
    ],
    ids=["range", "accepted", "form"],
)
def test_an_absent_value_is_the_business_of_not_null_alone(rule, rows):
    absent = {"played": None, "country": None}

    assert rows(conditions.one_pass([rule, NotNull("played")], _table(absent))) == [
        {"rows_checked": 1, "rule_0": 0, "rule_1": 1}
    ]


def test_rules_of_a_table_are_counted_in_one_pass(rows):
    rules = [rule for rule, _, _ in ROW_RULES.values()] + [Unique(("id", "day"))]

    counted = rows(conditions.one_pass(rules, _table({}, {"id": "b", "played": 10, "done": 11})))

    assert counted == [
        {"rows_checked": 2, "rule_0": 0, "rule_1": 0, "rule_2": 1, "rule_3": 0}
        | {"rule_4": 0, "rule_5": 0, "rule_6": 1, "rule_7": 1, "rule_8": 0}
    ]


def test_no_rows_fail_nothing(rows):
    assert rows(conditions.one_pass([COMPLETED, Unique(("id",))], _table())) == [
        {"rows_checked": 0, "rule_0": 0, "rule_1": 0}
    ]


# --- uniqueness -----------------------------------------------------------------------


@pytest.mark.parametrize("columns", [("id",), ("id", "day")], ids=["column", "combination"])
@pytest.mark.parametrize(
    ("keys", "failed"),
    [
        (["a", "b", "c"], 0),
        (["a", "b", "a"], 2),
        (["a", "b", None], 1),
        (["a", None, None], 2),
        (["a", "a", None], 3),
    ],
)
def test_a_key_that_is_repeated_or_null_is_not_unique(columns, keys, failed, rows):
    rule, scope = Unique(columns), _scope(*({"id": key} for key in keys))

    (counted,) = rows(conditions.one_pass([rule], scope.rows))
    assert (counted["rule_0"] > 0) == (failed > 0)
    assert rows(conditions.tally(rule, scope)) == [{"rows_checked": 3, "rows_failed": failed}]
    assert len(rows(conditions.failing(rule, scope))) == failed


def test_a_combination_may_repeat_each_of_its_parts(rows):
    scope = _scope({"day": "2021-01-05"}, {"day": "2021-01-06"}, {"id": "b"})

    (counted,) = rows(conditions.one_pass([Unique(("id", "day"))], scope.rows))
    assert counted["rule_0"] == 0


# --- relations and totals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "failed"), [(["a", "b"], 0), (["a", "x"], 1), ([None, "a"], 1), ([None, "x"], 2)]
)
def test_a_key_that_stands_nowhere_or_is_null_refers_to_nothing(keys, failed, rows):
    rule = ForeignKey(("id",), "others", "id_known")
    scope = _scope(
        *({"id": key} for key in keys), others=_table({"id": "a"}, {"id": "b"}, {"id": None})
    )

    assert rows(conditions.tally(rule, scope)) == [{"rows_checked": 2, "rows_failed": failed}]
    assert {row["id"] for row in rows(conditions.failing(rule, scope))} == set(keys) - {"a", "b"}


def test_only_current_lines_of_loads_that_the_next_table_reflects_have_to_stand_there(rows):
    line = {"landed_at": "2021-01-02 00:00:00", "is_current": True, "load_id": 1}
    lines = table_of(
        schema.BRONZE_ACTIVITIES,
        line | {"activity_id": "fish"},
        line | {"activity_id": "lost"},
        line | {"activity_id": "sent again", "is_current": False},
        line | {"activity_id": "not staged yet", "load_id": 2},
    )
    others = {
        "stg_activities": table_of(schema.STG_ACTIVITIES, {"activity_id": "fish"}),
        "table_state": table_of(
            schema.TABLE_STATE,
            {"table_name": "stg_activities", "version": 1},
            {"table_name": "stg_users", "version": 2},
        ),
    }
    scope = Scope(lines, lines, None, None, others.__getitem__)
    rule = ForeignKey(("activity_id",), "stg_activities", "staged", is_of_next=True)

    assert rows(conditions.tally(rule, scope)) == [{"rows_checked": 2, "rows_failed": 1}]
    assert [row["activity_id"] for row in rows(conditions.failing(rule, scope))] == ["lost"]


@pytest.mark.parametrize(
    ("days", "events", "failed"),
    [
        ({"2021-01-05": 2}, ["2021-01-05", "2021-01-05"], []),
        ({"2021-01-05": 3}, ["2021-01-05", "2021-01-05"], ["2021-01-05"]),
        ({"2021-01-05": None}, ["2021-01-05"], ["2021-01-05"]),
        ({"2021-01-05": 1}, ["2021-01-05", "2021-01-06"], ["2021-01-06"]),
        ({"2021-01-05": 1, "2021-01-06": 1}, ["2021-01-05"], ["2021-01-06"]),
    ],
    ids=["equal", "too many", "none", "a day is missing", "a day too many"],
)
def test_a_day_adds_up_to_the_rows_it_is_made_of(days, events, failed, rows):
    rule = AddsUp("played", by=("day",), table="events")
    scope = _scope(
        *({"day": day, "played": played} for day, played in days.items()),
        events=_table(*({"day": day} for day in events)),
    )

    (counted,) = rows(conditions.tally(rule, scope))
    assert counted["rows_failed"] == len(failed)
    assert [str(row["day"]) for row in rows(conditions.failing(rule, scope))] == failed


@pytest.mark.parametrize(("spanish", "failed"), [(3, []), (2, ["a"]), (None, ["a"])])
def test_a_unit_adds_up_to_a_column_of_another_table_for_rows_of_one_value(spanish, failed, rows):
    """Where nothing is played, nothing need be there."""
    rule = AddsUp("played", ("id", "day"), "others", of="done", where=("country", "es"))
    scope = _scope(
        {"played": spanish},
        {"id": "b", "played": 0},
        {"country": "fr", "played": 70},
        others=_table({"done": 1}, {"done": 2}, {"done": None}),
    )

    (counted,) = rows(conditions.tally(rule, scope))
    assert counted == {"rows_checked": 2, "rows_failed": len(failed)}
    assert [row["id"] for row in rows(conditions.failing(rule, scope))] == failed


def test_a_column_is_what_counting_again_gives(rows):
    rule = Recounted(
        "played",
        ("id",),
        "others",
        "the rows of the days up to its own",
        lambda table, other: (
            other.select("id", "day")
            .inner_join(table.select("id", own_day="day"), "id")
            .filter(lambda row: row["day"] <= row.own_day)
            .select("id", expected=ibis.literal(1))
        ),
    )
    others = [{"id": "a"}, {"id": "a", "day": "2021-01-09"}, {"id": "b"}, {"id": "b"}]
    scope = _scope(
        {"id": "a", "played": 2},
        {"id": "b", "played": 2},
        {"id": "c", "played": 0},
        others=_table(*others),
    )

    assert rows(conditions.tally(rule, scope)) == [{"rows_checked": 3, "rows_failed": 1}]
    assert rows(conditions.failing(rule, scope)) == [{"id": "a", "found": 2, "expected": 1}]


def test_only_the_days_of_the_run_have_to_add_up(rows):
    rule = AddsUp("played", by=("day",), table="events")
    units = ibis.memtable([{"day": "2021-01-05"}], schema=ibis.schema({"day": "date"}))
    scope = _scope(
        {"played": 1}, {"day": "2021-01-06", "played": 7}, units=units, events=_table({})
    )

    assert rows(conditions.tally(rule, scope)) == [{"rows_checked": 1, "rows_failed": 0}]


# --- days and instants ------------------------------------------------------------------


def test_the_measures_of_a_day_are_worked_out_together(rows):
    rules = [
        Steady("played", "the plays", lambda t: t.played.sum(), by="day"),
        Steady("share", "the done", lambda t: t.done.sum() / t.played.sum(), by="day"),
    ]
    daily = conditions.daily(rules, _table({}, {}, {"day": "2021-01-06", "done": 2}))

    assert sorted(list(row.values())[1:] for row in rows(daily)) == [[2.0, 1.0], [4.0, 0.5]]


def test_the_newest_instant_of_each_group_is_found(rows):
    rule = Fresh("day", by="country", hours={"es": 1})
    newest = conditions.newest(rule, _table({}, {"day": "2021-01-07"}, {"country": "fr"}))

    assert {row["group"]: str(row["newest"]) for row in rows(newest)} == {
        "es": "2021-01-07",
        "fr": "2021-01-05",
    }


# --- what follows -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "severity", "checked", "failed", "outcome"),
    [
        (NotNull("id"), "error", 10, 0, HELD),
        (NotNull("id"), "error", 10, 1, FAILED),
        (NotNull("id"), WARN, 10, 1, WARNED),
        (NotNull("id", most_rows=1), "error", 10, 1, HELD),
        (NotNull("id", most_rows=1), "error", 10, 2, FAILED),
        (NotNull("id", most_share=0.2), "error", 10, 2, HELD),
        (NotNull("id", most_share=0.2), "error", 10, 3, FAILED),
        (NotNull("id"), "error", 0, 0, SKIPPED),
        (AddsUp("played", ("day",), "events"), "error", 0, 1, FAILED),
    ],
)
def test_severity_and_tolerance_decide_what_follows(rule, severity, checked, failed, outcome):
    assert Result("t", rule, severity, checked, failed, 0.1).verdict == outcome
