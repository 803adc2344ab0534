"""What a node computes, in a few characters: another rule changes it, another wording does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ibis
from kedro.pipeline import Node

from lingokids import schema
from lingokids.incremental.fingerprint import fingerprint, made_of
from lingokids.incremental.links import Link, Step
from lingokids.pipeline_registry import register_pipelines

STEP = Step("made", "made", ("user_id",), ())
SCHEMA = ibis.schema({"user_id": "int64", "os_name": "string"})


def played_on_ios(events):
    on_ios = events.filter(events.os_name == "iOS")
    return on_ios.group_by("user_id").aggregate(played=on_ios.count())


def in_other_words(table):
    # the comment, and the names of variables, are no part of the rule
    wanted = table.filter(table.os_name == "iOS")
    return wanted.group_by("user_id").aggregate(played=wanted.count())


def played_on_android(events):
    on_android = events.filter(events.os_name == "Android")
    return on_android.group_by("user_id").aggregate(played=on_android.count())


def capped(events, cap):
    """The parameter stands in no expression."""
    return played_on_ios(events)


def rules(function, **parameters):
    node = Node(function, ["events", *(f"params:{name}" for name in parameters)], "made")
    given = {f"params:{name}": value for name, value in parameters.items()}
    return fingerprint(node, STEP, {"events": None} | given, {"events": SCHEMA})


def test_comments_and_names_of_variables_change_nothing():
    assert rules(played_on_ios) == rules(in_other_words)


def test_another_filter_is_another_rule():
    assert rules(played_on_ios) != rules(played_on_android)


def _first_by(**order):
    def first(events):
        place = ibis.row_number().over(order_by=ibis.asc("os_name", **order))
        return events.mutate(place=place)

    return first


def test_where_nulls_stand_in_an_order_is_part_of_the_rule():
    assert rules(_first_by()) != rules(_first_by(nulls_first=True))


def test_a_table_that_is_kept_otherwise_is_made_by_other_rules():
    linked = Step("made", "made", ("user_id",), (Link("events", "events", ("user_id",), True),))
    node = Node(played_on_ios, "events", "made")

    now = fingerprint(node, linked, {"events": None}, {"events": SCHEMA})

    assert now != rules(played_on_ios)


def test_a_parameter_is_part_of_the_rule_and_stands_there_as_it_is():
    assert json.loads(rules(capped, cap=60))["params:cap"] == 60
    assert rules(capped, cap=60) == rules(capped, cap=60) != rules(capped, cap=61)


def of_the_project() -> str:
    """The rules of each table that is kept by units."""
    made = {}
    for node in register_pipelines()["__default__"].nodes:
        tables = {name: schema.CONTRACTS[name] for name in node.inputs if name in schema.STORED}
        if node.namespace in {"staging", "enrichment", "marts"}:
            schemas = {name: contract.nullable_schema for name, contract in tables.items()}
            given = {name: 30 for name in node.inputs if name not in schemas}
            if "params:os_names" in given:
                given["params:os_names"] = {"iPhone OS": "iOS"}
            if "params:time_zone" in given:
                given["params:time_zone"] = "Europe/Dublin"
            made[node.name] = fingerprint(node, STEP, given | dict.fromkeys(schemas), schemas)
    return json.dumps(made, sort_keys=True)


def test_it_is_the_same_in_another_process():
    here, elsewhere = (
        of_the_project(),
        subprocess.run(
            [sys.executable, "-c", "import test_fingerprint as it; print(it.of_the_project())"],
            cwd=Path(__file__).parent,
            env=os.environ | {"PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            check=True,
        ),
    )

    assert json.loads(elsewhere.stdout) == json.loads(here)
    assert len(json.loads(here)) == 8


def test_rows_are_made_of_what_they_are_read_from_and_of_no_clock():
    con = ibis.duckdb.connect()
    stored = con.create_table("stored", schema={"a": "int64"})
    held = [ibis.memtable({"a": [1, number]}) for number in (2, 2, 3)]

    same, again, other = (made_of(stored.union(each)) for each in held)

    assert same == again != other
    assert {table.name for table in same.tables} == {"stored"}
    assert made_of(stored.filter(stored.a > 1)) != made_of(stored.filter(stored.a > 2))
    assert made_of(stored.mutate(at=ibis.now())) is None
    assert made_of(stored.mutate(by=ibis.random())) is None
    assert made_of(con.sql("SELECT 1 AS a")) is None
    assert made_of(stored.sql("SELECT a FROM stored")) is None
