"""A session of Spark with its catalog in PostgreSQL and tables on MinIO; what keeps it away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.spark.session import examine, session, settings_of
from spark_services import SMALL

_WRITE_AND_READ = """
import json, sys
from pathlib import Path
import ibis
from lingokids.storage.spark.backend import streamed
from lingokids.storage.spark.session import session

spark = session(json.loads(sys.argv[1]))
jvm = spark.sparkContext._gateway.proc.pid
print(json.dumps(Path(f"/proc/{jvm}/cmdline").read_text()))
con = ibis.pyspark.connect(spark)
given = ibis.memtable(
    {"number": [1, None, 3], "text": ["one", None, "three"]},
    schema={"number": "int64", "text": "string"},
)
spark.sql("CREATE NAMESPACE lingokids.main")
con.create_table("kept", given, database="lingokids.main")
rows = spark.table("lingokids.main.kept").orderBy("text").collect()
print(json.dumps([list(row) for row in rows]))
# where Python ran: in the executors of as many applications' folders as there are workers
where = spark.range(200, numPartitions=20).rdd.mapPartitions(
    lambda _: [__import__("os").getcwd(), __import__("time").sleep(0.2)][:1]
)
print(json.dumps(sorted(set(where.collect()))))
# more than the driver may be sent at a time
many = spark.range(3_000_000, numPartitions=6)
seen = [number for batch in streamed(many) for number in batch["id"].to_pylist()]
print(json.dumps(seen == [*range(3_000_000)]))
try:
    many.toArrow()
except Exception as error:
    print(json.dumps("bigger than spark.driver.maxResultSize" in str(error)))
spark.stop()
"""


def _in_a_process(program: str, *arguments: str) -> list:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # what Spark logs of itself does not reach a terminal
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.minio
def test_a_table_is_written_by_the_workers_and_read_back_with_its_nulls(
    jars, cluster, catalog, buckets
):
    credentials = {"database": catalog.credentials, "bucket": buckets.credentials}
    settings = {
        **SMALL,
        **settings_of(f"jdbc:{catalog.address}", "s3://lake/tables", credentials),
        "spark.master": cluster,
        "spark.jars.packages": jars,
    }

    command_line, rows, places, *is_streamed = _in_a_process(_WRITE_AND_READ, json.dumps(settings))

    assert rows == [[None, None], [1, "one"], [3, "three"]]
    assert is_streamed == [True, True]
    assert buckets.filesystem.glob("lake/tables/main/kept/data/*.parquet")
    assert {re.findall(r"/(worker\d)/", place)[0] for place in places} == {"worker0", "worker1"}
    for secret in catalog.credentials["password"], buckets.password:
        assert secret not in command_line


@pytest.mark.slow
@pytest.mark.minio
def test_the_project_runs_on_the_cluster_as_conf_spark_says(cluster_project):
    """With no more than the variables of its environment, and no secret in what it prints."""
    cluster_project.deliver("events", "a", [an_event_record()])

    ran = cluster_project.command("run")

    assert ran.returncode == 0, ran.stderr
    assert "bronze_events +1" in ran.stderr
    assert cluster_project.server.filesystem.glob("lake/tables/**/*.parquet")
    for secret in cluster_project.catalog.credentials["password"], cluster_project.server.password:
        assert secret not in ran.stdout + ran.stderr


def test_without_java_the_sentence_says_what_to_install(monkeypatch, tmp_path):
    pytest.importorskip("pyspark", reason="no pyspark: uv sync --extra spark")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    _without_a_session(monkeypatch)

    with pytest.raises(LingokidsError, match=r"needs Java 17 or 21, and there is no /.*/bin/java"):
        session({})


def test_a_master_that_does_not_answer_is_not_waited_for(monkeypatch, tmp_path):
    pytest.importorskip("pyspark", reason="no pyspark: uv sync --extra spark")
    _a_java(monkeypatch, tmp_path)
    _without_a_session(monkeypatch)

    with pytest.raises(LingokidsError, match=r"No Spark master answers at spark://127.0.0.1:1"):
        session({"spark.master": "spark://127.0.0.1:1"})


def _a_java(monkeypatch, folder: Path, does: str = "exit 1") -> None:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(folder))


def test_whether_spark_would_start_is_told_without_starting_it(monkeypatch, tmp_path):
    pytest.importorskip("pyspark", reason="no pyspark: uv sync --extra spark")
    _a_java(monkeypatch, tmp_path, """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    assert examine({"spark.master": "local[2]"}) == "Java 21, and local[2]: Spark may start"
    with pytest.raises(LingokidsError, match=r"No Spark master answers at spark://127.0.0.1:1"):
        examine({"spark.master": "spark://127.0.0.1:1"})

    (tmp_path / "bin" / "java").write_text("""#!/bin/sh\necho 'java version "1.8.0_292"' >&2\n""")
    with pytest.raises(LingokidsError, match=r"Java 17 or 21, and the Java that is found is old"):
        examine({})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("java.lang.UnsupportedClassVersionError: …", "the Java that is found is older"),
        ("[unresolved dependency: a#b;1: not found]", "jars are not to be had"),
        ("Exception in thread main x.Exception: no room", r"on local\[1\] \(.*: no room\): see"),
    ],
)
def test_a_jvm_that_ends_is_told_in_a_sentence(said, sentence, monkeypatch, tmp_path):
    pytest.importorskip("pyspark", reason="no pyspark: uv sync --extra spark")
    _a_java(monkeypatch, tmp_path, f"echo '{said}' >&2; exit 1")
    _without_a_session(monkeypatch)

    with pytest.raises(LingokidsError, match=sentence):
        session({"spark.master": "local[1]"})


def _without_a_session(monkeypatch) -> None:
    """Have this process look as one that has started no Spark: another test may have."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr(SparkContext, "_gateway", None)


@pytest.mark.slow
def test_a_service_ends_with_the_tests_that_are_killed(tmp_path):
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from spark_services import started\n"
        "with started(Path(sys.argv[2]), 'sleep', '600') as it: print(it.pid, flush=True); input()"
    )
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program, tests, str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        pid = int(killed.stdout.readline())
        os.kill(pid, 0)
        killed.send_signal(signal.SIGKILL)

    def is_there() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    # where nobody inherits it, it stays as a zombie
    deadline = time.monotonic() + 5
    while is_there():
        assert time.monotonic() < deadline, "it is there still"
        time.sleep(0.1)


def test_an_interruption_stays_with_who_handles_it(jars):
    ask = """
import json, signal, sys
from lingokids.storage.spark.session import session

before = signal.getsignal(signal.SIGINT)
session(json.loads(sys.argv[1]))
sys.exit(signal.getsignal(signal.SIGINT) is not before)
"""
    settings = json.dumps({**SMALL, "spark.master": "local[1]", "spark.jars.packages": jars})

    assert subprocess.run([sys.executable, "-c", ask, settings], check=False).returncode == 0
