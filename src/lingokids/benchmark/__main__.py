"""Measures the project beside the hand-written script: ``python -m lingokids.benchmark``.

Here: making the data, what is measured in which order, and the table of what it cost. Elsewhere:
the processes (``processes``), the script (``handwritten``), where the time goes (``stages``), the
data (``sample``).
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

from lingokids.benchmark import stages
from lingokids.benchmark.processes import (
    Cost,
    forget,
    run_project,
    run_script,
    run_short_script,
    run_trivial,
)
from lingokids.sample import Plan, arrival_day, write_sample

_NEXT_DAY = "--incremental"
_ONE_EVENT = "one-event.jsonl"


@dataclass(frozen=True)
class Measured:
    """What a test holds against figures of before; everything measured is printed.

    Attributes:
        start: ``kedro run`` with one trivial node.
        script: The script's first run: all tables of gold, published.
        project: The project's first run.
        next_project: The project's run after one more arrival day.
        size: Bytes of the warehouse for each byte of raw lines, unzipped.
    """

    start: Cost
    script: Cost
    project: Cost
    next_project: Cost
    size: float


def main() -> None:
    """Make the data, run both, print the table."""
    arguments = _arguments()
    gzip_share = 1.0 if arguments.gzip else Plan.gzip_share
    plan = plan_of(arguments.events, arguments.objects, arguments.days, gzip_share)
    folder: Path = arguments.folder.resolve()  # what is measured runs in the project's folder
    make_data(folder, plan)
    print(f"{_processor()}, {os.cpu_count()} cores")
    print(f"{plan.events:,} events in {plan.event_objects:,} objects; one more day: 1/{plan.days}")
    if arguments.stages:
        stages.report(folder)
        return
    measured = compare(folder, plan)
    print(f"The warehouse has {measured.size:.2f} times the bytes of the raw lines.")


def plan_of(events: int, objects: int, days: int = 30, gzip_share: float = Plan.gzip_share) -> Plan:
    """The deliveries of so many events."""
    return Plan(
        seed=1,
        first_day=date(2021, 1, 1),
        days=days,
        events=events,
        event_objects=objects,
        users=max(100, events // 50),
        activities=1_500,
        gzip_share=gzip_share,
    )


def make_data(folder: Path, plan: Plan) -> None:
    """Write the raw objects, unless an earlier measurement has; without what it added.

    Raises:
        SystemExit: The folder has those of another plan.
    """
    note = folder / "plan.txt"
    if not (folder / "raw").exists():
        write_sample(folder / "raw", plan)
        note.write_text(repr(plan))
    if not note.exists() or note.read_text() != repr(plan):
        sys.exit(f"{folder} has the data of another plan: give another --folder, or delete it.")
    for dataset, key, _ in arrival_day(plan, plan.days):
        (folder / "raw" / dataset / key).unlink(missing_ok=True)
    for event in (folder / "raw/events").rglob(_ONE_EVENT):
        event.unlink()
    compileall.compile_path(quiet=2)  # both sides start from byte code


def add_a_day(folder: Path, plan: Plan) -> None:
    """Deliver one more arrival day."""
    for dataset, key, content in arrival_day(plan, plan.days):
        _deliver(folder, f"{dataset}/{key}", content)


def add_an_event(folder: Path, plan: Plan, days_late: int) -> None:
    """Deliver one event more, on the day after ``add_a_day``'s, in an object of its own."""
    landed_on = plan.first_day + timedelta(days=plan.days + 1)
    event = {
        "event_id": str(uuid4()),
        "name": "activity_exit",
        "occurred_at": f"{landed_on - timedelta(days=days_late)} 11:00:00.000",
        "user_id": str(uuid4()),
        "data": {"activity_id": "one", "duration": 60, "completed": True},
    }
    # each a key of its own, for the one on time stays
    key = f"{landed_on}/{12 if days_late else 11}/{_ONE_EVENT}"
    _deliver(folder, f"events/{key}", json.dumps(event).encode())


def _deliver(folder: Path, name: str, content: bytes) -> None:
    file = folder / "raw" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def compare(folder: Path, plan: Plan) -> Measured:
    """Run the script and the project side by side, and print what each run cost as it ends.

    First, after one more day, with nothing new, and after one event more, on time and late.
    """
    print(_row("", "CPU s", "wall s", "GB", "/ two marts", "/ script", "above start"))
    start = _noted("kedro run, one trivial node", run_trivial(folder))
    forget(folder)
    short_script = _noted("script, two marts", run_short_script(folder))
    script = _noted("script", run_script(folder))
    both = (short_script, script)
    project = _noted("project, first run", run_project(folder), both, start)
    add_a_day(folder, plan)
    next_short_script = _noted("script, two marts, next day", run_short_script(folder, _NEXT_DAY))
    next_script = _noted("script, next day", run_script(folder, _NEXT_DAY))
    both = (next_short_script, next_script)
    next_project = _noted("project, next day", run_project(folder), both, start)
    _noted("project, nothing new", run_project(folder), (), start)
    add_an_event(folder, plan, days_late=0)
    _noted("project, one event more", run_project(folder), (), start)
    add_an_event(folder, plan, days_late=400)
    _noted("project, one 400 days late", run_project(folder), (), start)
    raw = sum(unzipped_bytes(file) for file in (folder / "raw").rglob("*") if file.is_file())
    size = (folder / "lingokids.duckdb").stat().st_size / raw
    return Measured(start, script, project, next_project, size)


def unzipped_bytes(file: Path) -> int:
    """The bytes of a raw object of the sample, as they are without gzip."""
    if file.suffix != ".gz":
        return file.stat().st_size
    with file.open("rb") as content:
        content.seek(-4, os.SEEK_END)  # its length modulo 2^32: the sample's have one member
        return int.from_bytes(content.read(), "little")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lingokids.benchmark", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30, help="ten times as many: the same day")
    parser.add_argument(
        "--gzip", action="store_true", help="event objects at a quarter of the size"
    )
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


def _noted(
    name: str, cost: Cost, scripts: tuple[Cost, ...] = (), start: Cost | None = None
) -> Cost:
    """Print what it cost, its CPU as a ratio to each script's, and above a trivial run's."""
    ratios = [f"{cost.cpu / script.cpu:.2f}" for script in scripts] or ["", ""]
    above = f"{cost.cpu - start.cpu:.1f}" if start is not None else ""
    measured = (f"{cost.cpu:.1f}", f"{cost.wall:.1f}", f"{cost.memory:.2f}")
    print(_row(name, *measured, *ratios, above), flush=True)
    return cost


def _row(name: str, *cells: str) -> str:
    return f"{name:28}" + "".join(f"{cell:>13}" for cell in cells)


if __name__ == "__main__":
    main()
