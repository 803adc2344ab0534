"""The data dictionary: stored tables, columns and rules, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lingokids.schema.columns import COLUMNS, NONE
from lingokids.schema.contract import Contract
from lingokids.schema.rules import Rule

_HEAD = """\
# Data dictionary

Generated from the contracts in this folder by `uv run kedro contracts dictionary`: edit those, then
regenerate this page. `uv run kedro contracts export` writes them as Open Data Contract Standard,
one file a table.

A *restricted* table is for those who may see families' data: its rows are of people, or its groups
may be small. Nothing in a *shareable* one is of a person. *Personal* says what a column has of one:
an `identifier` or `free text` (anything that was delivered) is in no check report, log or preview;
a `quasi-identifier` tells who it is only together with others.

A column is defined once for the whole warehouse: tables and their comments, this page, exports and
checks follow from it. A type marked `!` is NOT NULL: the engine enforces it on every write.

Every table has the rules `schema_kept` (error: the promised columns exist, with their types),
`no_other_columns` (warn: no unexpected columns), and `<column>_not_null` (error) for each column
marked `!`. They are checked by `uv run kedro run --pipeline checks` only: in other runs Kedro's
validator and the engine enforce them.

The other rules are listed below each table. *Each run*: checked on the changed rows, before the
commit. *On demand*: by `--pipeline checks`, which checks every rule on every row.

Rules on values (range, accepted values, pattern) ignore NULL; rules on keys (unique, foreign key)
fail on a NULL key. A broken rule of severity `error` rolls the run back; `warn` is only logged.
`checks.severities` in `conf/base/parameters.yml` overrides a severity.
"""


def dictionary(tables: Iterable[Contract]) -> str:
    """Render the page."""
    return "\n".join([_HEAD, *(_section(contract) for contract in tables)])


def _section(contract: Contract) -> str:
    grain = ", ".join(f"`{name}`" for name in contract.grain)
    about = [f"## {contract.table_name}\n", f"{contract.meaning}\n"]
    audience = "Shareable" if contract.promise.is_shareable else "Restricted"
    about += [f"Grain: {grain}. Owner: {contract.promise.owner}. {audience}.\n"]
    columns = markdown_table(
        ("Column", "Type", "Unit", "Personal", "Meaning"),
        [
            (
                f"`{name}`",
                f"{dtype}{' !' if name in contract.never_null else ''}",
                COLUMNS[name].unit,
                _personal(name),
                COLUMNS[name].meaning,
            )
            for name, dtype in contract.nullable_schema.items()
        ],
    )
    rules = [rule for rule in contract.rules if not rule.is_enforced]
    if not rules:
        return "\n".join([*about, columns])
    return "\n".join([*about, columns, _rules(contract, rules)])


def _personal(name: str) -> str:
    said = COLUMNS[name].classification
    return "" if said == NONE else said


def _rules(contract: Contract, rules: Sequence[Rule]) -> str:
    return markdown_table(
        ("Rule", "What must hold", "Severity", "Tolerated", "Checked"),
        [
            (
                f"`{rule.name}`",
                rule.meaning,
                rule.severity,
                rule.tolerance,
                "each run" if contract.promise.each_run and rule.each_run else "on demand",
            )
            for rule in rules
        ],
    )


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table, as wide as its text."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
