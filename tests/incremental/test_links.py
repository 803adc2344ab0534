"""Which changes of which inputs make which units of a table due: found from columns alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from kedro.pipeline import Node, Pipeline

from lingokids.errors import LingokidsError
from lingokids.incremental.links import Link, readers_of, steps_of


@dataclass
class ATable:
    table_name: str
    columns: tuple[str, ...]
    unit: tuple[str, ...] = ()
    reads: dict[str, list[str]] = field(default_factory=dict)
    has_versions: bool = True


TABLES = {
    table.table_name: table
    for table in (
        ATable("lines", ("object_key", "event_id")),
        ATable("events", ("event_id", "user_id", "date"), ("event_id",)),
        ATable("users", ("user_id", "country_code"), ("user_id",)),
        ATable("days", ("date", "played"), ("date",)),
        ATable("countries", ("country_code", "played"), ("country_code",)),
        ATable("answers", ("theme", "played"), has_versions=False),
    )
}


def _make(*inputs):
    """A function of any number of tables; what it makes is of no interest here."""


def steps(*nodes, **others):
    made = [Node(_make, [*inputs], output, name=f"make_{output}") for output, *inputs in nodes]
    return steps_of(Pipeline(made), TABLES | others)


def links(*node, **others):
    return steps(node, **others)[f"make_{node[0]}"].links


def test_a_row_that_has_the_unit_makes_it_due():
    assert links("events", "lines") == (Link("lines", "lines", ("event_id",), is_direct=True),)
    assert links("days", "events") == (Link("events", "events", ("date",), is_direct=True),)


def test_a_row_of_another_unit_makes_those_due_that_were_made_with_it():
    assert links("events", "users") == (Link("users", "users", ("user_id",), is_direct=False),)


def test_the_entry_says_what_the_columns_do_not():
    told = ATable("countries", ("country_code", "date"), ("country_code",), {"events": ["date"]})

    assert links("countries", "events", countries=told) == (
        Link("events", "events", ("date",), is_direct=False),
    )


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            ("countries", "events"),
            r"countries: it does not follow which of its units \(country_code\) are due when a row "
            r"of events changes. Give its catalog entry reads: {events: \[columns that both have\]}"
            ", or leave unit out",
        ),
        (("days", "answers"), "when a row of answers changes"),
    ],
)
def test_where_no_link_follows_the_table_is_refused(node, sentence):
    with pytest.raises(LingokidsError, match=sentence):
        steps(node)


def test_an_input_whose_rows_have_no_version_is_refused_whatever_its_columns():
    without = ATable("lines", ("object_key", "event_id"), has_versions=False)

    with pytest.raises(LingokidsError, match="when a row of lines changes"):
        steps(("events", "lines"), lines=without)


def test_a_node_that_makes_an_incremental_table_makes_no_other():
    node = Node(_make, ["lines"], ["events", "days"], name="make_both")

    with pytest.raises(LingokidsError, match=r"make_both makes events, days: .* Write one node a"):
        steps_of(Pipeline([node]), TABLES)


def test_a_table_without_unit_is_made_as_a_whole():
    assert steps(("answers", "events")) == {}


def test_what_rows_left_is_marked_by_all_that_readers_know_them_by():
    lines = ATable("lines", ("object_key", "event_id", "user_id"))
    found = steps(("events", "lines", "users"), ("days", "events"), ("users", "lines"), lines=lines)

    assert found["make_events"].read_by == {"date"}
    assert found["make_users"].read_by == {"user_id"}
    assert found["make_days"].read_by == set()
    assert set(readers_of("lines", found.values())) == {"events", "users"}
