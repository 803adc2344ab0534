"""Measures the project beside the hand-written script: ``python -m lingokids.benchmark``.

Here: making the data, running each in a process of its own, and the table of what they cost.
Elsewhere: the script (``handwritten``), the data (``sample``).

CPU is user and system seconds of the process, memory its peak; both as the kernel counted them.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lingokids.sample import Plan, arrival_day, write_sample

ROOT = Path(__file__).resolve().parents[3]

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
    """What one process cost: CPU seconds, wall seconds, peak memory in GB."""

    cpu: float
    wall: float
    memory: float


def measure(command: list[str], *, cwd: Path, **environment: str) -> Cost:
    """Run a command and read what it cost.

    Raises:
        SystemExit: It failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | environment | {"PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    wall = time.perf_counter() - started
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1e6)


def main() -> None:
    """Make the data, run both, print the table."""
    arguments = _arguments()
    plan = Plan(
        seed=1,
        first_day=date(2021, 1, 1),
        days=arguments.days,
        events=arguments.events,
        event_objects=arguments.objects,
        users=max(100, arguments.events // 50),
        activities=1_500,
    )
    folder: Path = arguments.folder
    raw = folder / "raw"
    if not raw.exists():
        write_sample(raw, plan)
    else:
        _remove_day(raw, plan)
    for name, text in _TRIVIAL_PROJECT.items():
        (folder / "trivial" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "trivial" / name).write_text(text)

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{plan.events:,} events in {plan.event_objects:,} objects; one more day: 1/{plan.days}")
    print(f"{'':28}{'CPU s':>8}{'wall s':>8}{'GB':>7}   ratio of CPU to the script")
    compileall.compile_path(quiet=2)  # both sides start from byte code
    start = _report("kedro run, one trivial node", _trivial(folder))
    _forget(folder)
    first_script = _report("script, first run", _script(folder))
    _report("project, first run", _project(folder), first_script, start)
    for dataset, key, content in arrival_day(plan, plan.days):
        (raw / dataset / key).parent.mkdir(parents=True, exist_ok=True)
        (raw / dataset / key).write_bytes(content)
    next_script = _report("script, one more day", _script(folder, "--incremental"))
    _report("project, one more day", _project(folder), next_script, start)
    _report("project, nothing new", _project(folder), None, start)
    _report_size(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lingokids.benchmark", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30, help="ten times as many: the same day")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark"))
    return parser.parse_args()


def _trivial(folder: Path) -> Cost:
    command = [sys.executable, "-m", "kedro", "run"]
    measure(command, cwd=folder / "trivial")  # writes byte code
    return measure(command, cwd=folder / "trivial")


def _script(folder: Path, *options: str) -> Cost:
    database = str(folder / "handwritten.duckdb")
    command = [sys.executable, "-m", "lingokids.benchmark.handwritten", str(folder / "raw")]
    return measure([*command, database, *options], cwd=ROOT)


def _project(folder: Path) -> Cost:
    return measure(
        [sys.executable, "-m", "kedro", "run", "--env", "test"],
        cwd=ROOT,
        LINGOKIDS_TEST_FOLDER=str(folder.resolve()),
        LINGOKIDS_TEST_ARRIVAL="key",
    )


def _forget(folder: Path) -> None:
    for file in folder.glob("*.duckdb*"):
        file.unlink()
    for lake in ("02_bronze", "03_gold"):
        shutil.rmtree(folder / lake, ignore_errors=True)


def _remove_day(raw: Path, plan: Plan) -> None:
    """Take back the day that an earlier measurement added."""
    for dataset, key, _ in arrival_day(plan, plan.days):
        (raw / dataset / key).unlink(missing_ok=True)


def _report(name: str, cost: Cost, script: Cost | None = None, start: Cost | None = None) -> Cost:
    line = f"{name:28}{cost.cpu:8.1f}{cost.wall:8.1f}{cost.memory:7.2f}"
    if script is not None:
        line += f"   {cost.cpu / script.cpu:.2f}"
    if start is not None:
        line += f"   (above start-up: {cost.cpu - start.cpu:.1f} s"
        line += f", {(cost.cpu - start.cpu) / script.cpu:.2f})" if script else ")"
    print(line, flush=True)
    return cost


def _report_size(folder: Path) -> None:
    raw = sum(file.stat().st_size for file in (folder / "raw").rglob("*") if file.is_file())
    warehouse = (folder / "lingokids.duckdb").stat().st_size
    print(f"raw {raw / 1e6:,.0f} MB, warehouse {warehouse / 1e6:,.0f} MB ({warehouse / raw:.2f})")


if __name__ == "__main__":
    main()
