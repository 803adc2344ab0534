"""Latency of the published copy: ``uv run python tests/benchmark/questions.py COPY``.

``uv run python tests/benchmark`` leaves a copy in its folder.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import groupby
from pathlib import Path

from lingokids.metrics import METRICS
from lingokids.query import Question
from lingokids.query.command import ask


def main() -> None:
    """Ask every question once, and print the times by table."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmark/questions.py", description=__doc__
    )
    parser.add_argument("copy", type=Path, help="the file of the published copy")
    copy: Path = parser.parse_args().copy
    print(f"{'table':24}{'questions':>10}{'p50 ms':>8}{'p95 ms':>8}   slowest")
    for table, asked in groupby(all_questions(), lambda question: question.subject.table_name):
        print(as_row(table, [(seconds_of(copy, question), question) for question in asked]))


def all_questions() -> list[Question]:
    """Every metric by week: in total, and by each of its dimensions."""
    asked = [
        Question((name,), by=by, grain="week")
        for name, metric in METRICS.items()
        for by in ((), *((dimension,) for dimension in metric.subject.dimensions))
    ]
    return sorted(asked, key=lambda question: question.subject.table_name)


def seconds_of(copy: Path, question: Question) -> float:
    """Wall seconds until the rows of the answer are there."""
    started = time.perf_counter()
    ask(copy, question)
    return time.perf_counter() - started


def as_row(table: str, times: list[tuple[float, Question]]) -> str:
    """One printed row: the times of one table's questions."""
    milliseconds = [seconds * 1e3 for seconds, _ in times]
    p95 = statistics.quantiles(milliseconds, n=20, method="inclusive")[-1]
    _, slowest = max(times, key=lambda timed: timed[0])
    return (
        f"{table:24}{len(times):10}{statistics.median(milliseconds):8.0f}{p95:8.0f}"
        f"   {slowest.metrics[0]} by {', '.join(slowest.by) or 'nothing'}"
    )


if __name__ == "__main__":
    main()
