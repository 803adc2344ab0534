"""How things stand is said in one screen, and by the exit code."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import duckdb
import pytest

from builders import a_user_record, an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.history import history_of
from operators import ago, ask, held

AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def test_what_runs_well_is_fine(fresh_project):
    said = ask(fresh_project, "status")
    found = json.loads(ask(fresh_project, "status", "--json").stdout)

    assert said.exit_code == found["exit_code"] == 0
    assert re.match(r"test at \S+ \S+ UTC: fine\n", said.stdout)
    assert [(run["status"], run["rows_inserted"] > 0) for run in found["runs"]] == [
        ("succeeded", True)
    ]
    assert {each["dataset"]: each["is_stale"] for each in found["freshness"]} == {
        "events": False,
        "users": False,
    }
    assert not found["objects"]
    assert not any(table["changed_inputs"] for table in found["tables"])
    assert {table["table_name"] for table in found["tables"]} > {"stg_events", "user_journeys"}
    assert len(said.stdout.splitlines()) <= 45


@pytest.mark.parametrize("hours", [35.9, 36.1])
def test_a_source_is_stale_by_the_clock(fresh_project, hours):
    landed = f"UPDATE ingested_objects SET landed_at = '{ago(hours)}' WHERE dataset = 'users'"
    _by_hand(fresh_project, landed)

    said = ask(fresh_project, "status")

    assert said.exit_code == (2 if hours > 36 else 0)
    assert ("STALE" in said.stdout) == (hours > 36)


def test_no_run_yet_is_stale(project):
    said = ask(project, "status")

    assert said.exit_code == 2
    assert "none" in said.stdout
    assert not project.database.exists()


def test_a_failed_run_is_said_with_its_reason_and_goes_before_stale(fresh_project):
    fresh_project.deliver("events", "b", b"{\n" * 200, ago(50))
    assert fresh_project.invoke("run").exit_code == 1

    said = ask(fresh_project, "status")

    assert said.exit_code == 1
    assert "the last run failed" in said.stdout
    assert re.search(r"failed .* rule load_usable", said.stdout)


def test_what_is_due_is_said_with_its_reason(fresh_project):
    fresh_project.deliver("users", "v", [a_user_record(901)], ago(0.5))
    fresh_project.run("ingestion")
    fresh_project.deliver("events", "a", [an_event_record(), an_event_record(2)], ago(0.4))
    fresh_project.deliver("events", "b", [an_event_record(3)], ago(0.3))

    found = json.loads(ask(fresh_project, "status", "--json").stdout)

    raw = fresh_project.folder / "raw" / "events"
    (due,) = found["objects"]
    size = sum(path.stat().st_size for path in raw.iterdir())
    assert (due["dataset"], due["objects"], due["sent_again"]) == ("events", 2, 1)
    assert due["size_bytes"] == size
    behind = {table["table_name"]: table["changed_inputs"] for table in found["tables"]}
    assert {name: inputs for name, inputs in behind.items() if inputs} == {
        "stg_users": ["bronze_users"]
    }
    said = ask(fresh_project, "status").stdout
    assert re.search(r"events +2 objects, 1 sent again, .*B: not in the ledger", said)
    assert re.search(r"stg_users +rows of bronze_users changed since it was made", said)


@pytest.mark.slow
def test_what_was_set_aside_since_the_last_look_is_counted_and_not_shown(fresh_project):
    lines = [an_event_record(2, user_id="Ana María"), an_event_record(3, nickname="Ana María")]
    lines += [an_event_record(4, **{str(UUID(int=5)): 1})]
    fresh_project.deliver("events", "b", lines, ago(0.5))
    fresh_project.run()

    said = ask(fresh_project, "status").stdout
    later = datetime.now(UTC) + timedelta(days=1)
    nothing = ask(fresh_project, "status", "--since", f"{later:%Y-%m-%d}").stdout

    assert re.search(r"Quarantined.*\n +events +1 line +user_id is not a uuid", said)
    assert re.search(r"Unknown keys(.*\n)+? +events +1 line +nickname \(text\)", said)
    assert "Quarantined" not in nothing
    assert "Unknown keys" not in nothing
    answers = said + ask(fresh_project, "status", "--json").stdout
    assert "Ana" not in answers
    assert not AN_ID.search(answers)


@pytest.mark.slow
def test_a_run_over_twice_as_long_as_others_of_its_kind_is_named(fresh_project):
    for number in (2, 3):
        fresh_project.deliver("events", str(number), [an_event_record(number)], ago(0.5))
        fresh_project.run()
    usual = "UPDATE runs SET run_seconds = 10"
    slow = "UPDATE runs SET run_seconds = 21 WHERE run_id = (SELECT max(run_id) FROM runs)"
    _by_hand(fresh_project, usual)
    assert "are usual" not in ask(fresh_project, "status").stdout
    _by_hand(fresh_project, slow)

    said = ask(fresh_project, "status").stdout

    assert re.search(r"Unusual.*\n +run of .* +21\.0 s, where 10\.0 s are usual", said)


def _by_hand(project, statement: str) -> None:
    with duckdb.connect(str(project.database)) as con:
        con.execute(statement)


def test_while_a_run_holds_the_warehouse_the_copy_answers_and_says_so(fresh_project):
    with held(fresh_project) as pid:
        said = ask(fresh_project, "status")

    assert said.exit_code == 0
    assert f"lingokids.duckdb is in use by another process (PID {pid}" in said.stdout
    assert "Shown is what was published before." in said.stdout
    assert "succeeded" in said.stdout
    assert "Freshness" not in said.stdout
    ask(fresh_project, "status")
    assert fresh_project.is_free


def test_a_damaged_warehouse_is_said_and_not_waited_for(tmp_path):
    database, copy = tmp_path / "w.duckdb", tmp_path / "copy.duckdb"
    database.write_text("no database")
    duckdb.connect(str(copy)).close()
    with (
        pytest.raises(LingokidsError, match=r"w.duckdb cannot be opened .*file!\). If it is"),
        history_of(database, copy),
    ):
        pass

    database.unlink()
    duckdb.connect(str(database)).close()
    with (
        pytest.raises(LingokidsError, match=r"w.duckdb cannot be read: IO Error: a block"),
        history_of(database, copy),
    ):
        raise duckdb.IOException("IO Error: a block is not as it was written")


def test_a_place_that_cannot_be_listed_is_said_and_the_rest_all_the_same(fresh_project):
    shutil.rmtree(fresh_project.folder / "raw" / "users")

    said = ask(fresh_project, "status")

    assert said.exit_code == 0
    assert re.search(r"Not known\n +.*raw/users is not there: create the folder", said.stdout)
    assert "succeeded" in said.stdout


@pytest.mark.slow
@pytest.mark.alone
def test_it_costs_half_a_second_above_the_start_of_a_command(sample_project):
    def cpu_of(*arguments: str) -> float:
        took = []
        for _number in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", "kedro", *arguments],
                cwd=sample_project.folder,
                env=sample_project.environment,
                capture_output=True,
                check=False,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(took)

    assert cpu_of("status") - cpu_of("lake") <= 0.5
