"""What a run costs in a process that stays, as ``kedro watch`` and ``kedro server`` are.

``uv run python tests/benchmark/warm.py``: a run for each arrival day, then runs that find
one event, and that find nothing new. Seconds are those of the CPU. The event is of a user and an
activity of which there is nothing else, as in the comparison.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from deliveries import add_an_event, deliver, plan_of, unzipped_bytes
from lingokids.sample import Plan, arrival_day, exercise_tables
from lingokids.sample.plan import encode_lines
from processes import ROOT, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVENTS = 20


def main() -> None:
    """Run, and print what the runs cost and hold."""
    arguments = _arguments()
    folder: Path = arguments.folder.resolve()
    if folder.exists():
        sys.exit(f"{folder} is there already: give another --folder, or delete it.")
    folder.mkdir(parents=True)
    plan = plan_of(arguments.events, arguments.objects, arguments.days)
    run = _runner(folder)
    _tell("a day", _day_by_day(folder, plan, run))
    raw = sum(unzipped_bytes(file) for file in (folder / "raw").rglob("*") if file.is_file())
    size = (folder / "lingokids.duckdb").stat().st_size / raw
    print(f"The warehouse has {size:.2f} times the bytes of the raw lines.", flush=True)
    _tell("one event, as late as the days are many", _with_events(folder, plan, run))
    _tell("nothing new", (run() for _ in range(arguments.runs)))


def _day_by_day(folder: Path, plan: Plan, run: Callable[[], float]) -> Iterator[float]:
    for name, lines in exercise_tables(plan.seed).items():
        deliver(folder, f"exercises/{name}.csv", encode_lines(lines))
    for n in range(plan.days):
        for dataset, key, content in arrival_day(plan, n):
            deliver(folder, f"{dataset}/{key}", content)
        yield run()


def _with_events(folder: Path, plan: Plan, run: Callable[[], float]) -> Iterator[float]:
    for number in range(_EVENTS):
        add_an_event(folder, plan, days_late=plan.days, number=number)
        yield run()


def _runner(folder: Path) -> Callable[[], float]:
    """What runs the project on a folder in this process, and gives the CPU seconds of it."""
    os.environ |= settings_of(folder)
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(ROOT)

    def run() -> float:
        before = time.process_time()
        with KedroSession.create(ROOT, env="test") as session:
            session.run()
        return time.process_time() - before

    return run


def _tell(what: str, costs: Iterator[float]) -> None:
    """Print how many runs there were, what the first and the last tenth cost, and the memory."""
    found = [(cost, _held()) for cost in costs]
    if not found:
        return
    spent, held = zip(*found, strict=True)
    tenth = max(1, len(spent) // 10)
    print(
        f"{what}: {len(spent):,} runs; CPU s {median(spent):.2f} (the first {spent[0]:.2f}, the "
        f"first tenth {median(spent[:tenth]):.2f}, the last {median(spent[-tenth:]):.2f}); "
        f"MB held {held[0]:,.0f} to {held[-1]:,.0f}, {max(held):,.0f} at most",
        flush=True,
    )


def _held() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1e3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmark/warm.py", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=3_650)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--runs", type=int, default=1_000, help="that find nothing new")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmark-warm"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
