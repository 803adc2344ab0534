"""The lineage of the project, from the key of the raw JSON to charts; and the command."""

from __future__ import annotations

import json
import time

import ibis
import pytest
from kedro.framework.project import configure_project, pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Node, Pipeline

from conftest import ROOT
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.lineage import command, tracing
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import ASSUMED, METRICS, Column, Graph
from lingokids.schema.parameters import Parameters
from operators import ask

configure_project("lingokids")

#: Columns that come from no other: constants, and numbers and marks of runs.
OF_NO_COLUMN = {
    *("dataset", "load_id", "is_current", "past_reason", "compared_days"),
    *("subject", "name_1", "name_2"),
}


@pytest.fixture(scope="module")
def config():
    with KedroSession.create(ROOT) as session:
        return session.load_context().config_loader


@pytest.fixture(scope="module")
def graph(config) -> Graph:
    return _traced(config, {**pipelines})


def _traced(config, pipelines):
    return tracing.trace(pipelines, config["catalog"], Parameters.read(config["parameters"]))


def above(graph, name):
    """All that the values of a column come from."""
    return {str(link.source) for link in graph.up(command.find(graph, name)).values}


def below(graph, name):
    """All that the values of a column go into."""
    return {str(link.target) for link in graph.down(command.find(graph, name)).values}


def test_a_rate_comes_from_the_key_of_the_raw_json(graph):
    assert above(graph, "activity_engagement_metrics.completion_rate") == {
        f"{table}.{column}"
        for column in ("completed_flag", ROWS)
        for table in ("intermediate_activity_events_enriched", "stg_events", "bronze_events")
    } | {"raw_events.data.completed", "raw_events.*"}


@pytest.mark.parametrize(
    ("column", "sources"),
    [
        ("user_journeys.registration_date", {"raw_users.registration_at"}),
        ("activity_popularity_daily.activity_name", {"raw_activities.name"}),
        ("user_activity_daily.os_name", {"raw_events.context.os.name"}),
        ("rescued_values.rescued", {f"raw_{name}.(other keys)" for name in schema.FIELDS}),
        ("unknown_keys.json_type", {f"raw_{name}.(other keys)" for name in schema.FIELDS}),
        ("q1_completion_rate.theme", {"activities.theme"}),
        ("trial_rate", {"raw_users.user_id"}),
        ("q1_completion_rate.activities_played", {"activities.*", "activity_events.*"}),
    ],
)
def test_values_come_from_raw(column, sources, graph):
    raw = {name for name, table in graph.tables.items() if table.layer == "raw"}

    assert {each for each in above(graph, column) if each.split(".")[0] in raw} == sources


def test_a_change_reaches_metrics_charts_and_the_lake(graph):
    reached = below(graph, "raw_users.country_code")

    assert {
        "intermediate_activity_events_enriched.country_code",
        "published_activity_engagement_metrics.country_code",
        "user_journeys.country_code",
        "shown_groups.value_1",
        "weekly_completion_chart.*",
        "dashboard.*",
        "published_quarantined_lines.line_text",
    } <= reached
    assert not {each for each in reached if "completed" in each or each.startswith(METRICS)}


def test_what_decides_is_shown_a_step_at_a_time(graph):
    status = Column("intermediate_activity_events_enriched", "subscription_status")
    played = Column("activity_engagement_metrics", "activities_played")
    trial_rate = Column(METRICS, "trial_rate")

    assert {(str(link.source), link.kind) for link in graph.up(status).influence} == {
        (f"{table}.{key}", "join")
        for key, other in (("user_id", "stg_users"), ("activity_id", "stg_activities"))
        for table in ("stg_events", other)
    }
    assert ("trial_start_date", "conditional") in {
        (link.source.column, link.kind) for link in graph.up(trial_rate).influence
    }
    assert {link.kind for link in graph.up(played).influence} == {"group_by"}
    assert (ROWS, "group_by") in {
        (link.target.column, link.kind) for link in graph.down(status).influence
    }


def test_every_stored_column_is_there_and_comes_from_somewhere(graph):
    assert graph.tables.keys() >= {*schema.STORED, METRICS, "dashboard"}
    assert {end for link in graph.links for end in (link.source, link.target)} <= graph.columns
    without = {
        column.column
        for column in graph.columns
        if graph.tables[column.table].layer not in {"raw", "run"} and column.column != ROWS
        if not any(link.is_of_values for link in graph.up(column).values)
    }
    assert without == OF_NO_COLUMN


