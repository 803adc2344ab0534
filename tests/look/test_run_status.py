"""What kedro-viz is told of runs is true, whatever ended them."""

from __future__ import annotations

import json

import ibis
import pytest

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


def test_each_whole_run_is_noted_anew_and_a_part_leaves_it(begun_project):
    begun_project.run()
    noted = _events(begun_project)
    assert [event["event"] for event in noted].count("before_pipeline_run") == 1
    assert noted[-1]["event"] == "after_pipeline_run"

    begun_project.run("marts", window={"start": "2021-01-01"})
    assert _events(begun_project) == noted

    part = begun_project.command("run", "--namespaces", "staging")
    assert part.returncode == 0, part.stderr
    assert _events(begun_project) == noted


def test_a_run_that_breaks_a_rule_is_noted_as_failed(begun_project, monkeypatch):
    _deliver_another(begun_project)
    monkeypatch.setattr(enrichment, "subscription_status", lambda _: ibis.literal("gratis"))

    with pytest.raises(LingokidsError):
        begun_project.run()

    noted = _events(begun_project)
    assert noted[-1]["event"] == "on_pipeline_error"
    assert "rule subscription_status_accepted" in noted[-1]["error"]
    assert "after_pipeline_run" not in {event["event"] for event in noted}
