"""What tests of Spark run on: a catalog in PostgreSQL, a cluster, and the project on both.

Without Java, pyspark, PostgreSQL or the jars the tests are skipped; ``.ci/run`` installs them.
A service ends with the test process, also when that is killed: setpriv tells the kernel so.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from conftest import ROOT
from minio_server import MinioProject, free_address

CONF = ROOT / "conf" / "spark" / "globals.yml"
JARS = yaml.safe_load(CONF.read_text())["warehouse"]["session"]["spark.jars.packages"]
WORKERS = 2
IVY = Path.home() / ".ivy2.5.2" / "jars"
#: Of a short life, a JVM is compiled lightly: a third of the CPU.
_SHORT = "-XX:TieredStopAtLevel=1"
#: Of a session that tests start: two executors of a core each, and nothing outside loopback.
SMALL = {
    "spark.driver.extraJavaOptions": _SHORT,
    "spark.executor.extraJavaOptions": _SHORT,
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
}
_USER, _PASSWORD = "lingokids", "tests-catalog-secret"
_FETCH = """
import sys
from lingokids.storage.spark.session import session
session({"spark.master": "local[1]", "spark.jars.packages": sys.argv[1]}).stop()
"""


@dataclass(frozen=True)
class Catalog:
    """A database of a PostgreSQL server that a test has for itself."""

    host: str
    port: str
    name: str

    @property
    def address(self) -> str:
        return f"postgresql://{self.host}:{self.port}/{self.name}"

    @property
    def credentials(self) -> dict[str, str]:
        """As conf/base/credentials.yml has them."""
        return {"user": _USER, "password": _PASSWORD}

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which libpq and the project find it."""
        place = {"PGHOST": self.host, "PGPORT": self.port, "PGDATABASE": self.name}
        return place | {"PGUSER": _USER, "PGPASSWORD": _PASSWORD}


@dataclass
class SparkProject(MinioProject):
    """The project in the ``spark`` environment: buckets, a catalog, and a folder of its own."""

    catalog: Catalog

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"KEDRO_ENV": "spark"} | self.catalog.variables

    @property
    def database(self) -> Path:
        return self.folder / "lingokids-spark.duckdb"

    def set_session(self, **settings: str) -> None:
        """Set what ``warehouse.session`` says; of names with dots, by ``**{...}``."""
        file = self.folder / "conf" / "spark" / "globals.yml"
        conf = yaml.safe_load(file.read_text())
        conf["warehouse"]["session"] |= settings
        file.write_text(yaml.safe_dump(conf, width=1_000))


@contextmanager
def started(log: Path, *command: str | Path, user: str | None = None, **environment: str):
    """A program that is stopped when the caller is done, and killed if the caller is."""
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    with log.open("w") as said:
        process = subprocess.Popen(
            ["setpriv", *ids, "--pdeathsig=INT", *command],
            env=os.environ | environment,
            cwd="/",
            stdout=said,
            stderr=said,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL: without waiting for who is there
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, said: str, times: int = 1) -> None:
    """Wait until a program has said something so many times."""
    for _ in range(1_200):
        if len(re.findall(said, log.read_text())) >= times:
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"two minutes without {said}: {log.read_text()}")


