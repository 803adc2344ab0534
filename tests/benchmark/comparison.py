"""Which runs are measured, in which order, and the table of what each cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deliveries import add_a_day, add_an_event, unzipped_bytes
from lingokids.sample import Plan
from processes import Cost, forget, run_project, run_script, run_short_script, run_trivial

_NEXT_DAY = "--incremental"


@dataclass(frozen=True)
class Measured:
    """The measurements that a test compares with recorded ones; all others are only printed.

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


def compare(folder: Path, plan: Plan) -> Measured:
    """Run the script and the project side by side, and print what each run cost as it ends.

    First from nothing, after one more day, with nothing new, and after one more event, on time
    and late.
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
    return Measured(start, script, project, next_project, _relative_size(folder))


def _relative_size(folder: Path) -> float:
    """Bytes of the warehouse for each byte of raw lines."""
    raw = sum(unzipped_bytes(file) for file in (folder / "raw").rglob("*") if file.is_file())
    return (folder / "lingokids.duckdb").stat().st_size / raw


def _noted(
    name: str, cost: Cost, scripts: tuple[Cost, ...] = (), start: Cost | None = None
) -> Cost:
    """Print a cost, the ratio of its CPU to each script's, and its CPU above a trivial run's."""
    ratios = [f"{cost.cpu / script.cpu:.2f}" for script in scripts] or ["", ""]
    above = f"{cost.cpu - start.cpu:.1f}" if start is not None else ""
    measured = (f"{cost.cpu:.1f}", f"{cost.wall:.1f}", f"{cost.memory:.2f}")
    print(_row(name, *measured, *ratios, above), flush=True)
    return cost


def _row(name: str, *cells: str) -> str:
    return f"{name:28}" + "".join(f"{cell:>13}" for cell in cells)
