"""What a run takes for granted of each node that it keeps a table up to date by, on made-up rows.

* local: what a node makes of some units does not depend on rows of others;
* due: where inputs differ, what the node makes of them differs in units that the links name;
* silent: columns that are said to be read by nobody change nothing.

Rows are others each time; a failure prints the seed, and LINGOKIDS_SEED repeats it.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from kedro.framework.project import configure_project, pipelines
from kedro.framework.session import KedroSession
from made_up import MadeUp, Row, values_of

from conftest import ROOT
from lingokids.incremental.links import Link, Step, steps_of
from lingokids.storage import TableDataset

configure_project("lingokids")

NODES = [
    node.name
    for node in pipelines["__default__"].nodes
    if node.namespace in {"staging", "enrichment", "marts"}
]


@dataclass
class Node:
    """A node, and how the run keeps its table up to date."""

    function: Callable[..., ir.Table]
    inputs: list[str]
    parameters: dict[str, Any]
    step: Step
    table: TableDataset
    read: dict[str, TableDataset]

    def of(self, tables: dict[str, ir.Table]) -> ir.Table:
        """What it makes of these inputs."""
        return self.function(*[(tables | self.parameters)[name] for name in self.inputs])


@pytest.fixture(scope="module")
def node_of() -> Callable[[str], Node]:
    """A node of the default pipeline by its name."""
    with KedroSession.create(ROOT) as session:
        catalog = session.load_context().catalog
    entries = catalog.config_resolver.config
    types = (".TableDataset", ".BronzeDataset")
    tables = {name: catalog.get(name) for name in entries if entries[name]["type"].endswith(types)}
    steps = steps_of(pipelines["__default__"], tables)
    nodes = {node.name: node for node in pipelines["__default__"].nodes}

    assert steps.keys() == {*NODES}

    def make(name: str) -> Node:
        node, step = nodes[name], steps[name]
        parameters = {each: catalog.load(each) for each in node.inputs if each not in tables}
        read = {link.entry: tables[link.entry] for link in step.links}
        table = tables[node.outputs[0]]
        return Node(node.func, node.inputs, parameters, step, table, read)

    return make


@pytest.fixture
def rows_made_up():
    """Rows by a seed that a failed test shows."""
    seed = int(os.environ.get("LINGOKIDS_SEED") or random.SystemRandom().randrange(10**9))
    print(f"LINGOKIDS_SEED={seed}")
    return MadeUp(random.Random(seed))


def _content(rows: list[Row]) -> Counter[str]:
    return Counter(repr([*row.values()]) for row in rows)


def is_local(node: Node, made: MadeUp) -> bool:
    """Whether of their own rows alone some units are made as of all rows, and no unit besides."""
    unit, direct = node.step.unit, [link.entry for link in node.step.links if link.is_direct]
    full = {
        name: made.table(table.contract.nullable_schema, made.rows(table.contract, count))
        for name, table in node.read.items()
        for count in [made.rng.choice([0, 5, 30, 30])]
    }
    whole = made.stored(node.of(full))
    every = ibis.union(
        *(table.select(*unit) for table in (whole, whole, *(full[name] for name in direct))),
        distinct=True,
    )
    columns = {name: node.table.contract.nullable_schema[name] for name in unit}
    units = made.table(ibis.schema(columns), made.some(made.read(every)))
    part = full | {name: full[name].semi_join(units, list(unit)) for name in direct}
    return _content(made.read(node.of(part))) == _content(
        made.read(whole.semi_join(units, list(unit)))
    )


def is_due(node: Node, made: MadeUp) -> bool:
    """Whether other rows of one input change only units that are due by its link."""
    before = {name: made.rows(table.contract, 30) for name, table in node.read.items()}
    link = made.rng.choice(node.step.links)
    contract = node.read[link.entry].contract
    kept = [row for row in before[link.entry] if made.rng.random() < 0.8]
    new = made.rows(contract, 4, beside=kept)
    after = before | {link.entry: kept + new}
    given = [
        {
            name: made.table(node.read[name].contract.nullable_schema, of)
            for name, of in rows.items()
        }
        for rows in (before, after)
    ]
    first, second = (made.read(node.of(tables)) for tables in given)
    differing = _content(first) - _content(second), _content(second) - _content(first)
    units = {
        values_of(row, node.step.unit)
        for rows, odd in zip((first, second), differing, strict=True)
        for row in rows
        if repr([*row.values()]) in odd
    }
    touched = [row for row in before[link.entry] if row not in kept] + new
    return units <= _units_due(link, node.step.unit, touched, first)


def _units_due(link: Link, unit: tuple[str, ...], touched: list[Row], stored: list[Row]) -> set:
    """The units that changed rows of an input make due, of which some may be stored."""
    if link.is_direct:
        return {values_of(row, unit) for row in touched}
    named = {values_of(row, link.by) for row in touched}
    return {values_of(row, unit) for row in stored if values_of(row, link.by) in named}


def has_silent(node: Node, made: MadeUp) -> bool:
    """Whether other values in the silent columns of its inputs change nothing but such columns."""
    tables, others = {}, {}
    for name, table in node.read.items():
        columns, rows = table.contract.nullable_schema, made.rows(table.contract, 30)
        tables[name] = made.table(columns, rows)
        silent = {each: columns[each] for each in table.silent}
        others[name] = made.table(
            columns,
            [row | {each: made.value(each, of, is_there=True) for each, of in silent.items()}
             for row in rows],
        )  # fmt: skip
    return _content(made.read(node.of(tables))) == _content(made.read(node.of(others)))


LAWS = {"local": is_local, "due": is_due, "silent": has_silent}


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", NODES)
def test_each_node_keeps_the_law(name, law, rounds, node_of, rows_made_up):
    node = node_of(name)

    assert all(LAWS[law](node, rows_made_up) for _round in range(rounds))


def _rank_over_all_days(ranked, *_inputs):
    place = ibis.rank().over(order_by=ranked.activities_played.desc())
    return ranked.mutate(rank_by_count=(place + 1).cast("int64"))


def _whether_the_first_of_the_user(enriched, *_inputs):
    first = enriched.occurred_at.min().over(group_by="user_id")
    return enriched.mutate(source=(enriched.occurred_at == first).cast("string"))


def _with_the_latest_landing_of_all(enriched, events, *_inputs):
    return enriched.mutate(source=events.landed_at.max().as_scalar().cast("string"))


def _only_after_the_first_of_all(staged, bronze, *_inputs):
    return staged.filter(staged.occurred_at > bronze.occurred_at.min().as_scalar())


def _of_the_most_days_of_all(journeys, *_inputs):
    return journeys.mutate(active_days=journeys.active_days.max().over(ibis.window()))


def _with_the_landing_of_the_user(enriched, _events, users, _activities):
    landed = users.select("user_id", user_landed_at=users.landed_at)
    joined = enriched.left_join(landed, "user_id")
    return joined.mutate(source=joined.user_landed_at.cast("string")).select(enriched.columns)


@pytest.mark.parametrize(
    ("law", "name", "wrong"),
    [
        ("local", "marts.rank_activities", _rank_over_all_days),
        ("due", "marts.rank_activities", _rank_over_all_days),
        ("local", "enrichment.enrich_events", _whether_the_first_of_the_user),
        ("due", "enrichment.enrich_events", _whether_the_first_of_the_user),
        ("local", "enrichment.enrich_events", _with_the_latest_landing_of_all),
        ("due", "enrichment.enrich_events", _with_the_latest_landing_of_all),
        ("local", "staging.stage_events", _only_after_the_first_of_all),
        ("due", "staging.stage_events", _only_after_the_first_of_all),
        ("local", "marts.build_user_journeys", _of_the_most_days_of_all),
        ("due", "marts.build_user_journeys", _of_the_most_days_of_all),
        ("silent", "enrichment.enrich_events", _with_the_landing_of_the_user),
    ],
)
def test_a_node_that_breaks_the_law_is_found(law, name, wrong, node_of):
    node, made = node_of(name), MadeUp(random.Random(1))
    right = node.function
    node.function = lambda *inputs: wrong(right(*inputs), *inputs)

    assert not all(LAWS[law](node, made) for _round in range(80))
