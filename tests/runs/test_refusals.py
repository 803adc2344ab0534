"""Expected failures end in one sentence, exit code 1 and unchanged tables."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import duckdb
import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb import memory


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--params", "windw.start=2021-01-01"],
            "There is no parameter windw. Did you mean window?",
        ),
        (["--params", "window.start=01/02/2021"], "write a day as YYYY-MM-DD"),
        (["--params", "rebuild=raw,listing.since=2021-01-02"], "leave one of them out"),
        (["--params", "checks.table=stg_users"], "is for checks on demand"),
        (["--params", "checks.rule=fresh,checks.now=2021-02-01"], "add --pipeline checks"),
        (["--pipeline", "checks", "--params", "rebuild=bronze"], "builds nothing"),
        (["--runner", "ThreadRunner"], "ThreadRunner cannot be used"),
        (["--runner", "ParallelRunner"], "ParallelRunner cannot be used"),
        (["--async"], "--async cannot be used"),
        (["--async", "--pipeline", "marts"], "--async cannot be used"),
        (["--nodes", "stage_events"], "Pipeline does not contain nodes named ['stage_events']"),
        (["--pipelines", "checks,staging"], "The pipeline checks runs alone"),
        (["--pipelines", "reporting,marts"], "The pipeline reporting runs alone"),
        (["--only-missing-outputs"], "--only-missing-outputs cannot be used"),
        (
            ["--pipeline", "stagin"],
            "There is no pipeline stagin. Did you mean staging? There are: ",
        ),
    ],
)
def test_a_wrong_request_is_refused_in_a_sentence(project, arguments, sentence):
    refused = project.invoke("run", *arguments)

    assert refused.exit_code == 1
    assert sentence in refused.stderr
    assert isinstance(refused.exception, SystemExit), "no traceback"
    if project.database.exists():
        filled = "SELECT table_name FROM duckdb_tables() WHERE estimated_size > 0"
        assert {name for (name,) in project.rows(filled)} <= {"runs"}


def test_a_missing_folder_is_named_and_nothing_is_changed(begun_project):
    project = begun_project
    before = project.snapshot()
    shutil.rmtree(project.folder / "raw" / "users")

    with pytest.raises(Exception, match=r"raw/users is not there: create the folder"):
        project.run()

    assert project.snapshot() == before
    assert project.rows("SELECT status FROM runs ORDER BY run_id") == [("succeeded",), ("failed",)]


def test_rows_that_break_a_contract_roll_the_run_back(begun_project, monkeypatch):
    project = begun_project
    before = project.snapshot()
    project.deliver("events", "b", [an_event_record(2)])
    from lingokids.pipelines.marts import nodes

    in_floats = nodes._.duration_seconds.sum().cast("float64")
    monkeypatch.setitem(nodes.metrics.MEASURES, "total_time_spent", in_floats)

    with pytest.raises(Exception, match=r"total_time_spent is float64, promised decimal"):
        project.run()
    assert project.snapshot() == before

    monkeypatch.undo()
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "modified")
    project.run()
    assert project.rows("SELECT sum(activities_played) FROM activity_engagement_metrics") == [(2,)]


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [False, True])
def test_a_warehouse_in_use_is_named_with_the_process_that_holds_it(begun_project, read_only):
    project = begun_project
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import duckdb, sys
                con = duckdb.connect({str(project.database)!r}, read_only={read_only})
                print("holding", flush=True)
                sys.stdin.read()
            """),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "holding\n"

        refused = project.command("run")

        assert refused.returncode == 1
        assert f"is in use by another process (PID {holder.pid}" in refused.stderr
        assert "to read, open lingokids-gold.duckdb, which no run waits for." in refused.stderr
        assert "Traceback" not in refused.stdout + refused.stderr
    finally:
        holder.communicate("")

    assert project.command("run").returncode == 0


def test_tables_are_written_by_runs_only(begun_project):
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=begun_project.folder, env="test") as session:
        catalog = session.load_context().catalog
        with pytest.raises(Exception, match="is written by runs only"):
            catalog.save("stg_events", catalog.load("stg_events"))


def test_an_unknown_arrival_is_refused():
    from lingokids.storage import ObjectsDataset

    with pytest.raises(LingokidsError, match="write modified or key"):
        ObjectsDataset(path="x", dataset="events", warehouse={}, arrival="x")


@pytest.mark.parametrize("name", ["batch_mebibytes", "engine_mebibytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 1e300, float("nan"), 10**30, "x", True])
def test_a_size_out_of_range_is_refused(name, value):
    from lingokids.storage import ObjectsDataset

    with pytest.raises(LingokidsError, match=rf"raw.{name} is .*: write a whole number, from 1 to"):
        ObjectsDataset(path="x", dataset="events", warehouse={}, **{name: value})


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [200, 2_000])
def test_a_full_disk_ends_in_a_sentence_and_unchanged_tables(sample_project, kilobytes):
    """A limit on the size of files stands for a disk that is full at some point of the run."""
    before = sample_project.snapshot()
    limited = f"ulimit -f {kilobytes}; exec {sys.executable} -m kedro run --params rebuild=raw"

    run = subprocess.run(
        ["bash", "-c", limited],
        cwd=sample_project.folder,
        env=sample_project.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "Traceback" not in run.stdout + run.stderr
    assert "free disk space and run again" in run.stderr + run.stdout
    assert sample_project.snapshot() == before


def test_a_bound_of_memory_does_not_hide_what_went_wrong_within_it():
    with duckdb.connect() as connection:
        connection.begin()

        with (
            pytest.raises(duckdb.InvalidInputException, match="mishap"),
            memory.bounded(connection, 64),
        ):
            connection.execute("SELECT error('mishap')")


def test_a_bound_that_the_engine_cannot_keep_to_is_none():
    limit = "SELECT current_setting('memory_limit')"
    with duckdb.connect(config={"temp_directory": "", "memory_limit": "1GiB"}) as connection:
        connection.execute("CREATE TEMP TABLE held AS SELECT random() FROM range(5_000_000)")
        before = connection.execute(limit).fetchall()

        with memory.limited(connection, 16):
            assert connection.execute(limit).fetchall() == before
        with memory.limited(connection, 256):
            assert connection.execute(limit).fetchall() == [("256.0 MiB",)]
        assert connection.execute(limit).fetchall() == before
