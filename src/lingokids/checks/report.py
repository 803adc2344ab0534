"""The check report: a self-contained HTML page without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader

from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED, Result
from lingokids.errors import in_one_line

#: Failing rows shown of a rule; check_failures has more.
SHOWN_EXAMPLES = 20
_SHOWN_LETTERS = 2_000  # of a row

_WORST_FIRST = (FAILED, WARNED, HELD, SKIPPED)

Trends = Mapping[tuple[str, str], Sequence[int]]


def page(run_id: str, about: str, results: Sequence[Result], trends: Trends) -> str:
    """Render the report as HTML.

    Args:
        run_id: The run whose checks these are.
        about: What was checked and what became of the run, in a sentence.
        results: What was found.
        trends: By table and rule: the rows that failed in the last runs, oldest first.
    """
    templates = Environment(
        loader=PackageLoader("lingokids", "checks"), autoescape=True, keep_trailing_newline=True
    )
    templates.filters["thousands"] = "{:,}".format
    templates.filters["cut"] = lambda text: in_one_line(text, _SHOWN_LETTERS)
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
