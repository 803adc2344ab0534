"""The measured processes: a trivial project, the hand-written script, the project.

Each cost is what the kernel counted for the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parent
ROOT = BENCHMARK.parents[1]
#: The script's databases, below the folder of a measurement: all tables, and up to the two marts.
SCRIPT = "handwritten.duckdb"
SHORT_SCRIPT = "handwritten-two-marts.duckdb"

_TRIVIAL_PROJECT = {
    "pyproject.toml": (
        '[tool.kedro]\npackage_name = "trivial"\nproject_name = "trivial"\n'
        'kedro_init_version = "1.7.0"\nsource_dir = "src"\n'
    ),
    ".telemetry": "consent: false\n",
    "conf/base/catalog.yml": "{}\n",
    "conf/local/.gitkeep": "",
    "src/trivial/__init__.py": "",
    "src/trivial/settings.py": "",
    "src/trivial/pipeline_registry.py": (
        "import ibis\nfrom kedro.pipeline import Node, Pipeline\n\n\n"
        "def one():\n    return ibis.duckdb.connect().sql('SELECT 1 AS one')\n\n\n"
        "def register_pipelines():\n"
        '    return {"__default__": Pipeline([Node(one, None, "x", name="one")])}\n'
    ),
}


@dataclass(frozen=True)
class Cost:
    """What one process cost, and what it printed.

    Attributes:
        cpu: User and system seconds.
        wall: Seconds from its start to its end.
        memory: Its peak, in GB.
        printed: Its standard output.
    """

    cpu: float
    wall: float
    memory: float
    printed: str = ""


def run_trivial(folder: Path) -> Cost:
    """``kedro run`` of a project with one node that opens the engine."""
    for name, text in _TRIVIAL_PROJECT.items():
        (folder / "trivial" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "trivial" / name).write_text(text)
    command = [sys.executable, "-m", "kedro", "run"]
    measure(command, cwd=folder / "trivial")  # writes byte code
    return measure(command, cwd=folder / "trivial")


def run_script(folder: Path, *options: str) -> Cost:
    """The hand-written script; it prints its stages."""
    return _run_script(folder, SCRIPT, *options)


def run_short_script(folder: Path, *options: str) -> Cost:
    """The script up to the two marts, in a database of its own: no users, nothing published."""
    return _run_script(folder, SHORT_SCRIPT, "--two-marts", *options)


def _run_script(folder: Path, database: str, *options: str) -> Cost:
    command = [sys.executable, str(BENCHMARK / "handwritten.py"), str(folder / "raw")]
    return measure([*command, str(folder / database), *options], cwd=ROOT)


def run_project(folder: Path, *options: str) -> Cost:
    """``kedro run`` of this project."""
    return measure(
        [sys.executable, "-m", "kedro", "run", "--env", "test", *options],
        cwd=ROOT,
        **settings_of(folder),
    )


def settings_of(folder: Path) -> dict[str, str]:
    """The environment variables by which the project works on a folder of the benchmark."""
    return {
        "LINGOKIDS_TEST_FOLDER": str(folder.resolve()),
        "LINGOKIDS_TEST_ARRIVAL": "key",
        "LINGOKIDS_TEST_VERSIONS": "modified",
        "LINGOKIDS_TEST_NOT_KEPT": "[]",  # as the script
    }


def forget(folder: Path) -> None:
    """Remove everything that the script and the project made from the raw objects."""
    for file in folder.glob("*.duckdb*"):
        file.unlink()
    for published in ("02_bronze", "03_gold", Path(SCRIPT).stem):
        shutil.rmtree(folder / published, ignore_errors=True)


def measure(command: list[str], *, cwd: Path, **environment: str) -> Cost:
    """Run a command and read what it cost.

    Raises:
        SystemExit: The command failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | environment | {"PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    printed = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    wall = time.perf_counter() - started
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1e6, printed)
