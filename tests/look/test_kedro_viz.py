"""kedro-viz shows the layers, real rows and row counts, and keeps no run waiting."""

from __future__ import annotations

import contextlib
import json
import os
import random
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
import yaml

from browser import browse, lines_of_png
from builders import a_user_record, an_activity_record, an_event_record, an_id
from conftest import ROOT
from lingokids.pipeline_registry import register_pipelines

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
        """The rows of a dataset's preview."""
        preview = self.dataset(name)["preview"]
        return [dict(zip(preview["columns"], cells, strict=True)) for cells in preview["data"]]


def _take_in(project):
    project.deliver("events", "a.jsonl", [an_event_record(1)], "2021-02-01 00:00:00")
    project.deliver("events", "b.jsonl", [an_event_record(1)], "2021-02-02 00:00:00")
    project.deliver("events", "c.jsonl", b"not JSON\n", "2021-02-03 00:00:00")
    project.deliver("users", "a.jsonl", [a_user_record()])
    project.deliver("activities", "a.jsonl", [an_activity_record()])
    project.run()


@pytest.fixture
def delivered(project_after):
    """A project in which every table has rows, brought up to date by one run."""
    return project_after("every-table", _take_in)


@pytest.fixture
def viz(delivered, tmp_path) -> Iterator[Viz]:
    """A server of the delivered project, in a process group of its own."""
    port = _free_port()
    log = tmp_path / "viz.log"
    command = f"kedro viz run --no-browser --host 127.0.0.1 --port {port} --env test"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=delivered.folder,
            env=delivered.environment,
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


#: Rows that only a replay makes, a key that no field reads, or a late event.
OF_OTHER_DELIVERIES = {"replayed_lines", "rescued_values", "unknown_keys", "changed_user_days"}


@pytest.mark.slow
def test_every_dataset_that_is_kept_shows_its_layer_its_rows_and_their_count(delivered, viz):
    assert viz.get("/api/main")["layers"] == ["raw", "bronze", "silver", "gold"]

    for name, table_name in _kept_tables().items():
        shown, stored = viz.dataset(name), delivered.table(table_name)

        assert shown["preview_type"] == "TablePreview"
        assert shown["preview"]["columns"] == _columns(delivered, table_name), name
        assert len(shown["preview"]["data"]) == min(len(stored), 10), name
        assert stored or name in OF_OTHER_DELIVERIES
        first_cells = {str(cells[0]) for cells in shown["preview"]["data"]}
        assert first_cells <= {str(row[0]) for row in stored}, name
        if name != "stg_events":  # a view: counting it would be working it out
            assert shown["stats"]["rows"] == len(stored), name


@pytest.mark.slow
def test_a_chart_and_the_rows_it_is_drawn_from_are_shown(delivered, viz):
    notice = viz.dataset("shown_groups", "reporting")["preview"]
    assert "shown_groups.parquet is not there yet" in notice["data"][0][0]

    _run(delivered, "--pipeline", "reporting", "--params", "smallest_group=1")

    chart = viz.dataset("weekly_users_chart", "reporting")
    assert chart["preview_type"] == "PlotlyPreview"
    assert chart["preview"]["data"][0]["y"] == [1]
    rows = viz.dataset("shown_groups", "reporting")["preview"]
    assert rows["data"][0][rows["columns"].index("active_users")] == 1


@pytest.mark.slow
def test_a_run_of_a_part_or_of_nothing_new_leaves_the_row_counts(delivered):
    counts = delivered.row_counts()

    _run(delivered)
    assert delivered.row_counts() == counts

    _run(delivered, "--pipeline", "marts", "--params", "window.start=2021-01-05")
    assert delivered.row_counts() == counts


@pytest.mark.slow
def test_a_run_beside_the_server_is_not_kept_waiting_and_its_rows_are_shown(delivered, viz):
    for name in _kept_tables():
        viz.dataset(name)
    duckdb.connect(str(delivered.database)).close()  # refused if anyone held the file

    delivered.deliver(
        "events", "d.jsonl", [an_event_record(2, occurred_at="2021-01-06 10:00:00.000")]
    )
    _run(delivered)

    assert {row["event_id"] for row in viz.rows("stg_events")} == {an_id(1), an_id(2)}
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
        (other,) = viz.rows("stg_events")
        objects = {row["object_key"] for row in viz.rows("raw_events")}
        (subscription,) = viz.rows("subscriptions")
    (after,) = viz.rows("stg_events")

    assert objects == {"a.jsonl", "b.jsonl", "c.jsonl"}
    assert subscription["subscription_date"] == "2025-01-10"
    assert played["activities_played"] == 1
    assert list(other) == ["notice"]
    assert f"in use by another process (PID {process_id}" in other["notice"]
    assert "\n" not in other["notice"]
    assert after["event_id"] == an_id(1)
    assert time.monotonic() - started < PROMPT_SECONDS


@pytest.mark.browser
def test_the_flowchart_is_drawn_in_a_browser(viz, tmp_path):
    picture = tmp_path / "flowchart.png"

    page = browse(viz.url, tmp_path, "--dump-dom")
    browse(viz.url, tmp_path, f"--screenshot={picture}")

    for layer in ("raw", "bronze", "silver", "gold"):
        assert f">{layer}</li>" in page
    for name in ("raw_events", "stage_events", "stg_events", "activity_engagement_metrics"):
        assert f">{name}</text>" in page
    size, different_lines = lines_of_png(picture)
    assert size == (1600, 1200)
    assert different_lines > 300  # a blank page has one


def _kept_tables() -> dict[str, str]:
    """The table behind each entry of the default pipeline whose rows outlive a run."""
    shown = register_pipelines()["__default__"].datasets()
    entries = yaml.safe_load((ROOT / "conf" / "base" / "catalog.yml").read_text())
    return {
        name: entry["table_name"]
        for name, entry in entries.items()
        if name in shown and entry.get("mode", "read") not in ("read", "run")
    }


def _columns(project, table_name: str) -> list[str]:
    return [
        name
        for (name,) in project.rows(
            "SELECT column_name FROM information_schema.columns "
            f"WHERE table_name = '{table_name}' ORDER BY ordinal_position"
        )
    ]


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
