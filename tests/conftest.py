"""What tests share: a project in a folder of its own, and tables of a few rows.

A ``Project`` is the real project (its conf, its code, real DuckDB files) with raw objects and
warehouse in a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from hypothesis import HealthCheck, Phase
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from builders import EXERCISE_FILES, an_event_record
from lingokids.schema import CONTRACTS

pytest_plugins = [
    *("minio_server", "operators", "sample_deliveries", "set_up_server", "small_warehouse"),
    "spark_services",
]

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "real"

#: Tables that runs keep of themselves, and what is counted by load.
OF_RUNS = {
    *("runs", "run_steps", "run_units", "check_results", "check_failures"),
    *("table_state", "gone", "unknown_keys"),
}

#: Settings of a law that runs whole projects: seconds an example, and the same ones each time.
A_LAW: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
    "derandomize": True,
    "database": None,
}

# a shell starts in the background what ignores interrupts, and so would all that tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Project:
    """The project, run on a folder of its own."""

    folder: Path

    def deliver(
        self,
        dataset: str,
        key: str,
        records: list[dict[str, Any]] | bytes,
        landed_at: str = "2021-02-01 00:00:00",
    ) -> None:
        """Put an object into the raw folder; the same key again is a new version."""
        path = self.folder / "raw" / dataset / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(records, list):
            records = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        path.write_bytes(records)
        seconds = datetime.fromisoformat(landed_at).replace(tzinfo=UTC).timestamp()
        os.utime(path, (seconds, seconds))

    def run(self, pipeline: str | None = None, **parameters: Any) -> None:
        """One ``kedro run`` in this process."""
        self.run_selected({"pipeline_names": [pipeline]} if pipeline else {}, **parameters)

    def run_selected(self, selection: dict[str, list[str]], **parameters: Any) -> None:
        """The same, of what Kedro can select: node_names, to_outputs, …"""
        with KedroSession.create(
            project_path=self.folder,
            env=self.environment["KEDRO_ENV"],
            runtime_params=parameters or None,
        ) as session:
            session.run(**selection)

    def invoke(self, *arguments: str) -> Result:
        """``kedro`` as a command, in this process."""
        from lingokids.cli import cli

        return CliRunner(env=self.environment).invoke(cli, arguments)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``kedro`` as a command, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``kedro run`` in a process of its own, to be watched or killed."""
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "kedro", "run", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a command."""
        return os.environ | {
            "LINGOKIDS_TEST_FOLDER": str(self.folder),
            "LINGOKIDS_TEST_ARRIVAL": "modified",
            "LINGOKIDS_TEST_VERSIONS": "modified",
            "KEDRO_ENV": "test",
        }

    @property
    def database(self) -> Path:
        """The warehouse file."""
        return self.folder / "lingokids.duckdb"

    @property
    def is_free(self) -> bool:
        """Whether another process may write the warehouse."""
        opening = f"import duckdb; duckdb.connect({str(self.database)!r})"
        return subprocess.run([sys.executable, "-c", opening], check=False).returncode == 0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query answers, as a reader would ask it."""
        with duckdb.connect(str(self.database), read_only=True) as con:
            return con.execute(sql).fetchall()

    def table(self, name: str, *, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """Every row of a table as its readers see it, in a fixed order."""
        columns = [column for column in CONTRACTS[name].columns if column not in without]
        return self.rows(f'SELECT {", ".join(columns)} FROM main."{name}" ORDER BY ALL')

    def row_counts(self) -> dict[str, int | None]:
        """How many rows of each table runs keep for kedro-viz."""
        stats = json.loads((self.folder / ".viz" / "test" / "stats.json").read_text())
        return {name: of.get("rows") for name, of in stats.items()}

    def snapshot(self, *, without_loads: bool = False) -> dict[str, list[tuple[Any, ...]]]:
        """Every table that is a function of what was delivered: not what runs keep of themselves.

        Without loads, runs that took in the same objects in other turns, or by a replay, agree.
        """
        without = ("load_id", "past_reason") if without_loads else ()
        names = self.rows("SELECT table_name FROM duckdb_tables() ORDER BY ALL")
        return {name: self.table(name, without=without) for (name,) in names if name not in OF_RUNS}


def wait_for(run: subprocess.Popen[str], text: str) -> None:
    """Read what a run says until it says this."""
    assert run.stdout is not None
    for line in run.stdout:
        if f" {text}" in line:
            return
    raise AssertionError(f"the run ended before {text}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests that measure where other workers would disturb them."""
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        left_out = pytest.mark.skip(reason="it measures: uv run pytest -n 0 -m alone")
        for item in items:
            if item.get_closest_marker("alone"):
                item.add_marker(left_out)


@pytest.fixture(scope="session", autouse=True)
def _configured() -> None:
    configure_project("lingokids")


@pytest.fixture
def new_project(tmp_path_factory, monkeypatch):
    """Make projects in folders of their own; the last one made is the one that runs."""
    for name in "ARRIVAL", "VERSIONS":
        monkeypatch.setenv(f"LINGOKIDS_TEST_{name}", "modified")

    def make() -> Project:
        folder = tmp_path_factory.mktemp("project")
        for name in ("src", ".viz"):
            (folder / name).mkdir()
        linked = ("conf", "src/lingokids", "pyproject.toml", ".telemetry", ".viz/styles.json")
        for name in linked:
            (folder / name).symlink_to(ROOT / name)
        for dataset in ("events", "users", "activities", "exercises"):
            (folder / "raw" / dataset).mkdir(parents=True)
        for name, text in EXERCISE_FILES.items():
            (folder / "raw" / "exercises" / name).write_text(text)
        return Project(folder)

    class Switching(Project):
        def switch_to(self) -> None:
            monkeypatch.setenv("LINGOKIDS_TEST_FOLDER", str(self.folder))
            monkeypatch.chdir(self.folder)  # kedro-viz's own hook writes below it

        def run_selected(self, selection: dict[str, list[str]], **parameters: Any) -> None:
            self.switch_to()
            super().run_selected(selection, **parameters)

        def invoke(self, *arguments: str) -> Result:
            self.switch_to()
            return super().invoke(*arguments)

    return lambda: Switching(make().folder)


@pytest.fixture
def project(new_project) -> Project:
    """One project with no raw objects yet."""
    return new_project()


@pytest.fixture
def rows():
    """The rows of an Ibis table as dictionaries, from a DuckDB of the test's own."""
    backend = ibis.duckdb.connect()
    return lambda table: backend.to_pyarrow(table).to_pylist()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture
def project_after(new_project, shared_folder):
    """Make a project in which something was done: once in a test run, and copied for each test."""

    def make(name: str, do: Callable[[Project], object]) -> Project:
        done = shared_folder / f"after-{name}"
        with FileLock(f"{done}.lock"):
            if not done.exists():
                first = new_project()
                do(first)
                first.folder.rename(done)
        project = new_project()
        shutil.rmtree(project.folder)
        shutil.copytree(done, project.folder, symlinks=True)
        project.switch_to()
        return project

    return make


def take_in_an_event(project: Project) -> None:
    """Deliver one event and run once."""
    project.deliver("events", "a", [an_event_record()])
    project.run()


@pytest.fixture
def begun_project(project_after) -> Project:
    """One event of an unknown user, taken in by one run."""
    return project_after("an-event", take_in_an_event)


def take_in_sample(project: Project) -> None:
    """Deliver the committed sample and run once."""
    shutil.rmtree(project.folder / "raw")
    shutil.copytree(ROOT / "data" / "01_raw", project.folder / "raw")
    project.run()


@pytest.fixture
def sample_project(project_after) -> Project:
    """The committed sample, taken in by one run."""
    return project_after("sample", take_in_sample)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The files in git, as they are in the working tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def reported(project_after):
    """The sample, taken in and reported on."""

    def report(project):
        take_in_sample(project)
        project.run("reporting")

    return project_after("reported", report)
