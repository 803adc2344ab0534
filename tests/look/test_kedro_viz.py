"""kedro-viz opens readable, shows rows and runs of one environment, and keeps no run waiting."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import duckdb
import pytest
from click.testing import CliRunner

from browser import Page, lines_of_png, open_browser
from builders import a_user_record, an_activity_record, an_event_record
from conftest import ROOT
from lingokids import schema
from lingokids.cli import cli
from lingokids.pipeline_registry import register_pipelines
from lingokids.schema.columns import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 120.0
PROMPT_SECONDS = 5.0  # a preview takes 0.1 s; a run waits 10 s for a file that is held

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@dataclass
class Viz:
    """A kedro-viz server: what its pages ask for."""

    url: str

    def get(self, path: str) -> Any:
        with urlopen(f"{self.url}{path}", timeout=PROMPT_SECONDS) as answer:
            return json.load(answer)

    def dataset(self, name: str, pipeline: str = "__default__") -> dict[str, Any]:
        """What the side panel of a dataset shows."""
        nodes = self.get(f"/api/pipelines/{pipeline}")["nodes"]
        found = next(node for node in nodes if node["type"] == "data" and node["name"] == name)
        return self.get(f"/api/nodes/{found['id']}")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a dataset's preview: one of a table has a line for each column."""
        preview = self.dataset(name)["preview"]
        columns, cells = preview["columns"], preview["data"]
        if columns[:1] == ["column"]:
            columns, _types, _meanings, *cells = zip(*self.lines(name), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in cells]

    def lines(self, name: str, *, above: bool = False) -> list[list[Any]]:
        """The lines of a table's preview: those of its columns, or what stands above them."""
        lines = self.dataset(name)["preview"]["data"]
        return [line for line in lines if line[0].startswith("(") is above]


def _deliver(project):
    project.deliver("events", "a.jsonl", [an_event_record(1)], "2021-02-01 00:00:00")
    project.deliver("events", "b.jsonl", [an_event_record(1)], "2021-02-02 00:00:00")
    project.deliver("events", "c.jsonl", b"not JSON\n", "2021-02-03 00:00:00")
    project.deliver("users", "a.jsonl", [a_user_record()])
    project.deliver("activities", "a.jsonl", [an_activity_record()])


def _take_in(project):
    _deliver(project)
    project.run()


@pytest.fixture
def delivered(project_after):
    """A project in which every table has rows, brought up to date by one run."""
    return project_after("every-table", _take_in)


@pytest.fixture
def viz(delivered, tmp_path) -> Iterator[Viz]:
    """A server of the delivered project."""
    with _serve(delivered, tmp_path / "viz.log") as viz:
        yield viz


@contextlib.contextmanager
def _serve(project, log: Path, environment: str = "test") -> Iterator[Viz]:
    """kedro-viz of an environment, in a process group of its own."""
    port = _free_port()
    command = f"kedro viz run --no-browser --host 127.0.0.1 --port {port} --env {environment}"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=project.folder,
            env=project.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        viz = Viz(f"http://127.0.0.1:{port}")
        _wait_until_it_answers(viz, server, log)
        yield viz
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


#: Every table of a whole run.
KEPT = ("bronze_events", "bronze_users", "bronze_activities", "stg_events", "stg_users")
KEPT += ("stg_activities", "intermediate_activity_events_enriched", "activity_engagement_metrics")
KEPT += ("activity_popularity_daily", "user_activity_daily", "user_journeys", "q1_completion_rate")
KEPT += ("q2_price_tier_engagement", "q3_subscription_impact")


@pytest.mark.slow
def test_every_table_shows_its_layer_its_rows_their_count_and_its_file(delivered, viz):
    assert viz.get("/api/main")["layers"] == ["raw", "bronze", "silver", "gold"]
    shown_tables = register_pipelines()["__default__"].all_outputs()
    assert shown_tables == set(KEPT)

    for name in KEPT:
        shown, stored = viz.dataset(name), delivered.table(name)

        assert shown["preview_type"] == "TablePreview"
        lines, contract = viz.lines(name), schema.CONTRACTS[name]
        meanings = [schema.COLUMNS[column].comment for column in contract.columns]
        assert [line[2] for line in lines] == meanings, name
        assert len(lines[0]) - 3 == min(len(stored), 5), name
        assert stored, name
        assert {str(cell) for cell in lines[0][3:]} <= {str(row[0]) for row in stored} | {MASK}
        about = {line[0]: line[2] for line in viz.lines(name, above=True)}
        assert about["(table)"] == contract.meaning
        assert about["(last written)"].endswith("UTC")
        assert ("(last verdicts)" in about) == contract.promise.each_run, name
        assert shown["stats"]["rows"] == len(stored), name
        assert shown["filepath"] == "lingokids.duckdb", name


