"""In ``kedro ipython`` tables are read, nodes reused and runs made; no lock is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from builders import a_user_record, an_activity_record, an_event_record

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ANSWER_SECONDS = 120.0
DONE = "the statement is done"

REUSE = """
import datetime
import ibis
from lingokids.pipelines.marts.nodes import build_engagement_metrics

day = datetime.date(2021, 1, 5)
slice = {"date": day, "country_code": "es", "os_name": "iOS", "os_version": "14.2"}
slice |= {"app_version": "7.39.0", "subscription_status": "free", "activity_type": "game"}
slice |= {"collection_id": "c", "duration_seconds": 2, "completed_flag": True}
events = ibis.memtable([slice, slice])
"""


class Shell:
    """An IPython session of the project: statements in, what they print out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, code: str) -> str:
        """Run statements and return what they printed, once they are done."""
        patience = threading.Timer(ANSWER_SECONDS, self.kill)
        patience.start()
        self._process.stdin.write(f"exec({code!r})\nprint({DONE!r})\n")
        self._process.stdin.flush()
        printed = []
        for line in self._process.stdout:
            if DONE in line:
                break
            printed.append(line)
        patience.cancel()
        text = "".join(printed)
        assert self._process.poll() is None, f"the session ended: {text}"
        assert "Traceback" not in text, text
        return text

    def value(self, expression: str) -> str:
        """What an expression prints."""
        return self.run(f"print({expression})").strip().rpartition("]: ")[2]  # after the prompt

    def kill(self) -> None:
        """End the session's processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _take_in(project):
    project.deliver(
        "events",
        "a.jsonl",
        [an_event_record(1), an_event_record(2, occurred_at="2021-01-06 10:00:00.000")],
    )
    project.deliver("users", "a.jsonl", [a_user_record()])
    project.deliver("activities", "a.jsonl", [an_activity_record()])
    project.run()


@pytest.fixture
def delivered(project_after):
    """A project with two events on two days, brought up to date by one run."""
    return project_after("two-days", _take_in)


@pytest.fixture
def shell(delivered, tmp_path) -> Iterator[Shell]:
    """``kedro ipython`` in the delivered project, in a process group of its own."""
    command = "kedro ipython --env test -- --simple-prompt --no-banner --no-confirm-exit"
    scripts = Path(sys.executable).parent
    session = subprocess.Popen(
        [sys.executable, "-m", *command.split(), "--colors=NoColor"],
        cwd=delivered.folder,
        env=delivered.environment
        | {"IPYTHONDIR": str(tmp_path), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with session:
        shell = Shell(session)
        try:
            yield shell
        finally:
            shell.kill()


def test_tables_are_read_and_nodes_reused(delivered, shell):
    assert shell.value('type(catalog.load("stg_events")).__name__') == "Table"
    assert shell.value('catalog.load("stg_events").count().execute()') == "2"
    rows = 'catalog.load("activity_engagement_metrics").limit(3).execute()'
    assert shell.value(f"list({rows}.activities_played)") == "[1, 1]"

    shell.run(REUSE)
    by_hand = "build_engagement_metrics(events, {}).execute()"
    assert shell.value(f"{by_hand}.total_time_spent.astype(int).tolist()") == "[4]"


def test_a_node_of_a_table_of_the_catalog_is_the_whole_table_that_the_run_made(shell):
    shell.run(REUSE)
    shell.run(
        'made = build_engagement_metrics(catalog.load("intermediate_activity_events_enriched"), {})'
    )
    shell.run('stored = catalog.load("activity_engagement_metrics")')

    assert shell.value("made.count().execute()") == "2"
    assert shell.value("made.date.execute().astype(str).tolist()") == (
        "['2021-01-05', '2021-01-06']"
    )
    assert shell.value("made.difference(stored, distinct=False).count().execute()") == "0"
    assert shell.value("stored.difference(made, distinct=False).count().execute()") == "0"


def test_a_session_that_has_read_tables_keeps_no_run_waiting(delivered, shell):
    shell.run('events = catalog.load("stg_events"); events.execute()')
    shell.run('metrics = catalog.load("activity_engagement_metrics"); metrics.execute()')
    duckdb.connect(str(delivered.database)).close()  # refused if the session held the file

    delivered.deliver("events", "b.jsonl", [an_event_record(3)])
    run = delivered.command("run", "--env", "test")

    assert run.returncode == 0, run.stdout + run.stderr
    assert shell.value("events.count().execute()") == "3"
    assert shell.value("metrics.activities_played.sum().execute()") == "3"


def test_a_run_in_the_session_lets_the_file_go_when_it_ends(delivered, shell):
    shell.run('events = catalog.load("stg_events")')
    delivered.deliver("events", "b.jsonl", [an_event_record(3)])

    assert "Committed" in shell.run("session.run()")

    duckdb.connect(str(delivered.database)).close()  # refused if the session held the file
    assert shell.value("events.count().execute()") == "3"
    assert shell.value('catalog.load("stg_events").count().execute()') == "3"
    assert delivered.rows("SELECT count(*) FROM stg_events") == [(3,)]


def test_gold_and_silver_are_joined_whichever_comes_first(shell):
    shell.run(
        'silver, gold = catalog.load("stg_events"), catalog.load("activity_popularity_daily")'
    )

    assert shell.value('silver.join(gold, ["date", "activity_id"]).count().execute()') == "2"
    assert shell.value('gold.join(silver, ["date", "activity_id"]).count().execute()') == "2"


def test_a_table_is_asked_in_sql(shell):
    shell.run('events = catalog.load("stg_events")')

    asked = 'events.sql("SELECT count(*) AS n FROM stg_events").execute().n.tolist()'
    assert shell.value(asked) == "[2]"
