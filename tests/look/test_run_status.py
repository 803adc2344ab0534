"""What kedro-viz is told of runs is true, whatever ended them."""

from __future__ import annotations

import json

import ibis
import pytest
from kedro.framework.project import pipelines
from kedro_viz.api.rest.responses.run_events import (
    RunStatusAPIResponse,
    transform_events_to_structured_format,
)
from kedro_viz.integrations.kedro.hooks_utils import hash_node

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.pipelines.enrichment import nodes as enrichment

pytestmark = pytest.mark.slow


def _events(project) -> list[dict[str, str]]:
    return json.loads((project.folder / ".viz" / "test" / "kedro_pipeline_events.json").read_text())


def _deliver_another(project) -> None:
    project.deliver("events", "b", [an_event_record(2)])


def test_row_counts_follow_what_runs_change(begun_project):
    assert begun_project.row_counts()["bronze_events"] == 1

    _deliver_another(begun_project)
    begun_project.run()

    assert begun_project.row_counts()["bronze_events"] == 2


def test_row_counts_that_a_run_could_not_write_are_written_by_the_next(begun_project):
    copy = begun_project.folder / "lingokids-gold.duckdb"
    copy.unlink()
    copy.mkdir()
    _deliver_another(begun_project)
    with pytest.raises(LingokidsError, match="The run is committed"):
        begun_project.run()
    assert begun_project.row_counts()["bronze_events"] == 1

    copy.rmdir()
    begun_project.run()

    assert begun_project.row_counts()["bronze_events"] == 2


def test_row_counts_are_of_the_warehouse_of_the_last_run(begun_project, new_project):
    other = new_project()
    (other.folder / ".viz" / "test").symlink_to(begun_project.folder / ".viz" / "test")
    other.run()
    assert begun_project.row_counts()["bronze_events"] == 0

    begun_project.run()

    assert begun_project.row_counts()["bronze_events"] == 1


def _status(project) -> RunStatusAPIResponse:
    """What kedro-viz makes of what is noted."""
    return transform_events_to_structured_format(_events(project))


def test_a_part_is_noted_beside_how_the_other_nodes_ended_before(begun_project, monkeypatch):
    begun_project.run()
    whole = _status(begun_project)
    _deliver_another(begun_project)

    part = begun_project.command("run", "--namespaces", "staging")

    assert part.returncode == 0, part.stderr
    noted = [event["event"] for event in _events(begun_project)]
    assert noted.count("before_pipeline_run") == noted.count("after_pipeline_run") == 1
    status = _status(begun_project)
    assert status.nodes.keys() == whole.nodes.keys()
    assert status.pipeline.start_time > whole.pipeline.end_time
    staged = {hash_node(node) for node in pipelines["staging"].nodes}
    renewed = {name for name in status.nodes if status.nodes[name] != whole.nodes[name]}
    assert renewed == staged

    def fail(_):
        raise RuntimeError("no status")

    monkeypatch.setattr(enrichment, "subscription_status", fail)
    with pytest.raises(RuntimeError):
        begun_project.run("enrichment")
    failed = _status(begun_project)
    assert failed.pipeline.status.value == "failed"
    assert [name for name, node in failed.nodes.items() if node.status.value == "failed"] == [
        hash_node(pipelines["enrichment"].nodes[0])
    ]

    monkeypatch.undo()
    begun_project.switch_to()
    begun_project.run("checks")  # of no box
    assert _status(begun_project).nodes == failed.nodes
    begun_project.run("enrichment")
    assert _status(begun_project).pipeline.status.value == "success"
    assert {node.status.value for node in _status(begun_project).nodes.values()} == {"success"}


def test_a_run_that_breaks_a_rule_is_noted_as_failed(begun_project, monkeypatch):
    _deliver_another(begun_project)
    monkeypatch.setattr(enrichment, "subscription_status", lambda _: ibis.literal("gratis"))

    with pytest.raises(LingokidsError):
        begun_project.run()

    noted = _events(begun_project)
    assert noted[-1]["event"] == "on_pipeline_error"
    assert "rule subscription_status_accepted" in noted[-1]["error"]
    assert "after_pipeline_run" not in {event["event"] for event in noted}
