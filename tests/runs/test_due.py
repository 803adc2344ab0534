"""The function of a node is called only while something is due."""

from __future__ import annotations

import pytest
from kedro.pipeline.node import Node

from builders import an_event_record
from lingokids.incremental import due
from lingokids.incremental.due import DueNode
from lingokids.schema import NOTHING_DUE

FIND_WHAT_IS_DUE = {
    *("find_new_objects", "find_unstaged_loads", "find_unenriched_loads"),
    *("find_due_days", "find_due_journeys"),
}
HAVE_NO_UNITS = {
    *("stage_events", "publish_bronze", "publish_gold"),
    *("answer_completion_rate", "answer_price_tier_engagement", "answer_subscription_impact"),
}


@pytest.fixture
def called(monkeypatch) -> list[str]:
    """The names of the nodes whose functions were called."""
    names: list[str] = []
    run = Node.run

    def noting(node: Node, inputs: dict | None = None) -> dict:
        names.append(node.name)
        return run(node, inputs)

    monkeypatch.setattr(Node, "run", noting)
    return names


def _add(new: object, window: object) -> object:
    return new, window


def _added_in_batches(new: object, window: object):
    yield new, window


def _node(func=_add) -> DueNode:
    inputs = ["new", "params:window"]
    return DueNode(func, inputs, ["a", "b"], name="add", due=inputs)


def test_a_run_with_nothing_new_calls_only_what_finds_out_what_is_due(small, called):
    small.run()

    assert set(called) == FIND_WHAT_IS_DUE | HAVE_NO_UNITS


@pytest.mark.slow
def test_an_event_of_a_known_user_calls_no_node_of_the_others(small, called):
    small.deliver("events", "b", [an_event_record(3)])
    small.run()

    assert {"stage_users", "stage_activities", "rescue_values", "quarantine_lines"}.isdisjoint(
        called
    )
    assert {"enrich_events", "build_user_activity", "build_user_journeys"} <= set(called)


def test_a_window_makes_events_due_that_no_load_brought(small, called):
    small.run(window={"start": "2021-01-01"})

    assert {"enrich_events", "build_engagement_metrics"} <= set(called)


@pytest.mark.slow
def test_a_table_that_nothing_makes_due_is_in_the_record_of_the_run(project):
    project.deliver("events", "a", [an_event_record(1)])
    project.run()

    steps = project.rows(
        "SELECT rows_deleted, rows_inserted FROM run_steps WHERE table_name = 'stg_users'"
    )
    assert steps == [(0, 0)]


def test_without_rows_of_what_makes_it_due_a_function_is_not_called():
    assert _node().run({"new": NOTHING_DUE, "params:window": NOTHING_DUE}) == {
        "a": NOTHING_DUE,
        "b": NOTHING_DUE,
    }


def test_one_input_that_makes_it_due_is_enough():
    assert _node().run({"new": 1, "params:window": NOTHING_DUE}) == {"a": 1, "b": NOTHING_DUE}


def test_a_function_of_batches_gives_one_batch_without_rows():
    node = _node(_added_in_batches)

    assert node.run({"new": NOTHING_DUE, "params:window": NOTHING_DUE}) == {
        "a": [NOTHING_DUE],
        "b": [NOTHING_DUE],
    }


def test_only_an_input_can_make_a_node_due():
    with pytest.raises(ValueError, match="old cannot make it due"):
        DueNode(_add, ["new", "params:window"], ["a", "b"], name="add", due=["old"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        ("bronze", True),
        ({"start": None, "end": None, "lookback_days": 0}, False),
        ({"start": None, "end": "2021-01-05", "lookback_days": 0}, True),
    ],
)
def test_a_parameter_asks_for_something_when_it_or_a_value_in_it_is_set(value, expected):
    assert due.is_set(value) is expected
