"""The page of one run's checks: which rules, how many rows, how it was before, and failing rows.

Here: the page, made of results; it needs no network and no script. Elsewhere: where it is
written (``evidence``), what was found (``inspection``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED, Example, Result
from lingokids.errors import in_one_line

#: Failing rows shown of a rule; the others stand in check_failures.
SHOWN_EXAMPLES = 20
_SHOWN_LETTERS = 2_000  # of a row

Trends = Mapping[tuple[str, str], Sequence[int]]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bad: #c62828; --odd: #b26a00;
    --good: #2e7d32 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p.about { margin: .2rem 0 1rem; opacity: .75 }
ul.sums { display: flex; gap: .75rem; list-style: none; padding: 0; flex-wrap: wrap }
ul.sums li { border: 1px solid var(--line); border-radius: .5rem; padding: .3rem .9rem }
ul.sums b { font-size: 1.3rem; margin-right: .4rem }
.failed { color: var(--bad) } .warned { color: var(--odd) } .held { color: var(--good) }
.skipped { opacity: .6 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
    vertical-align: top }
th { font-weight: 600; opacity: .75 } td.number, th.number { text-align: right }
td.meaning { width: 35% }
td.rule, th { white-space: nowrap } td code { font-size: .9em; overflow-wrap: anywhere }
tr.examples td { background: var(--soft) } tr.examples table { font-size: .9em }
summary { cursor: pointer } svg { display: block } rect { fill: currentColor }
"""

_WORDS = {FAILED: "failed", WARNED: "warned", HELD: "held", SKIPPED: "not judged"}


def page(run_id: str, about: str, results: Sequence[Result], trends: Trends) -> str:
    """The page, as HTML.

    Args:
        run_id: The run whose checks these are.
        about: What was checked and what became of the run, in a sentence.
        results: What was found.
        trends: By table and rule: the rows that failed in the last runs, oldest first.
    """
    counts = Counter(result.verdict for result in results)
    sums = "".join(
        f'<li class="{outcome}"><b>{counts[outcome]:,}</b>{words}</li>'
        for outcome, words in _WORDS.items()
    )
    tables = "".join(
        _table(name, list(of_table), trends)
        for name, of_table in groupby(_worst_first(results), lambda result: result.table_name)
    )
    title = f"Checks of run {escape(run_id)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="about">{escape(about)}</p><ul class="sums">{sums}</ul>{tables}</body></html>\n'
    )


def _worst_first(results: Sequence[Result]) -> list[Result]:
    """The results table by table: first the tables, and in them the rules, that need a look."""
    order = list(_WORDS)
    worst: dict[str, int] = {}
    for result in results:
        place = order.index(result.verdict)
        worst[result.table_name] = min(place, worst.get(result.table_name, place))
    names = list(worst)
    return sorted(
        results,
        key=lambda result: (
            worst[result.table_name],
            names.index(result.table_name),
            order.index(result.verdict),
        ),
    )


def _table(name: str, results: list[Result], trends: Trends) -> str:
    rows = "".join(_row(result, trends.get((name, result.rule.name), ())) for result in results)
    return (
        f"<h2>{escape(name)}</h2><table><thead><tr><th>Rule</th><th>What must hold</th>"
        '<th>Severity</th><th>Outcome</th><th class="number">Checked</th>'
        '<th class="number">Failed</th><th>Last runs</th><th class="number">Seconds</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _row(result: Result, trend: Sequence[int]) -> str:
    rule = result.rule
    tolerated = f" ({rule.tolerance} may fail)" if rule.tolerance else ""
    obstacle = f" (cannot be checked: {result.obstacle})" if result.obstacle else ""
    meaning = escape(rule.meaning + tolerated + obstacle)
    row = (
        f'<tr><td class="rule"><code>{escape(rule.name)}</code></td>'
        f'<td class="meaning">{meaning}</td><td>{result.severity}</td>'
        f'<td class="{result.verdict}">{_WORDS[result.verdict]}</td>'
        f'<td class="number">{result.rows_checked:,}</td>'
        f'<td class="number">{result.rows_failed:,}</td>'
        f'<td class="{result.verdict}">{_bars(trend)}</td>'
        f'<td class="number">{result.seconds:.2f}</td></tr>'
    )
    return row + (_examples(result) if result.examples else "")


def _bars(trend: Sequence[int]) -> str:
    """A bar for each of the last runs: as high as rows failed; the numbers are its tooltip."""
    highest, width, height = max(trend, default=0), 5, 18
    bars = "".join(
        f'<rect x="{place * width}" y="{height - tall}" width="{width - 1}" height="{tall}"/>'
        for place, failed in enumerate(trend)
        for tall in (max(1, round(height * failed / highest)) if highest else 1,)
    )
    numbers = ", ".join(f"{failed:,}" for failed in trend)
    return (
        f'<svg width="{max(1, width * len(trend))}" height="{height}" role="img">'
        f"<title>failed in the last runs: {numbers}</title>{bars}</svg>"
    )


def _examples(result: Result) -> str:
    shown = result.examples[:SHOWN_EXAMPLES]
    rows = "".join(_example(example) for example in shown)
    return (
        f'<tr class="examples"><td colspan="8"><details open><summary>{len(shown):,} of '
        f"{result.rows_failed:,} failing; up to 1,000 stand in check_failures</summary>"
        "<table><thead><tr><th>Key</th><th>Object</th><th>Line</th><th>Row</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details></td></tr>"
    )


def _example(example: Example) -> str:
    source = escape(example.object_key or "")
    line = "" if example.line_number is None else f"{example.line_number:,}"
    key, row = (
        escape(in_one_line(text, _SHOWN_LETTERS))
        for text in (example.key_text, example.values_text)
    )
    return (
        f"<tr><td><code>{key}</code></td><td>{source}</td><td>{line}</td>"
        f"<td><code>{row}</code></td></tr>"
    )
