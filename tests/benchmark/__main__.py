"""Compare the project with the hand-written script: ``uv run python tests/benchmark``."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import stages
from comparison import compare
from deliveries import make_data, plan_of
from lingokids.sample import Plan


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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmark", description=__doc__)
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


if __name__ == "__main__":
    main()
