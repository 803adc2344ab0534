"""``kedro server start``: one run at a time, one that waits, and it answers all the while."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from builders import an_event_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Project

pytestmark = pytest.mark.slow


class Server:
    """A server of the project, asked over HTTP."""

    def __init__(self, project: Project, token: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = f"-m kedro server start --env test --port {port}"
        self.process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=project.folder,
            env=project.environment | {"LINGOKIDS_TOKEN": token},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_healthy(self) -> bool:
        """Whether it answers, at once."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return json.load(answer)["status"] == "healthy"
        except OSError:
            return False

    def run(self, **request: Any) -> tuple[str, str]:
        """Ask for a run: its status, and what is said of its failure."""
        code, told = self.ask("/run", request)
        if code != 200:
            return str(code), told["detail"]
        return told["status"], (told.get("error") or {}).get("message", "")

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask for whatever, by POST if there is a body: the code of the answer, and the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        asked = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def wait(self) -> None:
        """Wait until it answers."""
        give_up_at = time.monotonic() + 120
        while not self.is_healthy():
            assert self.process.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.5)


@pytest.fixture
def server(begun_project) -> Iterator[Server]:
    """A server of a project that one event was taken into."""
    server = Server(begun_project)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(30)


def _deliver(project, number: int) -> None:
    project.deliver("events", f"{number}", [an_event_record(number)])


def _events(project) -> int:
    return project.rows("SELECT count(*) FROM stg_events")[0][0]


def test_runs_follow_each_other_whatever_became_of_the_one_before(begun_project, server):
    code, told = server.ask("/snapshot")
    assert (code, told["status"]) == (200, "success")
    _deliver(begun_project, 2)
    assert server.run() == ("success", "")
    assert _events(begun_project) == 2

    status, why = server.run(params={"windw": {"start": "2021-01-01"}})
    assert (status, "There is no parameter windw." in why) == ("failure", True)
    status, why = server.run(is_async=True, pipeline_names=["marts"])
    assert (status, "have threads load and save" in why) == ("failure", True)
    begun_project.deliver("users", "u", b"{}\n")
    users = begun_project.folder / "raw" / "users"
    users.rename(users.with_name("away"))
    status, why = server.run()
    assert (status, "raw/users is not there: create the folder" in why) == ("failure", True)
    users.with_name("away").rename(users)

    _deliver(begun_project, 3)
    run = begun_project.command("run")
    assert run.returncode == 0, run.stderr
    assert _events(begun_project) == 3

    _deliver(begun_project, 4)
    started = time.monotonic()
    assert server.run() == ("success", "")
    assert time.monotonic() - started < 30
    assert _events(begun_project) == 4
    assert server.run(pipeline_names=["reporting"]) == ("success", "")
    duckdb.connect(str(begun_project.database)).close()  # refused if the server held the file


def test_of_requests_at_once_one_runs_one_waits_and_others_are_told_so(begun_project, server):
    _deliver(begun_project, 2)
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(server.run) for _ in range(3)]
        asked += [clients.submit(server.run, pipeline_names=["reporting"])]
        while not all(each.done() for each in asked):
            assert server.is_healthy()
            time.sleep(0.2)

    answers = sorted(each.result() for each in asked)
    told = "A run is under way, and another waits: ask again when they end."
    assert answers == [("429", told)] * 2 + [("success", "")] * 2
    assert server.run() == ("success", "")
    assert _events(begun_project) == 2
    succeeded = "SELECT count(*) FROM runs WHERE status = 'succeeded'"
    assert begun_project.rows(succeeded) == [(2,)], "one of them found something new"


def test_told_to_stop_it_lets_the_run_under_way_end(begun_project, server):
    _deliver(begun_project, 2)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(server.run)
        while begun_project.is_free:
            assert not asked.done()
        server.process.terminate()
        assert asked.result() == ("success", "")
    assert server.process.wait(30) in (0, -15)
    assert _events(begun_project) == 2


def test_with_a_token_all_but_health_is_for_those_who_have_it(begun_project):
    _deliver(begun_project, 2)
    server = Server(begun_project, token="s3cret-of-a-test")
    try:
        server.wait()
        for authorization in ({}, {"Authorization": "Bearer s3cret-of-a-tesT"}):
            for path, body in (("/run", {}), ("/snapshot", None), ("/docs", None)):
                code, told = server.ask(path, body, **authorization)
                assert (code, "s3cret" in str(told)) == (401, False)
        assert _events(begun_project) == 1
        code, told = server.ask("/run", {}, Authorization="Bearer s3cret-of-a-test")
        assert (code, told["status"]) == (200, "success")
        assert _events(begun_project) == 2
    finally:
        server.process.terminate()
        server.process.wait(30)


def test_an_address_that_others_reach_is_refused_without_a_token(begun_project):
    started = begun_project.command(*["server", "start", "--host", "0.0.0.0"], LINGOKIDS_TOKEN="")

    assert started.returncode == 1
    assert started.stderr.startswith("Error: 0.0.0.0 can be reached from other machines: set LING")
    assert "Traceback" not in started.stderr


def test_a_request_while_another_process_holds_the_warehouse_ends_in_a_sentence(
    begun_project, server
):
    with duckdb.connect(str(begun_project.database)), ThreadPoolExecutor(2) as clients:
        asked = [clients.submit(server.run) for _ in range(2)]
        while not all(each.done() for each in asked):
            assert server.is_healthy()
            time.sleep(0.2)

    for each in asked:
        status, why = each.result()
        assert status == "failure"
        assert "lingokids.duckdb is in use by another " in why
    assert server.run() == ("success", "")
