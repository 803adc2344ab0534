"""The check report, and the page of the last runs: self-contained HTML without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader

from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED, Result
from lingokids.errors import in_one_line

#: Failing rows shown of a rule; check_failures has more.
SHOWN_EXAMPLES = 20
_SHOWN_LETTERS = 2_000  # of a row

_WORST_FIRST = (FAILED, WARNED, HELD, SKIPPED)

#: Of fewer events the start of a run is most of what it costs.
_LEAST_EVENTS = 1_000

_NONE = "-"

Trends = Mapping[tuple[str, str], Sequence[int]]


def page(run_id: str, about: str, results: Sequence[Result], trends: Trends) -> str:
    """Render the report as HTML.

    Args:
        run_id: The run whose checks these are.
        about: What was checked and what became of the run, in a sentence.
        results: What was found.
        trends: By table and rule: the rows that failed in the last runs, oldest first.
    """
    templates = _templates()
    return templates.get_template("report.html").render(
        run_id=run_id,
        about=about,
        verdicts=_WORST_FIRST,
        counts=Counter(result.verdict for result in results),
        tables=_by_table(results),
        trends=trends,
        shown_examples=SHOWN_EXAMPLES,
    )


def _by_table(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Tables and their results, the worst verdicts first."""

    def severity(result: Result) -> int:
        return _WORST_FIRST.index(result.verdict)

    of_table: dict[str, list[Result]] = {}
    for result in sorted(results, key=severity):
        of_table.setdefault(result.table_name, []).append(result)
    return list(of_table.items())


# --- the last runs --------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A run, as the page shows it; of one that only checked, ``figures`` are not recorded.

    Attributes:
        verdict: The worst of the run and of its rules: failed, warned or held.
        failed: The rules that failed.
        warned: The rules that warned.
        page: The name of its check report; "": it has none.
        run: Its record.
        events: Lines of events that it read.
    """

    at: str
    verdict: str
    failed: Sequence[str]
    warned: Sequence[str]
    page: str
    run: Mapping[str, Any]
    events: int

    @property
    def outcome(self) -> str:
        """How it ended."""
        return str(self.run.get("status", "only checked"))

    @property
    def pipelines(self) -> str:
        """The pipelines asked for."""
        return str(self.run.get("pipelines", ""))

    @property
    def where(self) -> str:
        """In which node it failed."""
        return str(self.run.get("where", ""))

    @property
    def figures(self) -> str:
        """What it cost, and what it did."""
        return " · ".join(
            f"{said} {name}" for name, read, say in _TRENDS if (said := say(read(self))) != _NONE
        )


def entries(
    runs: Sequence[Mapping[str, Any]],
    events: Mapping[str, int | None],
    checked: Sequence[Mapping[str, Any]],
    pages: Collection[str],
) -> list[Entry]:
    """The runs that are recorded or have a check report, the newest first.

    Args:
        runs: The last ones that are recorded.
        events: Lines of events read, by run.
        checked: The rules of runs that checked some.
        pages: The names of check reports.
    """
    recorded = {run["run_id"]: run for run in runs}
    rules = {each["run_id"]: each for each in checked}
    shown = sorted({*recorded, *pages} & {*recorded, *rules}, reverse=True)
    return [
        _entry(run_id, recorded.get(run_id, {}), rules.get(run_id, {}), events, pages)
        for run_id in shown
    ]


def _entry(
    run_id: str,
    run: Mapping[str, Any],
    rules: Mapping[str, Any],
    events: Mapping[str, int | None],
    pages: Collection[str],
) -> Entry:
    failed, warned = rules.get("failed") or (), rules.get("warned") or ()
    is_failed = failed or run.get("status") == "failed"
    return Entry(
        f"{run_id[:10]} {run_id[11:16].replace('.', ':')} UTC",
        FAILED if is_failed else WARNED if warned else HELD,
        failed,
        warned,
        run_id if run_id in pages else "",
        run,
        events.get(run_id) or 0,
    )


def index(environment: str, runs: Sequence[Entry]) -> str:
    """Render the page of the last runs as HTML."""
    recorded = [run for run in reversed(runs) if run.run]
    trends = []
    for name, read, say in _TRENDS:
        values = [read(run) for run in recorded]
        trends.append(
            {
                "name": name,
                "last": say(values[-1] if values else None),
                "bars": [value or 0 for value in values],
                "highest": max((value or 0 for value in values), default=0),
                "said": "; ".join(map(say, values)),
                "failed": [run.outcome == FAILED for run in recorded],
            }
        )
    return (
        _templates()
        .get_template("index.html")
        .render(environment=environment, runs=runs, trends=trends)
    )


def _recorded(name: str, scale: float = 1.0) -> Callable[[Entry], float | None]:
    def read(entry: Entry) -> float | None:
        value = entry.run.get(name)  # of a version before it is not there, or NULL
        return None if value is None else value / scale

    return read


def _changed(entry: Entry) -> float | None:
    return entry.run.get("rows_inserted", 0) + entry.run.get("rows_deleted", 0) or None


def _cost(entry: Entry) -> float | None:
    """CPU seconds per million events: what prices are a multiple of."""
    cpu_seconds = entry.run.get("cpu_seconds")
    if cpu_seconds is None or entry.events < _LEAST_EVENTS:
        return None
    return float(1_000_000 * cpu_seconds / entry.events)


def _say(decimals: int) -> Callable[[float | None], str]:
    return lambda value: _NONE if value is None else f"{value:,.{decimals}f}"


_TRENDS: tuple[tuple[str, Callable[[Entry], float | None], Callable[[float | None], str]], ...] = (
    ("seconds", _recorded("run_seconds"), _say(1)),
    ("CPU seconds", _recorded("cpu_seconds"), _say(1)),
    ("MB of memory, at most", _recorded("peak_memory_bytes", 1e6), _say(0)),
    ("MB read", _recorded("bytes_read", 1e6), _say(1)),
    ("rows changed", _changed, _say(0)),
    ("CPU seconds per million events", _cost, _say(0)),
)


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("lingokids", "checks"), autoescape=True, keep_trailing_newline=True
    )
    templates.filters["thousands"] = "{:,}".format
    templates.filters["cut"] = lambda text: in_one_line(text, _SHOWN_LETTERS)
    return templates