@pytest.mark.slow
def test_what_is_shown_is_of_one_environment_whatever_runs_in_another(delivered, viz, tmp_path):
    _add_environment(delivered, "other", tmp_path / "other")
    before = _last_run(viz)

    run = delivered.command("run", "--env", "other")

    assert run.returncode == 0, run.stdout + run.stderr
    assert _last_run(viz) == before
    with _serve(delivered, tmp_path / "viz-of-test.log") as again:
        assert again.dataset("bronze_events")["stats"]["rows"] == 2
    with _serve(delivered, tmp_path / "viz-of-other.log", "other") as others:
        shown = others.dataset("bronze_events")
        assert shown["stats"]["rows"] == 0
        assert others.rows("bronze_events") == []
        assert shown["filepath"] == "lingokids-other.duckdb"
        assert _last_run(others)["start_time"] > before["end_time"]
    said = (tmp_path / "viz-of-other.log").read_text()
    assert "Rows, row counts and run status are those of environment other." in said


@pytest.mark.slow
def test_the_run_command_of_every_box_works_and_makes_its_table(delivered, viz, new_project):
    pasted = new_project()
    _deliver(pasted)
    pasted.switch_to()
    boxes = [viz.get(f"/api/nodes/{node['id']}") | node for node in viz.get("/api/main")["nodes"]]
    commands = {
        box.get("full_name", box["name"]): box["run_command"]
        for box in boxes
        if box.get("run_command")
    }
    nodes = {node.name for node in register_pipelines()["__default__"].nodes}
    assert set(commands) == nodes | set(KEPT)

    # the last first, when nothing is there that they need
    for name, command in reversed(commands.items()):
        program, *arguments = shlex.split(command)
        done = CliRunner(env=pasted.environment).invoke(cli, arguments)
        assert (program, done.exit_code) == ("kedro", 0), f"{command}: {done.output}"
        if name in KEPT:
            assert len(pasted.table(name)) == len(delivered.table(name)), command


@pytest.mark.slow
def test_a_chart_and_the_rows_it_is_drawn_from_are_shown(delivered, viz):
    lines = viz.dataset("shown_groups", "reporting")["preview"]["data"]
    (notice,) = (line[2] for line in lines if line[0] == "(notice)")
    assert "shown_groups.parquet is not there yet" in notice
    later = an_event_record(99, occurred_at="2021-01-18 10:00:00")
    delivered.deliver("events", "2021-01-18/10/z", [later])
    _run(delivered)

    _run(delivered, "--pipeline", "reporting", "--params", "smallest_group=1,largest_share=1")

    chart = viz.dataset("weekly_users_chart", "reporting")
    assert chart["preview_type"] == "PlotlyPreview"
    assert chart["preview"]["data"][0]["y"] == [1]
    shown = viz.dataset("shown_groups", "reporting")["preview"]["data"]
    assert {line[0]: line[3] for line in shown}["active_users"] == 1


@pytest.mark.slow
def test_a_run_of_a_part_or_of_nothing_new_leaves_the_row_counts(delivered):
    counts = delivered.row_counts()

    _run(delivered)
    assert delivered.row_counts() == counts

    _run(delivered, "--pipeline", "marts", "--params", "window.start=2021-01-05")
    assert delivered.row_counts() == counts


@pytest.mark.slow
def test_a_run_beside_the_server_is_not_kept_waiting_and_its_rows_are_shown(delivered, viz):
    for name in KEPT:
        viz.dataset(name)
    duckdb.connect(str(delivered.database)).close()  # refused if anyone held the file

    delivered.deliver(
        "events", "d.jsonl", [an_event_record(2, occurred_at="2021-01-06 10:00:00.000")]
    )
    _run(delivered)

    assert [row["event_id"] for row in viz.rows("stg_events")] == [MASK, MASK]
    assert {row["date"] for row in viz.rows("activity_engagement_metrics")} == {
        "2021-01-05",
        "2021-01-06",
    }


@pytest.mark.alone
@pytest.mark.slow
def test_a_preview_answers_at_once_while_another_process_writes(delivered, viz):
    started = time.monotonic()
    with _held_for_writing(delivered.database) as process_id:
        (played,) = viz.rows("activity_engagement_metrics")
        (*_about, (_notice, _, notice)) = viz.lines("stg_events", above=True)
        objects = {row["object_key"] for row in viz.rows("raw_events")}
        (subscription,) = viz.rows("subscriptions")
    (after,) = viz.rows("stg_events")

    assert objects == {"a.jsonl", "b.jsonl", "c.jsonl"}
    assert subscription["subscription_date"] == "2025-01-10"
    assert played["activities_played"] == 1
    assert f"in use by another process (PID {process_id}" in notice
    assert "\n" not in notice
    assert after["event_name"] == "activity_exit"
    assert time.monotonic() - started < PROMPT_SECONDS


# --- in a browser -----------------------------------------------------------------------------

