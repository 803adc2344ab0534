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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
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
#: Of a few rows, a query takes longer to be compiled than to be interpreted: a third of a run.
#: On the cluster, where both engines are compared, queries are compiled, as they are in use.
_INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
#: Of a session that tests start: two executors of a core each, and nothing outside loopback.
SMALL = {
    "spark.driver.extraJavaOptions": _SHORT,
    "spark.executor.extraJavaOptions": _SHORT,
    "spark.driver.memory": "1g",
    "spark.driver.maxResultSize": "16m",
    "spark.executor.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    **_INTERPRETED,
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


class Cluster:
    """A standalone master with two workers.

    Attributes:
        address: Of the master.
    """

    def __init__(self, folder: Path, until: ExitStack) -> None:
        import pyspark

        self._folder, self._until = folder, until
        self._log = folder / "master.log"
        self._program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        host, port = free_address().split(":")
        self.address = f"spark://{host}:{port}"
        self._started = 0
        self._master = self._start(
            self._log, "master.Master", "--host", host, "--port", port, "--webui-port", "0"
        )
        _wait(self._master, self._log, "New state: ALIVE")

    def _start(self, log: Path, name: str, *said: str | Path) -> subprocess.Popen[bytes]:
        environment = {
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": _SHORT,
            "PYSPARK_PYTHON": sys.executable,
        }
        command = (self._program, f"org.apache.spark.deploy.{name}", *said)
        return self._until.enter_context(started(log, *command, **environment))

    def start_workers(self, *numbers: int) -> None:
        """Start workers of a core each, also in the place of one that was killed."""
        size = ("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1g")
        for number in numbers:
            folder = self._folder / f"worker{number}"
            self._start(
                folder.with_suffix(".log"), "worker.Worker", *size, "-d", folder, self.address
            )
        self._started += len(numbers)
        _wait(self._master, self._log, "Registering worker", self._started)


@pytest.fixture(scope="session")
def cluster_of_workers(jars, tmp_path_factory) -> Iterator[Cluster]:
    """A cluster, for all tests of a worker."""
    with ExitStack() as until:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), until)
        cluster.start_workers(*range(WORKERS))
        yield cluster


@pytest.fixture(scope="session")
def cluster(cluster_of_workers) -> str:
    """Its address."""
    return cluster_of_workers.address


@pytest.fixture
def on_spark(jars, catalog, new_project):
    """A project on folders whose tables are on Spark, which runs in this process."""
    project = new_project()
    conf = project.folder / "conf"
    conf.unlink()
    shutil.copytree(ROOT / "conf", conf)
    places = conf / "test" / "globals.yml"
    said = yaml.safe_load(places.read_text())
    said["warehouse"] |= {
        "catalog": catalog.address,
        "credentials": "spark",
        "location": f"file://{project.folder}/tables",
        "session": {**SMALL, "spark.master": "local[2]", "spark.jars.packages": jars},
    }
    places.write_text(yaml.safe_dump(said))
    return project


@pytest.fixture
def on_cluster(on_spark, cluster, buckets, monkeypatch):
    """The same on the cluster, its tables in a bucket; and its queries are compiled."""
    for name, value in (
        ("ENDPOINT", buckets.endpoint),
        ("ACCESS_KEY", buckets.user),
        ("SECRET_KEY", buckets.password),
    ):
        monkeypatch.setenv(f"MINIO_{name}", value)
    places = on_spark.folder / "conf" / "test" / "globals.yml"
    said = yaml.safe_load(places.read_text())
    said["warehouse"]["location"] = "s3://lake/tables"
    session = said["warehouse"]["session"]
    compiled = {name: value for name, value in session.items() if name not in _INTERPRETED}
    said["warehouse"]["session"] = compiled | {"spark.master": cluster}
    places.write_text(yaml.safe_dump(said))
    _stop_spark()  # where it runs is said by the first session of a process
    yield on_spark
    _stop_spark()


def _stop_spark() -> None:
    from pyspark.sql import SparkSession

    if (running := SparkSession.getActiveSession()) is not None:
        running.stop()


@pytest.fixture
def join_spark(catalog) -> Callable[[], Callable[[], None]]:
    """What lets another process drive this one's Spark, which outlives it: no JVM to start."""

    def of_now() -> Callable[[], None]:
        from pyspark import SparkContext

        gateway = SparkContext._gateway.gateway_parameters
        place = {"PYSPARK_GATEWAY_PORT": str(gateway.port)}
        secret = {"PYSPARK_GATEWAY_SECRET": gateway.auth_token}
        return partial(_join, catalog.variables | place | secret)

    return of_now


def _join(variables: dict[str, str]) -> None:
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    os.environ.update(variables)
    gateway = launch_gateway()
    SparkContext._ensure_initialized(gateway=gateway)
    java = gateway.jvm.org.apache.spark
    running = java.api.java.JavaSparkContext.fromSparkContext(java.SparkContext.getOrCreate())
    SparkSession(SparkContext(jsc=running, gateway=gateway))


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
