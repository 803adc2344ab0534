"""Exposures: what depends on tables outside of the project is in the graph, or refused by name."""

from __future__ import annotations

import json

import pytest
import yaml
from kedro.framework.project import configure_project

from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.lineage import command, exposures
from lingokids.lineage.expressions import ROWS
from lingokids.lineage.graph import METRICS, Column, Graph, Table

configure_project("lingokids")

DECLARED = yaml.safe_load((ROOT / "conf" / "base" / "exposures.yml").read_text())
REVIEW = {"meaning": "Slides.", "owner": "Product", "url": "https://x.example/y", "reads": ["gold"]}


@pytest.fixture
def small() -> Graph:
    """A table, a file and the metrics."""
    tables = (
        Table("gold", "gold", ("date", "country_code"), ""),
        Table("page", "file", (), ""),
        Table(METRICS, "metric", ("completion_rate",), ""),
    )
    return Graph({table.name: table for table in tables}, ())


def _read_by(graph: Graph, **changes) -> set[str]:
    """What an exposure comes from."""
    added = exposures.add(graph, exposures.read({"review": REVIEW | changes}))
    return {str(link.source) for link in added.up(Column("review", ROWS)).values}


@pytest.mark.parametrize(
    ("reads", "sources"),
    [
        ("gold", {"gold.date", "gold.country_code"}),
        ("gold.date", {"gold.date"}),
        ("page", {f"page.{ROWS}"}),
        ("completion_rate", {f"{METRICS}.completion_rate"}),
    ],
)
def test_a_table_is_read_by_all_its_columns_and_others_as_they_are_named(reads, sources, small):
    assert _read_by(small, reads=[reads]) == sources


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reads": ["gol"]}, "review reads gol, which there is not. Did you mean gold? Write what"),
        ({"reads": ["gold.dat"]}, "review reads gold.dat, which there is not. Did you mean gold."),
        ({"reads": ["gold."]}, "review reads gold., which there is not."),
        ({"reads": []}, "review.reads: List should have at least 1 item"),
        ({"owner": ""}, "review.owner: String should have at least 1 character"),
        ({"url": "the wiki"}, "review.url: Input should be a valid URL"),
        ({"url": "javascript:alert(1)"}, "review.url: URL scheme should be 'http' or 'https'"),
        ({"team": "x"}, "review.team: Extra inputs are not permitted"),
    ],
)
def test_what_there_is_not_is_refused_by_name(changes, sentence, small):
    with pytest.raises(LingokidsError) as refused:
        _read_by(small, **changes)

    assert sentence in refused.value.message
    assert "conf/base/exposures.yml: " in refused.value.message


def test_one_that_is_no_mapping_or_called_like_a_table_is_refused(small):
    with pytest.raises(LingokidsError, match="review: Input should be a valid dictionary"):
        exposures.read({"review": "slides"})
    with pytest.raises(LingokidsError, match="gold is a table or a metric: give it another name"):
        exposures.add(small, exposures.read({"gold": REVIEW}))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return command.of_project(ROOT)


def test_all_that_are_declared_are_in_the_lineage_with_owner_and_url(graph):
    for name, declared in DECLARED.items():
        assert graph.tables[name].exposure["owner"] == declared["owner"]
        assert graph.up(Column(name, ROWS)).values, "it comes from raw"


def test_the_command_says_whom_to_tell_of_a_change(graph):
    column = command.find(graph, "stg_events.completed_flag")

    down = command.as_text(graph, column, ("down",))
    told = json.loads(command.as_json(graph, column, ("down",)))["exposures"]

    assert "Tell the owners:\n  Business intelligence: engagement_in_bigquery, https://" in down
    assert told["engagement_in_bigquery"]["owner"] == "Business intelligence"
    assert "content_ranking" not in told, "it reads how often, not how far"
    unread = command.as_text(graph, command.find(graph, "quarantined_lines.reason"), ("down",))
    assert "Tell the owners" not in unread
