"""What a run tells when it has ended: alerts that do not repeat, metrics, a page, its costs."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import duckdb
import pytest
from apprise import Apprise
from prometheus_client.parser import text_string_to_metric_families

from builders import a_user_record, an_event_record
from conftest import wait_for
from lingokids.errors import LingokidsError
from lingokids.runtime import alerts
from lingokids.runtime.faults import Fault, mark_of
from operators import ago, ask, configure, held

BROKEN = b"{\n" * 200
SECRET = "Zk3-secret-path"


class _Inbox(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.messages.append(
            json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _inbox() -> Iterator[tuple[str, list[dict[str, str]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Inbox)
    server.messages = []
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/{SECRET}", server.messages
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def inbox(monkeypatch):
    """The messages that a loopback server has got; runs alert it."""
    with _inbox() as (address, messages):
        monkeypatch.setenv("LINGOKIDS_ALERTS", address)
        yield messages


# --- alerts ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_failed_run_is_told_once_and_once_more_when_it_is_over(fresh_project, inbox, caplog):
    fresh_project.deliver("events", "Ana María.jsonl", BROKEN, ago(0.5))
    for _number in range(2):
        with pytest.raises(LingokidsError):
            fresh_project.run()
    (failed,) = inbox
    (fresh_project.folder / "raw" / "events" / "Ana María.jsonl").unlink()
    fresh_project.run()
    fresh_project.run()

    assert failed["title"] == "lingokids test: failed run"
    assert re.search(
        r"^The run of \S+ \S+ UTC failed\. Why: kedro status\.$", failed["message"], re.MULTILINE
    )
    assert "ingested_objects.load_usable failed: broken by" in failed["message"]
    assert [message["title"] for message in inbox[1:]] == ["lingokids test: well again"]
    assert "Over: failed run." in inbox[1]["message"]
    assert "Ana" not in str(inbox)
    assert SECRET not in caplog.text
    assert ask(fresh_project, "status").exit_code == 0


@pytest.mark.slow
def test_a_run_that_no_table_records_is_told_and_over_by_one_of_its_kind(fresh_project, inbox):
    with held(fresh_project), pytest.raises(LingokidsError, match="in use"):
        fresh_project.run("staging")
    fresh_project.run()
    fresh_project.run("staging")

    first, last = inbox[0]["message"], inbox[-1]["message"]
    assert "A run of staging failed that no table records: its log says why." in first
    assert "Over: unrecorded run: staging." in last
    assert sum("unrecorded" in message["message"] for message in inbox) == 1


@pytest.mark.slow
def test_status_tells_what_no_run_can(fresh_project, inbox):
    mark_of(fresh_project.database).write_text('{"started_at": "2026-11-29 02:00"}')
    landed = f"UPDATE ingested_objects SET landed_at = '{ago(40)}' WHERE dataset = 'users'"
    with duckdb.connect(str(fresh_project.database)) as con:
        con.execute(landed)

    said = [ask(fresh_project, "status", "--alert") for _number in range(2)]

    assert [each.exit_code for each in said] == [1, 1]
    assert "the last run was killed" in said[0].stdout
    (told,) = inbox
    assert "The run of 2026-11-29 02:00 UTC was killed: run again." in told["message"]
    assert re.search(
        r"ingested_objects, users: newest .* UTC, promised within 36 h\.", told["message"]
    )
    fresh_project.run()
    assert "Over: killed run." in inbox[1]["message"]
    assert not mark_of(fresh_project.database).exists()


@pytest.mark.slow
def test_a_run_that_is_killed_is_found_and_over_with_the_next(fresh_project):
    fresh_project.deliver("events", "b", [an_event_record(2)], ago(0.5))
    run = fresh_project.start()
    wait_for(run, "ingestion.ingest_events")
    run.kill()
    run.wait()

    assert "the last run was killed" in ask(fresh_project, "status").stdout
    fresh_project.run()
    assert ask(fresh_project, "status").exit_code == 0


def test_without_an_address_status_says_what_to_set(fresh_project, monkeypatch):
    monkeypatch.delenv("LINGOKIDS_ALERTS", raising=False)

    assert "LINGOKIDS_ALERTS is not set" in ask(fresh_project, "status", "--alert").stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hangs", "refuses", "is none"])
def test_an_address_that_is_dead_delays_by_its_time_out_and_is_not_logged(
    kind, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(alerts, "_SECONDS", 1.0)
    assert Apprise().add("json://127.0.0.1")  # it loads what it knows when first asked
    fault = Fault("failed run", "", "It failed.")
    with socket.socket() as listening, _inbox() as (well, messages):
        listening.bind(("127.0.0.1", 0))
        if kind == "hangs":
            listening.listen()  # and never answers
        dead = f"json://127.0.0.1:{listening.getsockname()[1]}/{SECRET}"
        dead = f"nothing-of-the-kind://{SECRET}" if kind == "is none" else dead
        started = time.monotonic()
        alerts.tell(dead, tmp_path / "w", "test", [fault], is_whole=True)
        took = time.monotonic() - started
        alerts.tell(f"{dead} {well}", tmp_path / "w", "test", [fault], is_whole=True)
        alerts.tell(f"{dead} {well}", tmp_path / "w", "test", [fault], is_whole=True)

    assert took < 3
    assert [message["message"] for message in messages] == ["It failed."]
    assert "taken by 0 of the 1 addresses" in caplog.text
    assert "it is sent again after the next run" in caplog.text
    assert SECRET not in caplog.text


def test_what_is_not_known_is_not_over(tmp_path, inbox):
    fault, file = Fault("stale table", "users", "Old."), tmp_path / "w"
    for faults, is_whole in ([fault], True), ([], False), ([], True):
        alerts.tell(os.environ["LINGOKIDS_ALERTS"], file, "e", faults, is_whole=is_whole)

    assert [message["message"] for message in inbox] == ["Old.", "Over: stale table: users."]


@pytest.mark.slow
def test_a_run_under_way_is_marked_and_a_plan_is_not(fresh_project, monkeypatch):
    from lingokids.runtime import aftermath

    seen = []
    end = aftermath.end_run
    monkeypatch.setattr(
        aftermath, "end_run", lambda: (seen.append(mark_of(fresh_project.database).exists()), end())
    )
    assert ask(fresh_project, "plan").exit_code == 0
    assert not mark_of(fresh_project.database).exists()
    fresh_project.run()

    assert seen == [True]
    assert not mark_of(fresh_project.database).exists()


# --- metrics --------------------------------------------------------------------------------


@pytest.mark.slow
def test_prometheus_reads_what_a_run_writes_whether_it_failed_or_not(fresh_project):
    file = fresh_project.folder / "lingokids.prom"
    configure(fresh_project, "globals.yml", "metrics: null", f"metrics: {file}")

    def samples() -> dict[str, float]:
        found = {}
        for family in text_string_to_metric_families(file.read_text()):
            assert family.type == "gauge"
            for each in family.samples:
                assert each.labels.pop("environment") == "test"
                found[" ".join([each.name.removeprefix("lingokids_"), *each.labels.values()])] = (
                    each.value
                )
        return found

    fresh_project.deliver("events", "b", [an_event_record(2), {"event_id": "x"}], ago(0.5))
    fresh_project.run()
    well = samples()
    fresh_project.deliver("events", "c", BROKEN, ago(0.4))
    with pytest.raises(LingokidsError):
        fresh_project.run()
    failed = samples()

    assert well["run_success"] == 1
    assert well["run_rows_inserted"] > 5
    assert well["run_cpu_seconds"] > 0
    assert well["run_peak_memory_bytes"] > 50_000_000
    assert well["run_read_bytes"] == (fresh_project.folder / "raw" / "events" / "b").stat().st_size
    assert well["quarantined_lines events"] == 1
    assert well["faults failed run"] == 0
    assert time.time() - well["newest_timestamp_seconds ingested_objects events"] < 3600
    assert time.time() - well["table_written_timestamp_seconds stg_events"] < 300
    assert failed["run_success"] == 0
    assert failed["faults failed run"] == 1
    assert failed["last_success_timestamp_seconds"] == well["run_timestamp_seconds"]
    assert failed["run_read_bytes"] == len(BROKEN)
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_metrics_that_cannot_be_written_are_named_and_alerts_are_sent(fresh_project, inbox, caplog):
    file = fresh_project.folder / "not-there" / "lingokids.prom"
    configure(fresh_project, "globals.yml", "metrics: null", f"metrics: {file}")
    fresh_project.deliver("events", "b", BROKEN, ago(0.5))

    with pytest.raises(LingokidsError):
        fresh_project.run()

    assert f"{file} is not written (No such file or directory): give its folder" in caplog.text
    assert [message["title"] for message in inbox] == ["lingokids test: failed run"]


# --- records and the page -------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_records_what_it_read_and_what_it_cost(fresh_project):
    fresh_project.deliver("events", "b", [an_event_record(2), an_event_record(3)], ago(0.5))
    fresh_project.deliver("users", "v", [a_user_record(2)], ago(0.5))
    fresh_project.run()

    size = sum(
        (fresh_project.folder / "raw" / each).stat().st_size for each in ("events/b", "users/v")
    )
    ((read, cpu, seconds, memory),) = fresh_project.rows(
        "SELECT bytes_read, cpu_seconds, run_seconds, peak_memory_bytes FROM runs "
        "ORDER BY run_id DESC LIMIT 1"
    )
    steps = dict(
        fresh_project.rows(
            "SELECT table_name, rows_read FROM run_steps "
            "WHERE run_id = (SELECT max(run_id) FROM runs)"
        )
    )
    (of_steps,) = fresh_project.rows(
        "SELECT sum(cpu_seconds) FROM run_steps WHERE run_id = (SELECT max(run_id) FROM runs)"
    )[0]
    assert read == size
    assert 0 < of_steps <= cpu
    assert seconds > 0
    assert 50_000_000 < memory < 4_000_000_000
    assert (steps["bronze_events"], steps["bronze_users"]) == (2, 1)
    assert steps["stg_events"] >= 2
    assert None not in steps.values()


@pytest.mark.slow
def test_a_warehouse_without_these_columns_gets_them_and_a_failure_is_seen_to_be_over(
    fresh_project,
):
    with duckdb.connect(str(fresh_project.database)) as con:
        for column in ("cpu_seconds", "peak_memory_bytes", "bytes_read"):
            con.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        for column in ("cpu_seconds", "rows_read"):
            con.execute(f"ALTER TABLE run_steps DROP COLUMN {column}")
        con.execute("UPDATE runs SET status = 'failed', failure = 'it was dark'")
    assert ask(fresh_project, "status").exit_code == 1

    fresh_project.run()
    fresh_project.run()

    rows = fresh_project.rows(
        "SELECT status, cpu_seconds > 0, rows_inserted FROM runs ORDER BY run_id"
    )
    assert [row[:2] for row in rows] == [("failed", None), ("unchanged", True)]
    assert rows[1][2] == 0
    assert ask(fresh_project, "status").exit_code == 0
    fresh_project.run("checks")


@pytest.mark.slow
def test_the_page_shows_failures_first_folds_the_rest_and_names_nobody(fresh_project):
    fresh_project.deliver("events", "Ana María.jsonl", BROKEN, ago(0.5))
    with pytest.raises(LingokidsError):
        fresh_project.run()
    pages = fresh_project.folder / "08_reporting"

    shown = (pages / "index.html").read_text()

    # the run before, with a warning, comes after
    assert shown.index("ingested_objects.load_usable") < shown.index("activity_type_seldom_null")
    assert "Failed. Why:" in shown
    assert shown.count("<article") == 2
    links = re.findall('href="(.*?)"', shown)
    assert {(pages / link).is_file() for link in links} == {True}
    assert len(links) == 2
    assert "Ana" not in shown
    assert not re.search("http|src=|@import|url\\(|<script", shown)
    assert re.search(r"seconds, the oldest run first: [\d.]+; [\d.]+\"", shown)