def test_nothing_of_the_project_is_assumed(graph):
    assert [link for link in graph.links if link.origin == ASSUMED] == []


def test_it_is_json(graph):
    written = json.loads(json.dumps(graph.as_json()))

    assert len(written["links"]) == len(graph.links)
    assert written["links"][0].keys() == {"source", "target", "kind", "node", "origin"}
    assert {table["name"] for table in written["tables"]} == {*graph.tables}


def _in_python(stg_users):
    return stg_users.to_pandas()


def _of_spain(stg_users):
    return stg_users.filter(stg_users.country_code == "es").select(id="user_id")


def _counted(of_spain):
    return of_spain.aggregate(users=of_spain.id.nunique())


def _with_sql(stg_users):
    return ibis.duckdb.connect().sql("SELECT 'es' AS country_code")


def test_python_of_ones_own_may_read_every_column(config):
    node = Node(_in_python, "stg_users", "my_file", name="in_python")

    graph = _traced(config, {"mine": Pipeline([node])})

    found = graph.up(command.find(graph, "my_file")).values
    assert {link.source.column for link in found} == {*schema.STG_USERS.columns}
    assert {link.origin for link in found} == {ASSUMED}


def test_a_table_handed_on_in_memory_is_followed(config):
    nodes = [
        Node(_of_spain, "stg_users", "of_spain", name="of_spain"),
        Node(_counted, "of_spain", "counted", name="counted"),
    ]

    graph = _traced(config, {"mine": Pipeline(nodes)})

    assert above(graph, "counted.users") == {"of_spain.id", "stg_users.user_id"}


def test_a_node_with_an_operation_that_is_not_known_is_named(config):
    node = Node(_with_sql, "stg_users", "activity_names", name="with_sql")

    with pytest.raises(LingokidsError, match=r"with_sql uses SQLQueryResult, and it is not known"):
        _traced(config, {"mine": Pipeline([node])})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("stg_user.country_code", r"Did you mean stg_users\.country_code\?"),
        ("completion_rat", r"Did you mean completion_rate\?"),
        ("stg_users", r"stg_users is a table: name a column of it, such as stg_users\.user_id\."),
        ("theme", r"theme is a column of activities, q1_completion_rate, .*: name the table too"),
        ("data.completed", r"data\.completed is a column of raw_events: name the table too"),
        ("", r"There is no column, metric or chart \. Write table\.column"),
    ],
)
def test_a_name_that_is_not_known_gets_a_sentence(name, sentence, graph):
    with pytest.raises(LingokidsError, match=sentence):
        command.find(graph, name)


def test_a_tree_follows_each_column_once(graph):
    tree = command.as_text(graph, command.find(graph, "completion_rate"), ("up",))

    assert tree.startswith("completion_rate: activities_completed / activities_played\n")
    assert (
        "\n        bronze_events.completed_flag  (copied, staging.stage_events)"
        "\n          raw_events.data.completed  (computed, ingestion.ingest_events)"
    ) in tree
    assert "\n  filter: user_journeys (registration_date)\n" in command.as_text(
        graph, command.find(graph, "trial_rate"), ("up",)
    )
    assert "\n  raw: Which key of the JSON" in tree
    lines = [line for line in tree.splitlines() if "rows of stg_events" in line]
    assert len(lines) == 1


@pytest.mark.slow
def test_the_command_prints_json_or_a_sentence(new_project):
    project = new_project()
    links = ask(project, "lineage", "weekly_users_chart", "--up", "--json")
    unknown = ask(project, "lineage", "completion")

    found = json.loads(links.stdout)
    assert found.keys() == {"column", "up", "exposures"}
    assert {link["source"]["column"] for link in found["up"]["values"]} >= {"active_users"}
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: There is no column, metric or chart completion. Did")
    assert isinstance(unknown.exception, SystemExit), "no traceback"


@pytest.mark.alone
@pytest.mark.slow
def test_it_takes_a_fifth_of_a_second_to_trace(config, monkeypatch):
    spent = []
    traced = tracing.column_lineage

    def timed(expression):
        started = time.process_time()
        found = traced(expression)
        spent.append(time.process_time() - started)
        return found

    monkeypatch.setattr(tracing, "column_lineage", timed)
    totals = []
    for _round in range(3):
        spent.clear()
        _traced(config, {**pipelines})
        totals.append(sum(spent))

    assert min(totals) <= 0.2
