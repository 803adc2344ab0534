"""A watch runs whenever something is new, waits its turn, backs off, and asks nobody twice."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from datetime import datetime

import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.operations import requests, watch
from lingokids.operations.watch import Watch
from minio_server import free_address
from operators import ago, held


@pytest.fixture
def watching(fresh_project) -> Watch:
    """A watch of a project where nothing is new, after its first run."""
    watching = a_watch(fresh_project)
    watching.turn()
    return watching


def a_watch(project, every: float = 60.0, daily: datetime | None = None) -> Watch:
    project.switch_to()
    return Watch(project.folder, "test", every=every, daily=daily)


def _deliver(project, number: int) -> None:
    project.deliver("events", str(number), [an_event_record(number)], ago(0.5))


def _runs(project) -> list[str]:
    return [status for (status,) in project.rows("SELECT status FROM runs ORDER BY started_at")]


@pytest.mark.slow
def test_what_is_new_is_run_and_without_it_the_warehouse_is_not_even_opened(
    fresh_project, watching
):
    assert _runs(fresh_project) == ["succeeded"]
    with held(fresh_project):
        assert watching.turn() == 60, "listing was enough"

    _deliver(fresh_project, 2)
    watching.turn()

    assert _runs(fresh_project) == ["succeeded"] * 2
    assert fresh_project.rows("SELECT count(*) FROM stg_events") == [(2,)]
    assert fresh_project.is_free


@pytest.mark.slow
def test_the_first_look_completes_what_was_run_in_part(fresh_project):
    _deliver(fresh_project, 2)
    fresh_project.run("ingestion")

    a_watch(fresh_project).turn()

    assert fresh_project.rows("SELECT count(*) FROM stg_events") == [(2,)]


@pytest.mark.slow
def test_what_another_run_took_in_is_not_run_again(fresh_project, watching, monkeypatch):
    _deliver(fresh_project, 2)
    fresh_project.run()
    monkeypatch.setattr(watch, "KedroSession", None)  # it would fail

    assert watching.turn() == 60
    assert watching.turn() == 60


@pytest.mark.slow
def test_while_another_process_holds_the_warehouse_it_waits_and_says_so_once(
    fresh_project, watching, caplog
):
    _deliver(fresh_project, 2)
    caplog.set_level(logging.INFO, "lingokids")
    with held(fresh_project) as pid:
        assert watching.turn() == watching.turn() == 5

    (said,) = [line for line in caplog.messages if "Waiting" in line]
    assert said.startswith("Waiting for the warehouse: lingokids.duckdb is in use by another ")
    assert f"PID {pid}" in said
    assert watching.turn() == 60
    assert fresh_project.rows("SELECT count(*) FROM stg_events") == [(2,)]


@pytest.mark.slow
def test_after_failures_it_looks_less_and_less_often_and_says_why_in_a_sentence(
    fresh_project, watching, caplog
):
    users = fresh_project.folder / "raw" / "users"
    users.rename(users.with_name("away"))

    waits = [watching.turn() for _ in range(7)]

    assert waits == [60, 120, 240, 480, 900, 900, 900]
    said = caplog.records[-1]
    assert said.getMessage().startswith(f"{users} is not there: create the folder")
    assert said.getMessage().endswith(" Next look in 900 s.")
    assert said.exc_info is None
    users.with_name("away").rename(users)
    _deliver(fresh_project, 2)
    assert watching.turn() == 60
    assert fresh_project.rows("SELECT count(*) FROM stg_events") == [(2,)]


@pytest.mark.slow
def test_looks_do_not_repeat_what_the_run_warned_of(project, monkeypatch, caplog):
    project.switch_to()
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "key")
    project.deliver("events", "2021-02-01/00/a", [an_event_record()])
    project.deliver("events", "loose", [an_event_record(2)])
    watching = a_watch(project)

    watching.turn()
    warned = caplog.text.count("Not read")
    project.deliver("events", "loose", [an_event_record(3)])
    watching.turn()

    assert warned == caplog.text.count("Not read") == 1


@pytest.mark.slow
def test_a_failing_run_is_tried_again_and_leaves_every_table(fresh_project, watching):
    before = fresh_project.snapshot()
    fresh_project.deliver("events", "bad", b"{}\n" * 400, ago(0.5))

    assert [watching.turn(), watching.turn()] == [60, 120]

    assert _runs(fresh_project) == ["succeeded", "failed", "failed"]
    assert fresh_project.snapshot() == before


@pytest.mark.slow
def test_once_a_day_it_runs_whatever_is_new(fresh_project, monkeypatch):
    fresh_project.switch_to()
    now = datetime(2026, 1, 1, 1, 59)
    monkeypatch.setattr(watch, "_now", lambda: now)
    watching = a_watch(fresh_project, every=3600, daily=datetime(1900, 1, 1, 2, 0))
    ran = []
    create = watch.KedroSession.create
    monkeypatch.setattr(
        watch.KedroSession,
        "create",
        lambda *given, **also: ran.append(now) or create(*given, **also),
    )

    assert watching.turn() == 60
    now = datetime(2026, 1, 1, 2, 0, 1)
    assert watching.turn() == 3600
    now = datetime(2026, 1, 2, 1, 30)
    assert watching.turn() == 1800
    now = datetime(2026, 1, 4, 5, 0)  # the machine slept
    watching.turn()

    assert [at.day for at in ran] == [1, 1, 4]


def test_a_notification_has_it_look_and_needs_the_token_where_there_is_one(monkeypatch):
    monkeypatch.setenv("LINGOKIDS_TOKEN", "s3cret-of-a-test")
    told = threading.Event()
    address = free_address()
    with requests.listening(address, told.set):
        assert _post(address, "Bearer wrong") == 401
        assert not told.is_set()
        assert _post(address, "Bearer s3cret-of-a-test") == 204
    assert told.is_set()

    monkeypatch.delenv("LINGOKIDS_TOKEN")
    told.clear()
    with requests.listening(address, told.set):
        assert _post(address, None, Origin="https://elsewhere.example") == 403
        assert not told.is_set()
        assert _post(address, None) == 204
    assert told.is_set()


def test_a_caller_who_never_ends_holds_up_neither_others_nor_the_end():
    told = threading.Event()
    address = free_address()
    host, port = address.split(":")
    with socket.socket() as slow:
        with requests.listening(address, told.set):
            slow.connect((host, int(port)))
            slow.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\nx")
            began = time.monotonic()
            assert _post(address, None) == 204
        assert time.monotonic() - began < 4  # a caller is given five seconds for each byte


def _post(address: str, authorization: str | None, **headers: str) -> int:
    client = http.client.HTTPConnection(address, timeout=10)
    if authorization:
        headers["Authorization"] = authorization
    client.request("POST", "/", b"{}", headers)
    return client.getresponse().status


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0:8001", "0.0.0.0 can be reached from other machines: set LINGOKIDS_TOKEN, which"),
        ("8001", "--webhook is 8001: write HOST:PORT, such as 127.0.0.1:8001."),
        ("127.0.0.1:99999", "--webhook is 127.0.0.1:99999: write HOST:PORT"),
    ],
)
def test_an_address_that_is_none_or_that_others_reach_is_refused(address, why, monkeypatch):
    monkeypatch.delenv("LINGOKIDS_TOKEN", raising=False)
    with pytest.raises(LingokidsError) as refused, requests.listening(address, print):
        pass
    assert refused.value.message.startswith(why)


def test_an_address_in_use_is_refused():
    address = free_address()
    with (
        requests.listening(address, print),
        pytest.raises(LingokidsError) as refused,
        requests.listening(address, print),
    ):
        pass
    assert refused.value.message.startswith(f"--webhook {address} cannot be listened to: ")
