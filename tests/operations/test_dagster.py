"""Dagster's code location, started: a sensor that sees a new object makes the tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builders import a_user_record, an_event_record
from conftest import ROOT, Project
from minio_server import free_address
from operators import ago, held

pytest.importorskip("dagster", reason="uv sync --extra dagster")

pytestmark = pytest.mark.slow

RUNS = "{runsOrError{... on Runs{results{status jobName tags{key value}}}}}"
ASSETS = """{assetNodes{
    assetKey{path} groupName
    assetMaterializations(limit: 1){metadataEntries{label ... on IntMetadataEntry{intValue}}}
    assetChecksOrError{... on AssetChecks{checks{
        executionForLatestMaterialization{status evaluation{description severity}}
    }}}
}}"""


class Dagster:
    """``dagster dev``, asked by GraphQL."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"

    def ask(self, query: str) -> Any:
        asked = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["data"]

    def runs(self) -> list[dict[str, Any]]:
        """The runs so far, the newest first; none while it starts."""
        try:
            return self.ask(RUNS)["runsOrError"]["results"]
        except OSError:
            return []


@contextmanager
def started(project: Project, home: Path) -> Iterator[Dagster]:
    """Dagster in the folder of a project, ended with all that it started."""
    shutil.copyfile(ROOT / "src" / "deploy" / "dagster.yaml", home / "dagster.yaml")
    address = free_address()
    host, _, port = address.partition(":")
    command = ["dev", "-m", "lingokids.operations.dagster", "-h", host, "-p", port]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster"), *command],
            cwd=project.folder,
            env=project.environment
            | {"DAGSTER_HOME": str(home), "PYTHONPATH": str(project.folder / "src")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Dagster(address)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _until_ended(dagster: Dagster, number: int) -> list[str]:
    """Wait until so many runs have ended; how each did, the newest first."""
    give_up_at = time.monotonic() + 240
    while True:
        states = [run["status"] for run in dagster.runs()]
        if len(states) >= number and {*states} <= {"SUCCESS", "FAILURE"}:
            return states
        assert time.monotonic() < give_up_at, states
        time.sleep(2)


@pytest.fixture
def location(fresh_project, monkeypatch) -> Any:
    """The code location, of a project where nothing is new."""
    from lingokids.operations import dagster

    fresh_project.switch_to()
    monkeypatch.setattr(dagster, "FOLDER", fresh_project.folder)
    monkeypatch.setattr(dagster, "ENV", "test")
    return dagster


def test_the_sensor_asks_once_for_what_is_new_and_not_while_a_run_is_under_way(
    fresh_project, location
):
    assert location.new_objects().skip_message == "No object is new."
    fresh_project.deliver("events", "b", [an_event_record(2)], ago(0.5))
    with held(fresh_project) as pid:
        assert f"PID {pid}" in location.new_objects().skip_message
    first, again = location.new_objects(), location.new_objects()
    assert first.run_key == again.run_key
    fresh_project.deliver("events", "c", [an_event_record(3)], ago(0.4))
    assert location.new_objects().run_key != first.run_key


def test_a_run_that_fails_says_why_in_a_sentence_and_a_whole_one_makes_every_table(
    fresh_project, location
):
    job = location.defs.resolve_job_def("update")
    users = fresh_project.folder / "raw" / "users"
    users.rename(users.with_name("away"))

    failed = job.execute_in_process(raise_on_error=False)

    (failure,) = [event.step_failure_data for event in failed.all_events if event.is_step_failure]
    assert failure.user_failure_data.description.startswith(f"{users} is not there: create the ")
    users.with_name("away").rename(users)
    done = job.execute_in_process()
    made = {event.asset_key.to_user_string() for event in done.get_asset_materialization_events()}
    assert made == {*location.TABLES}
    assert made >= {"bronze_events", "stg_events", "activity_engagement_metrics", "user_journeys"}


@pytest.mark.minio
def test_a_sensor_that_sees_a_new_object_makes_the_tables_and_their_checks(
    minio_project, tmp_path_factory
):
    project, home = minio_project, tmp_path_factory.mktemp("dagster")
    project.deliver("events", "a", [an_event_record(number) for number in range(3)])
    project.deliver("users", "u", [a_user_record()])
    with started(project, home) as dagster:
        assert _until_ended(dagster, 1) == ["SUCCESS"], (home / "log").read_text()
        assets = {each["assetKey"]["path"][0]: each for each in dagster.ask(ASSETS)["assetNodes"]}
        (run,) = dagster.runs()

    assert {"key": "dagster/sensor_name", "value": "new_objects"} in run["tags"]
    assert project.rows("SELECT count(*) FROM stg_events") == [(3,)]
    (made,) = assets["stg_events"]["assetMaterializations"]
    assert {"label": "dagster/row_count", "intValue": 3} in made["metadataEntries"]
    assert assets["stg_events"]["groupName"] == "staging"
    checked = {
        name: check["executionForLatestMaterialization"]
        for name, asset in assets.items()
        for check in asset["assetChecksOrError"].get("checks", [])
    }
    assert checked["stg_events"]["status"] == "SUCCEEDED"
    seldom_null = checked["intermediate_activity_events_enriched"]
    assert seldom_null["status"] == "FAILED"
    assert seldom_null["evaluation"]["severity"] == "WARN"
    assert "activity_type_seldom_null by 3" in seldom_null["evaluation"]["description"]
