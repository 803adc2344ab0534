"""The raw objects that both sides read: the first deliveries, one more day, one event more."""

from __future__ import annotations

import compileall
import json
import os
import sys
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

from lingokids.sample import Plan, arrival_day, write_sample
from processes import BENCHMARK, ROOT

_ONE_EVENT = "one-event.jsonl"


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
    """Write the raw objects once per folder; remove what an earlier measurement added.

    Raises:
        SystemExit: The folder has the objects of another plan.
    """
    note = folder / "plan.txt"
    if not (folder / "raw").exists():
        write_sample(folder / "raw", plan)
        note.write_text(repr(plan))
    if not note.exists() or note.read_text() != repr(plan):
        sys.exit(f"{folder} has the data of another plan: give another --folder, or delete it.")
    for dataset, key, _ in arrival_day(plan, plan.days):
        (folder / "raw" / dataset / key).unlink(missing_ok=True)
    for event in (folder / "raw/events").rglob(f"*{_ONE_EVENT}"):
        event.unlink()
    for code in (BENCHMARK, ROOT / "src"):  # both sides start from byte code
        compileall.compile_dir(code, quiet=2)


def add_a_day(folder: Path, plan: Plan) -> None:
    """Deliver one more arrival day."""
    for dataset, key, content in arrival_day(plan, plan.days):
        deliver(folder, f"{dataset}/{key}", content)


def add_an_event(folder: Path, plan: Plan, days_late: int, number: int = 0) -> None:
    """Deliver one more event, on the day after ``add_a_day``, in an object of its own."""
    landed_on = plan.first_day + timedelta(days=plan.days + 1)
    event = {
        "event_id": str(uuid4()),
        "name": "activity_exit",
        "occurred_at": f"{landed_on - timedelta(days=days_late)} 11:00:00.000",
        "user_id": str(uuid4()),
        "data": {"activity_id": "one", "duration": 60, "completed": True},
    }
    # the late event has a key of its own: it must not overwrite the one on time
    key = f"{landed_on}/{12 if days_late else 11}/{number or ''}{_ONE_EVENT}"
    deliver(folder, f"events/{key}", json.dumps(event).encode())


def deliver(folder: Path, name: str, content: bytes) -> None:
    """Write a raw object."""
    file = folder / "raw" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def unzipped_bytes(file: Path) -> int:
    """The bytes of a raw object of the sample, as they are without gzip."""
    if file.suffix != ".gz":
        return file.stat().st_size
    with file.open("rb") as content:
        content.seek(-4, os.SEEK_END)  # its length modulo 2^32: the sample's have one member
        return int.from_bytes(content.read(), "little")
