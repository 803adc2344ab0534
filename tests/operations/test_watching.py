"""``kedro watch`` as a process: stopped and killed anywhere, beside others, over a dead server."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from minio import Minio
from minio.notificationconfig import NotificationConfig, QueueConfig

from builders import a_user_record, an_event_record
from conftest import Project, wait_for
from minio_server import BUCKETS, MinioProject, Server, binary, free_address, wait_until_ready

pytestmark = pytest.mark.slow


@contextmanager
def watching(project: Project, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A watch, killed if it is still there at the end; it must be silent enough for a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kedro", "watch", *options],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _stop(process: subprocess.Popen[str]) -> str:
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.endswith("Stopped. Every table is as the last run left it.\n")
    assert "Traceback" not in output
    return output


def _until(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    give_up_at = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.3)


def _deliver(project: Project, number: int, size: int = 400) -> None:
    """Events of a day, of users of their own."""
    first, day = number * size, f"2021-01-{number % 28 + 1:02}"
    events = [
        an_event_record(each, occurred_at=f"{day} 10:00:00.000")
        for each in range(first, first + size)
    ]
    project.deliver("events", f"{number:04}", events, f"{day} 12:00:00")


def _has_events(project: Project, number: int) -> Callable[[], bool]:
    def holds() -> bool:
        try:
            return project.rows("SELECT count(*) FROM stg_events") == [(number,)]
        except duckdb.Error:  # held by a run, or not there yet
            return False

    return holds


@pytest.fixture
def expected(project_after) -> dict[str, list[tuple]]:
    """What the deliveries 0 to 2 become."""

    def take_in(project: Project) -> None:
        for number in range(3):
            _deliver(project, number)
        project.run()

    return project_after("three-deliveries", take_in).snapshot(without_loads=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_or_killed_amid_a_run_it_leaves_every_table_and_the_next_goes_on(
    project, expected, number
):
    project.switch_to()
    _deliver(project, 0)
    project.run()
    before = project.snapshot()
    _deliver(project, 1)
    _deliver(project, 2)

    with watching(project) as watch:
        wait_for(watch, "staging.stage_events")
        if number == signal.SIGTERM:
            assert "The run failed" not in _stop(watch)
        else:
            watch.kill()
            watch.wait()
    assert project.snapshot() == before

    with watching(project) as watch:
        _until(_has_events(project, 1200), watch)
        _stop(watch)
    assert project.snapshot(without_loads=True) == expected


def test_two_at_once_take_in_what_arrives_all_the_while_and_their_runs_do_not_overlap(project):
    project.switch_to()
    every = ("--every", "1")
    with watching(project, *every) as one, watching(project, *every) as other:
        for watch in one, other:
            wait_for(watch, "Watching")
        for number in range(24):
            _deliver(project, number, 50)
            time.sleep(0.4)
        _until(_has_events(project, 1200), one)
        said = _stop(one) + _stop(other)

    runs = project.rows(
        "SELECT status, started_at, started_at + to_milliseconds((run_seconds * 1000)::INT) "
        "FROM runs ORDER BY started_at"
    )
    assert "Traceback" not in said
    assert {status for status, *_ in runs} == {"succeeded"}
    assert len(runs) > 1
    assert all(before[2] <= after[1] for before, after in itertools.pairwise(runs))
    truth = project.snapshot(without_loads=True)
    project.run(rebuild="raw")
    assert project.snapshot(without_loads=True) == truth


class _Restartable:
    """A MinIO of the test's own, that dies and comes back at the same address."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.address = free_address()
        self.server = Server(f"http://{self.address}", "tests-root", "tests-root-secret")
        self._folder, self._variables = folder, variables
        self.start()
        for bucket in BUCKETS:
            self.server.filesystem.mkdir(bucket)

    def start(self) -> None:
        options = ["--address", self.address, "--quiet"]
        self.process = subprocess.Popen(
            [binary(), "server", str(self._folder / "minio"), *options],
            env=os.environ
            | {"MINIO_ROOT_USER": self.server.user, "MINIO_ROOT_PASSWORD": self.server.password}
            | {"MINIO_BROWSER": "off"}
            | self._variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_ready(self.address, self.process)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_minio(tmp_path_factory) -> Iterator[Callable[..., _Restartable]]:
    if binary() is None:
        pytest.skip("no MinIO")
    started = []

    def start(**variables: str) -> _Restartable:
        started.append(_Restartable(tmp_path_factory.mktemp("own"), **variables))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.minio
def test_a_dead_server_is_asked_less_often_and_when_it_is_back_nothing_is_lost(
    minio_project, own_minio
):
    minio = own_minio()
    project = MinioProject(minio_project.folder, minio.server)
    project.deliver("events", "a", [an_event_record(1)])
    project.deliver("users", "u", [a_user_record()])
    with watching(project, "--every", "1") as watch:
        _until(_has_events(project, 1), watch)
        project.deliver("events", "b", [an_event_record(2)])
        minio.stop()
        for line in watch.stdout:
            if "Next look in 2 s." in line:
                assert " ERROR " in line
                break
        minio.start()
        project.deliver("events", "c", [an_event_record(3)])
        _until(_has_events(project, 3), watch)
        assert "tests-root-secret" not in _stop(watch)


@pytest.mark.minio
def test_minios_notification_has_it_look_at_once(minio_project, own_minio):
    address = free_address()
    name = "MINIO_NOTIFY_WEBHOOK_{}_LINGOKIDS"
    minio = own_minio(
        **{
            name.format("ENABLE"): "on",
            name.format("ENDPOINT"): f"http://{address}/",
            name.format("AUTH_TOKEN"): "token-of-a-test",
        }
    )
    server = minio.server
    client = Minio(minio.address, server.user, server.password, secure=False)
    queue = QueueConfig(
        queue="arn:minio:sqs::LINGOKIDS:webhook", events=["s3:ObjectCreated:*"], config_id="1"
    )
    client.set_bucket_notification("raw-events", NotificationConfig(queue_config_list=[queue]))
    project = MinioProject(minio_project.folder, server)
    project.deliver("events", "a", [an_event_record(1)])
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("LINGOKIDS_TOKEN", "token-of-a-test")
        with watching(project, "--every", "3600", "--webhook", address) as watch:
            _until(_has_events(project, 1), watch)
            project.deliver("events", "b", [an_event_record(2)])
            _until(_has_events(project, 2), watch)
            assert "token-of-a-test" not in _stop(watch)


@pytest.mark.alone
def test_a_look_that_finds_nothing_costs_a_fiftieth_of_a_run_and_memory_stays_flat(sample_project):
    project = sample_project
    with watching(project, "--every", "1") as watch:
        wait_for(watch, "Watching")
        time.sleep(20)
        cpu, _ = _used(watch.pid)
        time.sleep(20)
        more, _ = _used(watch.pid)
        assert (more - cpu) / 20 < 0.1
        for number in range(30):
            _deliver(project, number, 20)
            time.sleep(3)
            if number == 9:  # what the first runs load stays
                _, resident = _used(watch.pid)
        assert _used(watch.pid)[1] - resident < 100e6
        _stop(watch)


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds of a process, and the bytes that it holds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * resource.getpagesize()
