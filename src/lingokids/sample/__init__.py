"""A deterministic generator of the raw objects that the app would deliver.

All names and values are invented; no person or product stands behind them. ``plan`` says how much
is delivered, ``breaks`` how a line breaks; ``users``, ``activities`` and ``events`` make the lines
of their dataset, ``exercises`` the CSVs.

It serves the sample committed in ``data/01_raw`` and benchmarks of up to 100 million events:

- ``arrival_day(plan, n)`` is a pure function: a day has the same bytes whichever days were made
  before it, because each object draws from random streams named by (seed, purpose, day, object).
- A delivery that revisits an earlier one (repeated, corrected) takes the first events of an earlier
  object's stream, so nothing is remembered from day to day; one object is in memory at a time.
- Only ``random()`` and ``getrandbits()`` are drawn, whose sequences do not vary between Pythons.

``n`` counts arrival days from 0, ``j`` the event objects of one day from 0. Lines are text; a byte
that is not UTF-8 is a lone surrogate in them (Python's ``surrogateescape``).
"""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from lingokids.sample.activities import CATALOGUE_EVERY_DAYS, catalogue_lines
from lingokids.sample.breaks import BREAKS
from lingokids.sample.events import EMPTY_OBJECT, deliveries, event_object
from lingokids.sample.exercises import exercise_tables
from lingokids.sample.plan import SAMPLE, Plan, encode_lines
from lingokids.sample.users import user_records

__all__ = [
    "BREAKS",
    "SAMPLE",
    "Plan",
    "add_next_day",
    "arrival_day",
    "deliveries",
    "exercise_tables",
    "write_sample",
]


def arrival_day(plan: Plan, n: int) -> Iterator[tuple[str, str, bytes]]:
    """Make the objects that arrive on day ``n``, in the order in which they land.

    ``n`` may lie past ``plan.days``: deliveries go on.

    Yields:
        Dataset (``events``, ``users``, ``activities``), object key
        (``<day>/<hour>/<dataset>-<number>.jsonl[.gz]``), content.
    """
    objects = plan.objects_on(n)
    if n % CATALOGUE_EVERY_DAYS == 0:
        catalogue = catalogue_lines(plan, edition=n // CATALOGUE_EVERY_DAYS)
        yield "activities", plan.key(n, -1, "activities-0000.jsonl"), encode_lines(catalogue)
    for j in range(objects):
        yield "events", *event_object(plan, n, j)
        if plan.place(n, j) == EMPTY_OBJECT:
            yield "events", plan.key(n, j, f"events-{objects:04d}.jsonl"), b""
    if records := user_records(plan, n):
        yield "users", plan.key(n, objects - 1, "users-0000.jsonl"), encode_lines(records)


def write_sample(root: Path, plan: Plan = SAMPLE) -> None:
    """Write all objects of ``plan`` and the exercise CSVs below ``root``.

    Objects are written in the order in which they land, so that their last-modified times agree.
    """
    for n in range(plan.days):
        for dataset, key, content in arrival_day(plan, n):
            _write(root, f"{dataset}/{key}", content)
    for name, lines in exercise_tables(plan.seed).items():
        _write(root, f"exercises/{name}.csv", encode_lines(lines))


def add_next_day(root: Path, plan: Plan = SAMPLE) -> date:
    """Write the objects of the day after the last one below ``root/events``.

    Returns:
        The day added; the first day of ``plan`` if nothing has arrived yet.
    """
    arrived = [date.fromisoformat(folder.name) for folder in root.glob("events/????-??-??")]
    n = (max(arrived) - plan.first_day).days + 1 if arrived else 0
    for dataset, key, content in arrival_day(plan, n):
        _write(root, f"{dataset}/{key}", content)
    return plan.day(n)


def _write(root: Path, name: str, content: bytes) -> None:
    """Write aside, then rename: a reader never meets half an object."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = root / f".arriving-{os.getpid()}"
    aside.write_bytes(content)
    aside.replace(path)
