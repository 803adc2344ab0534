"""What kedro-viz is given: the SQL of a node, the size of a name."""

from __future__ import annotations

import json

from conftest import ROOT
from lingokids.pipeline_registry import register_pipelines


def test_every_node_that_is_an_expression_shows_its_sql(monkeypatch):
    monkeypatch.chdir(ROOT)
    nodes = register_pipelines()["__default__"].nodes
    shown = {node.short_name: node.preview() for node in nodes}

    assert {name for name, sql in shown.items() if sql is None} == {
        *("ingest_events", "ingest_users", "ingest_activities")  # generators of batches
    }
    read = shown["build_engagement_metrics"].content
    assert 'FROM "intermediate_activity_events_enriched"' in read
    assert shown["stage_events"].meta == {"language": "sql"}


def test_every_table_of_the_lineage_has_its_size_of_name():
    styles = json.loads((ROOT / ".viz" / "styles.json").read_text())

    shown = register_pipelines()["__default__"].datasets()
    assert set(styles) == {name for name in shown if not name.startswith("params:")}
