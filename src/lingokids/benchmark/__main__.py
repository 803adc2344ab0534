"""Measures the project beside the hand-written script: ``python -m lingokids.benchmark``.

Here: making the data, what is measured in which order, and the table of what it cost. Elsewhere:
the processes (``processes``), the script (``handwritten``), where the time goes (``stages``), the
data (``sample``).
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lingokids.benchmark import stages
from lingokids.benchmark.processes import Cost, forget, run_project, run_script, run_trivial
from lingokids.sample import Plan, arrival_day, write_sample


@dataclass(frozen=True)
class Measured:
    """What a comparison found.

    Attributes:
        start: ``kedro run`` with one trivial node.
        script: The script's first run.
        project: The project's first run.
        next_script: The script's run after one more arrival day.
        next_project: The project's.
        idle_project: The project's run after that, with nothing new.
        size: Bytes of the warehouse, of each raw byte.
    """

    start: Cost
    script: Cost
    project: Cost
    next_script: Cost
    next_project: Cost
    idle_project: Cost
    size: float


def main() -> None:
    """Make the data, run both, print the table."""
    arguments = _arguments()
    plan = plan_of(arguments.events, arguments.objects, arguments.days)
    folder: Path = arguments.folder
    make_data(folder, plan)
    print(f"{_processor()}, {os.cpu_count()} cores")
    print(f"{plan.events:,} events in {plan.event_objects:,} objects; one more day: 1/{plan.days}")
    if arguments.stages:
        stages.report(folder)
        return
    measured = compare(folder, plan)
    start, script, next_script = measured.start, measured.script, measured.next_script
    print(f"{'':28}{'CPU s':>8}{'wall s':>8}{'GB':>7}   ratio of CPU to the script")
    _report("kedro run, one trivial node", start)
    _report("script, first run", script)
    _report("project, first run", measured.project, script, start)
    _report("script, one more day", next_script)
    _report("project, one more day", measured.next_project, next_script, start)
    _report("project, nothing new", measured.idle_project, None, start)
    print(f"The warehouse has {measured.size:.2f} times the bytes of the raw objects.")


def plan_of(events: int, objects: int, days: int = 30) -> Plan:
    """The deliveries of so many events."""
    return Plan(
        seed=1,
        first_day=date(2021, 1, 1),
        days=days,
        events=events,
        event_objects=objects,
        users=max(100, events // 50),
        activities=1_500,
    )


def make_data(folder: Path, plan: Plan) -> None:
    """Write the raw objects, unless an earlier measurement has; without the day it added."""
    if not (folder / "raw").exists():
        write_sample(folder / "raw", plan)
    for dataset, key, _ in arrival_day(plan, plan.days):
        (folder / "raw" / dataset / key).unlink(missing_ok=True)
    compileall.compile_path(quiet=2)  # both sides start from byte code


def compare(folder: Path, plan: Plan) -> Measured:
    """Run the script and the project side by side: first, after one more day, and once more."""
    start = run_trivial(folder)
    forget(folder)
    script, project = run_script(folder), run_project(folder)
    for dataset, key, content in arrival_day(plan, plan.days):
        (folder / "raw" / dataset / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "raw" / dataset / key).write_bytes(content)
    next_script, next_project = run_script(folder, "--incremental"), run_project(folder)
    idle_project = run_project(folder)
    raw = sum(file.stat().st_size for file in (folder / "raw").rglob("*") if file.is_file())
    size = (folder / "lingokids.duckdb").stat().st_size / raw
    return Measured(start, script, project, next_script, next_project, idle_project, size)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lingokids.benchmark", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30, help="ten times as many: the same day")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark"))
    parser.add_argument("--stages", action="store_true", help="where a first run's time goes")
    return parser.parse_args()


def _processor() -> str:
    """The processor's name, as Linux knows it."""
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _report(name: str, cost: Cost, script: Cost | None = None, start: Cost | None = None) -> None:
    line = f"{name:28}{cost.cpu:8.1f}{cost.wall:8.1f}{cost.memory:7.2f}"
    if script is not None:
        line += f"   {cost.cpu / script.cpu:.2f}"
    if start is not None:
        line += f"   (above start-up: {cost.cpu - start.cpu:.1f} s"
        line += f", {(cost.cpu - start.cpu) / script.cpu:.2f})" if script else ")"
    print(line, flush=True)


if __name__ == "__main__":
    main()
