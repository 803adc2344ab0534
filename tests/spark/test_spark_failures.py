"""What may go wrong around a run on Spark: other runs, readers, and services that fail."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Project
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.spark.catalog import MAIN, Book, Catalog
from minio_server import free_address
from operators import ask
from published import deliver_a_day
from two_engines import of_duckdb, of_spark

psycopg = pytest.importorskip("psycopg", reason="no psycopg: uv sync --extra spark")

HOLDER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
TABLES = 20


def _pointers(catalog) -> list[tuple[Any, ...]]:
    with psycopg.connect(catalog.address) as connection:
        query = "SELECT * FROM iceberg_tables WHERE table_namespace = 'main' ORDER BY ALL"
        return connection.execute(query.replace("ALL", "table_name")).fetchall()


def _set(project: Project, **places: Any) -> None:
    """Set places of the warehouse; of the session, what is added."""
    file = project.folder / "conf" / "test" / "globals.yml"
    said = yaml.safe_load(file.read_text())
    places["session"] = said["warehouse"]["session"] | places.get("session", {})
    said["warehouse"] |= places
    file.write_text(yaml.safe_dump(said))
    Warehouse._known.pop(project.database, None)


@contextlib.contextmanager
def _in_the_commit(do: Callable[[], None], monkeypatch):
    """Do something when a run has written everything and is about to commit."""
    commit = Warehouse.commit
    left = [do]

    def after_it(warehouse: Warehouse) -> None:
        if left:
            left.pop()()
        commit(warehouse)

    with monkeypatch.context() as patch:
        patch.setattr(Warehouse, "commit", after_it)
        yield
    assert not left


@pytest.mark.slow
def test_cut_off_from_its_catalog_or_beside_others_a_run_is_all_or_nothing(
    new_project, on_spark, catalog, monkeypatch
):
    on_duckdb = new_project()
    for project in on_duckdb, on_spark:
        deliver_a_day(project, 1)
        project.run()
        deliver_a_day(project, 2)
    on_duckdb.run()
    on_spark.switch_to()
    assert "activities  1 object " in ask(on_spark, "plan").stdout
    before, pointers = of_spark(on_spark), _pointers(catalog)

    cut_off = pytest.raises(
        LingokidsError, match=r"The commit failed .*Every table is as it was\.$"
    )
    with _in_the_commit(lambda: _cut_off(catalog), monkeypatch), cut_off:
        on_spark.run()

    assert _pointers(catalog) == pointers
    warehouse: Any = Warehouse._known[on_spark.database]
    reader = Catalog(catalog.address)
    seen = reader.branch_to_read()
    said: list[tuple[int, str]] = []

    def beside() -> None:
        for command in "run", "status":
            done = on_spark.command(command)
            said.append((done.returncode, done.stdout + done.stderr))

    with _in_the_commit(beside, monkeypatch):
        on_spark.run()

    (refused, sentence), (status, _) = said
    assert refused == 1
    assert "Another run writes the tables of this catalog" in sentence
    assert "Traceback" not in sentence
    assert status == 0
    assert of_spark(on_spark) == of_duckdb(on_duckdb) != before
    with monkeypatch.context() as patch:
        patch.setattr(warehouse, "namespace", seen)
        assert of_spark(on_spark) == before
    warehouse.fetch()  # what status read beside the run is not what the run committed
    ends = on_spark.rows("SELECT status FROM runs ORDER BY started_at")
    assert ends == [("succeeded",), ("failed",), ("succeeded",)]
    reader.release()
    with psycopg.connect(catalog.address) as connection:
        left = connection.execute("SELECT DISTINCT table_namespace FROM iceberg_tables")
        assert left.fetchall() == [(MAIN,)]


def _cut_off(catalog) -> None:
    """End the connection of the run in hand."""
    with psycopg.connect(catalog.address) as connection:
        ((run,),) = connection.execute(HOLDER).fetchall()
        connection.execute("SELECT pg_terminate_backend(%s)", [run])


@pytest.mark.slow
def test_a_worker_that_is_killed_in_a_stage_costs_no_row(new_project, on_spark, cluster_of_workers):
    """The run goes on elsewhere, or it ends in a sentence; running again makes the same tables."""
    on_duckdb = new_project()
    for project in on_duckdb, on_spark:
        deliver_a_day(project, 1)
        deliver_a_day(project, 2)
    on_duckdb.run()
    on_spark.switch_to()
    _set(on_spark, session={"spark.master": cluster_of_workers.address})

    with on_spark.start() as run:
        number = _kill_who_works(run, cluster_of_workers.address)
        said, _ = run.communicate(timeout=240)

    cluster_of_workers.start_workers(number)
    assert "Traceback" not in said
    assert run.returncode in {0, 1}, said
    if run.returncode == 1:
        assert "Spark failed" in said.splitlines()[-1]
    _set(on_spark, session={"spark.master": "local[2]"})
    on_spark.run()
    assert of_spark(on_spark) == of_duckdb(on_duckdb)


def _kill_who_works(run: subprocess.Popen[str], master: str) -> int:
    """Kill the worker whose Python begins a task, with its executor; returns its number."""
    while True:
        assert run.poll() is None, run.communicate()[0]
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if "pyspark.daemon" in _command_of(int(folder.name)):
                    executor = _parent_of(int(folder.name))
                    worker = _parent_of(executor)
                    command = " ".join(_command_of(worker))
                    if master in command and (found := re.search(r"/worker(\d) ", command)):
                        os.kill(worker, signal.SIGKILL)
                        os.kill(executor, signal.SIGKILL)
                        return int(found[1])
        time.sleep(0.1)


def _command_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")


def _parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_a_catalog_that_refuses_is_told_in_a_sentence_without_the_password(on_spark, catalog):
    deliver_a_day(on_spark, 1)

    refused = on_spark.command("run", PGPASSWORD="wrong-secret")

    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert "password authentication failed" in said
    assert "PGPASSWORD" in said.splitlines()[-1]
    for unwanted in "Traceback", "wrong-secret", catalog.credentials["password"]:
        assert unwanted not in said


@pytest.mark.slow
def test_a_catalog_that_is_down_is_told_in_a_sentence(on_spark):
    _set(on_spark, catalog=f"postgresql://{free_address()}/lingokids")

    refused = on_spark.invoke("run")

    assert refused.exit_code == 1
    assert "start PostgreSQL, or correct warehouse.catalog" in refused.output
    assert "Traceback" not in refused.output


@pytest.mark.slow
def test_a_bucket_of_tables_that_does_not_answer_is_told_in_a_sentence(
    on_spark, catalog, monkeypatch
):
    monkeypatch.setenv("MINIO_ENDPOINT", f"http://{free_address()}")
    monkeypatch.setenv("MINIO_ACCESS_KEY", "tests-root")
    monkeypatch.setenv("MINIO_SECRET_KEY", "tests-bucket-secret")
    once = {"spark.sql.catalog.lingokids.s3.retry.num-retries": "0"}
    _set(on_spark, location="s3://lake/tables", session=once)
    deliver_a_day(on_spark, 1)

    refused = on_spark.invoke("run")

    assert refused.exit_code == 1
    assert "Spark failed" in refused.output
    for unwanted in "Traceback", "tests-bucket-secret", catalog.credentials["password"]:
        assert unwanted not in refused.output
    assert _pointers(catalog) == []


@pytest.mark.slow
def test_whoever_branches_while_others_commit_has_all_tables_of_one_run(catalog):
    """No Spark: pointers alone."""
    writer, done = Catalog(catalog.address), threading.Event()
    failures: list[BaseException] = []

    def commit() -> None:
        try:
            for run in range(1, 40):
                writer.hold()
                namespace = writer.branch(run)
                _point_all(catalog, namespace, run)
                writer.commit(namespace, Book(run, b"book"))
                writer.release()
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    committing = threading.Thread(target=commit)
    committing.start()
    states = []
    while not done.is_set():
        reader = Catalog(catalog.address)
        states.append(_runs_seen(catalog, reader.branch_to_read()))
        reader.release()
    committing.join()

    assert not failures
    assert all(len(runs) <= 1 for runs in states), states
    assert len({*map(tuple, states)}) > 2  # it did read meanwhile


@pytest.mark.slow
def test_what_spark_still_does_for_a_killed_run_changes_no_table_of_the_next(catalog):
    """No Spark: it commits a table by setting the pointer that it began with, as here."""
    killed, following = Catalog(catalog.address), Catalog(catalog.address)
    killed.hold()
    _point_all(catalog, MAIN, 1)
    late = killed.branch(2)
    assert killed._held is not None
    killed._held.close()

    following.hold()
    namespace = following.branch(2)
    with psycopg.connect(catalog.address) as connection:
        written = connection.execute(
            "UPDATE iceberg_tables SET metadata_location = '2' "
            "WHERE table_namespace = %s AND metadata_location = '1'",
            [late],
        )
        assert not written.rowcount
    assert _runs_seen(catalog, namespace) == ["1"]
    following.release()


def _point_all(catalog, namespace: str, run: int) -> None:
    with psycopg.connect(catalog.address) as connection:
        connection.execute("DELETE FROM iceberg_tables WHERE table_namespace = %s", [namespace])
        connection.execute(
            "INSERT INTO iceberg_tables SELECT 'lingokids', %s, 'table_' || n, %s, NULL, 'TABLE' "
            "FROM generate_series(1, %s) n",
            [namespace, str(run), TABLES],
        )


def _runs_seen(catalog, namespace: str) -> list[str]:
    with psycopg.connect(catalog.address) as connection:
        query = (
            "SELECT metadata_location, count(*) FROM iceberg_tables WHERE table_namespace = %s "
            "GROUP BY 1"
        )
        found = connection.execute(query, [namespace]).fetchall()
    assert all(tables == TABLES for _, tables in found)
    return [run for run, _ in found]