BOXES = """
[...document.querySelectorAll(".pipeline-node")].map((box) => {
  const text = box.querySelector("text");
  const {left, right, top, bottom} = box.getBoundingClientRect();
  return {
    name: text.textContent,
    kind: box.className.baseVal.match(/pipeline-node--(data|task|modularPipeline)/)[1],
    pixels: parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().d,
    left, right, top, bottom,
  };
})
"""
BANDS = """
[...document.querySelectorAll(".pipeline-layer-name")]
  .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)
  .map((band) => band.textContent)
"""
GROUPS = {"ingestion", "staging", "enrichment", "marts", "analytics"}


@pytest.fixture
def page(tmp_path) -> Iterator[Page]:
    """A browser's page."""
    with open_browser(tmp_path) as page:
        yield page


def _boxes(page: Page, viz: Viz, view: str = "") -> dict[str, dict[str, Any]]:
    """What is drawn of a view on a screen of 1440 by 900, by name."""
    page.open(f"{viz.url}/{view}", width=1440, height=900)
    page.wait_for("document.querySelectorAll('.pipeline-node').length > 0")
    drawn = page.value(BOXES)
    assert len({box["name"] for box in drawn}) == len(drawn)
    for one, other in itertools.combinations(drawn, 2):
        beside = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert beside or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]
    return {box["name"]: box for box in drawn}


@pytest.mark.browser
def test_the_lineage_opens_as_closed_groups_in_four_bands_with_names_to_be_read(
    viz, page, tmp_path
):
    boxes = _boxes(page, viz)

    assert len(boxes) <= 30
    inputs = set(register_pipelines()["__default__"].inputs())
    raw = {name for name in inputs if not name.startswith("params:")}
    within_marts = {"user_activity_daily"}
    assert set(boxes) == GROUPS | raw | set(KEPT) - within_marts
    for name, box in boxes.items():
        assert box["kind"] == ("modularPipeline" if name in GROUPS else "data")
        assert name in GROUPS or box["pixels"] >= 9.5, box
        assert 0 <= box["top"] < box["bottom"] <= 900, box
        assert 480 <= box["left"] < box["right"] <= 1440, box  # beside the list of names
    assert page.value(BANDS) == ["raw", "bronze", "silver", "gold"]
    picture = tmp_path / "lineage.png"
    page.save_picture(picture)
    size, different_lines = lines_of_png(picture)
    assert size == (1440, 900)
    assert different_lines > 300  # a blank page has one


@pytest.mark.browser
def test_an_opened_group_shows_its_nodes_between_their_tables(viz, page):
    for group in GROUPS:
        boxes = _boxes(page, viz, f"?pid={group}&expandAllPipelines=true")

        pipeline = register_pipelines()[group]
        tables = {name for name in pipeline.datasets() if not name.startswith("params:")}
        assert set(boxes) == tables | {node.short_name for node in pipeline.nodes}
        assert min(box["pixels"] for box in boxes.values()) >= 14, group


def _last_run(viz: Viz) -> dict[str, Any]:
    """How the last run that kedro-viz knows of began and ended."""
    last = viz.get("/api/run-status")["pipeline"]
    assert last["status"] == "success"
    return {name: last[name] for name in ("start_time", "end_time")}


def _add_environment(project, name: str, folder: Path) -> None:
    """Another environment of the project, with places of its own and nothing delivered."""
    shutil.copytree(project.folder / "raw" / "exercises", folder / "raw" / "exercises")
    for dataset in ("events", "users", "activities"):
        (folder / "raw" / dataset).mkdir()
    conf = project.folder / "conf"
    conf.unlink()
    conf.mkdir()
    for path in (ROOT / "conf").iterdir():
        (conf / path.name).symlink_to(path)
    (conf / name).mkdir()
    places = (ROOT / "conf" / "test" / "globals.yml").read_text()
    places = places.replace("${oc.env:LINGOKIDS_TEST_FOLDER,${project:data/test}}", str(folder))
    (conf / name / "globals.yml").write_text(places.replace("kids.duckdb", f"kids-{name}.duckdb"))


def _run(project, *arguments: str) -> None:
    run = project.command("run", "--env", "test", *arguments)
    assert run.returncode == 0, run.stdout + run.stderr


def _free_port() -> int:
    """A port that kedro-viz accepts: it refuses those above 49151."""
    while True:
        port = random.randrange(20_000, 49_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _wait_until_it_answers(viz: Viz, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and server.poll() is None:
        with contextlib.suppress(URLError, TimeoutError, ConnectionError):
            viz.get("/api/main")
            return
        time.sleep(0.2)
    pytest.fail(f"kedro viz does not answer: {log.read_text()}")


@contextlib.contextmanager
def _held_for_writing(database: Path) -> Iterator[int]:
    """Another process that holds the warehouse, as a long run does."""
    command = [sys.executable, "-c", HOLD, str(database)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
