"""What kedro-viz is given: the SQL of a node, the size of a name."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro_datasets.plotly import JSONDataset

from browser import open_browser
from builders import an_event_record
from conftest import ROOT
from lingokids import schema
from lingokids.docs import command
from lingokids.pipeline_registry import register_pipelines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


@pytest.mark.slow
def test_no_box_is_without_a_description(begun_project):
    begun_project.deliver("events", "b", [an_event_record(2)])
    with KedroSession.create(begun_project.folder, env="test") as session:
        catalog = session.load_context().catalog
    boxes = {name for each in pipelines.values() for name in each.datasets() if name in catalog}
    shown = {name: catalog.get(name) for name in boxes if name.partition(":")[0] != "params"}
    charts = {name for name, dataset in shown.items() if isinstance(dataset, JSONDataset)}
    assert all(name.endswith("_chart") for name in charts)  # drawn, with its title
    said = {}
    for name in shown.keys() - charts - {"parameters", "due_checks"}:
        preview = shown[name].preview()
        assert preview["columns"][:3] == ["column", "type", "meaning"], name
        said[name] = {line[0]: line for line in preview["data"]}
        assert said[name][preview["data"][0][0]][2], name
    assert said["raw_events"]["(table)"][2].startswith("The events as delivered")
    assert said["raw_events"]["data.duration"][1:3] == [
        "decimal(12, 3)",
        schema.COLUMNS["duration_seconds"].comment,
    ]
    assert {*said["raw_events"]["object_key"][3:]} == {"a", "b"}
    assert said["activities"]["theme"][3] == "Math"
    assert said["shown_groups"]["(table)"][2].startswith("Drop small groups")
    assert "not there yet" in said["shown_groups"]["(notice)"][2]
    assert said["dashboard"]["(page)"][2]
    assert said["bronze_events"]["(rows)"][2] == "1"
    assert said["published_bronze_events"]["(rows)"][2] == "1"
    assert "promised within" in said["ingested_objects"]["(newest)"][2]
    assert (
        "country_code_seldom_null" in (said["intermediate_activity_events_enriched"]["(broken)"][2])
    )


def test_every_table_of_the_lineage_has_its_size_of_name():
    styles = json.loads((ROOT / ".viz" / "styles.json").read_text())

    shown = register_pipelines()["__default__"].datasets()
    assert set(styles) == {name for name in shown if not name.startswith("params:")}


@pytest.mark.browser
def test_a_panel_says_what_its_box_is_and_leads_to_the_docs(begun_project, tmp_path):
    built = begun_project.command("viz", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    begun_project.switch_to()
    site = command.build(begun_project.folder, "test", None, graph=begun_project.folder / "build")
    again = begun_project.command("viz", "build", "--include-previews")
    assert again.returncode == 0, again.stdout + again.stderr

    with _served(begun_project.folder) as url, open_browser(tmp_path) as page:
        for name, meaning in {
            "raw_events": "The events as delivered",
            "stg_events": schema.STG_EVENTS.meaning,
            "subscriptions": schema.EXERCISE_SUBSCRIPTIONS.meaning,
        }.items():
            page.open("about:blank", 1440, 900)
            page.open(f"{url}/build/index.html?sn={name}", 1440, 900)
            page.wait_for("!!document.querySelector('.preview-table')")
            assert meaning in page.value("document.querySelector('.preview-table').innerText")
        page.save_picture(tmp_path / "panel.png")

        docs = f"{url}/{site.relative_to(begun_project.folder)}"
        page.open(f"{docs}/tables/stg_events.html", 1440, 900)
        page.wait_for("document.readyState === 'complete'")
        page.value("document.querySelector('main a[href*=graph]').click()")
        page.wait_for("document.querySelectorAll('.pipeline-node').length > 0")
        panel = "document.querySelector('.pipeline-metadata').innerText"
        assert "stg_events" in page.value(panel)
        page.value("document.querySelector('a[href=\"../index.html\"]').click()")
        page.wait_for("location.pathname.endsWith('/docs/index.html')")


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The files of a folder, over HTTP."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