def _programs_of_postgres() -> Path:
    """The folder of its programs; Debian has them beside PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if found := shutil.which("initdb") or (folders and folders[-1] / "initdb"):
        return Path(found).parent
    pytest.skip("no PostgreSQL: apt-get install postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Catalog]:
    """A PostgreSQL server for all tests of a worker."""
    programs = _programs_of_postgres()
    # it refuses to be root, who gives it a folder outside of pytest's, which are root's alone
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="lingokids-postgres-"))
    try:
        secret, log = folder / "password", folder / "log"
        secret.write_text(_PASSWORD)
        if user:
            shutil.chown(folder, user)
            shutil.chown(secret, user)
        files = folder / "data"
        made = (programs / "initdb", "-D", files, "-U", _USER, f"--pwfile={secret}", "-N")
        with started(log, *made, "--auth=scram-sha-256", user=user) as making:
            assert making.wait(120) == 0, log.read_text()
        host, port = free_address().split(":")
        quick = ("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "unix_socket_directories=")
        serve = (programs / "postgres", "-D", files, "-h", host, "-p", port, *quick)
        with started(log, *serve, user=user) as serving:
            _wait(serving, log, "ready to accept connections")
            yield Catalog(host, port, "postgres")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def catalog(postgres, tmp_path, monkeypatch) -> Iterator[Catalog]:
    """An empty database, which is there while the test runs."""
    psycopg = pytest.importorskip("psycopg", reason="no psycopg: uv sync --extra spark")
    of_test = Catalog(postgres.host, postgres.port, f"test_{time.time_ns()}")
    for name, value in of_test.variables.items():
        monkeypatch.setenv(name, value)
    with psycopg.connect(postgres.address, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {of_test.name}")
        yield of_test
        server.execute(f"DROP DATABASE {of_test.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def jars(shared_folder) -> str:
    """The jars of conf/spark, fetched: of two sessions that fetch, one would find half a jar."""
    if find_spec("pyspark") is None:
        pytest.skip("no pyspark: uv sync --extra spark")
    if shutil.which("java") is None:
        pytest.skip("no Java: apt-get install default-jre-headless")
    with FileLock(shared_folder / "jars-of-spark.lock"):
        names = {"_".join(jar.split(":", 1)).replace(":", "-") for jar in JARS.split(",")}
        if not all((IVY / f"{name}.jar").exists() for name in names):
            fetching = [sys.executable, "-c", _FETCH, JARS]
            done = subprocess.run(fetching, capture_output=True, text=True, check=False)
            if "Spark's jars are not to be had" in done.stderr:
                pytest.skip("Spark's jars are fetched from Maven, which does not answer")
            assert done.returncode == 0, done.stderr
    return JARS


@pytest.fixture(scope="session")
def cluster(jars, tmp_path_factory) -> Iterator[str]:
    """The address of a standalone master with two workers, for all tests of a worker."""
    import pyspark

    folder = tmp_path_factory.mktemp("cluster")
    program = Path(pyspark.__file__).parent / "bin" / "spark-class"
    deploy = "org.apache.spark.deploy"
    environment = {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": _SHORT,
        "PYSPARK_PYTHON": sys.executable,
    }
    host, port = free_address().split(":")
    address, log = f"spark://{host}:{port}", folder / "master.log"
    at = ("--host", host, "--port", port, "--webui-port", "0")
    with started(log, program, f"{deploy}.master.Master", *at, **environment) as master:
        _wait(master, log, "New state: ALIVE")
        with _workers(folder, program, f"{deploy}.worker.Worker", address, environment):
            _wait(master, log, "Registering worker", WORKERS)
            yield address


@contextmanager
def _workers(folder: Path, program: Path, name: str, master: str, environment: dict[str, str]):
    size = ("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1g")
    first, second = (folder / f"worker{number}" for number in range(WORKERS))
    with (
        started(
            first.with_suffix(".log"), program, name, *size, "-d", first, master, **environment
        ),
        started(
            second.with_suffix(".log"), program, name, *size, "-d", second, master, **environment
        ),
    ):
        yield


@pytest.fixture
def spark_project(jars, catalog, minio_project) -> SparkProject:
    """The project with ``--env spark``: a session in its own process, on empty buckets."""
    project = SparkProject(minio_project.folder, minio_project.server, catalog)
    project.set_session(**SMALL, **{"spark.master": "local[2]"})
    return project


@pytest.fixture
def cluster_project(spark_project, cluster) -> SparkProject:
    """The same on the cluster."""
    spark_project.set_session(**{"spark.master": cluster})
    return spark_project
