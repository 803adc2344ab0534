"""The data dictionary: every stored table, its columns and its rules, as a page made of contracts.

Here: the page's words and layout. Elsewhere: the definitions themselves (``columns``,
``promises``, and the contracts of each layer).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lingokids.schema.columns import COLUMNS
from lingokids.schema.contract import Contract
from lingokids.schema.rules import NoOtherColumns, NotNull, Rule, SchemaKept

_HEAD = """\
# Data dictionary

Made of `columns.py`, `promises.py` and the contracts of each layer by `uv run kedro contracts
dictionary`: change them there, and print this page anew. `uv run kedro contracts export` writes the
same as Open Data Contract Standard, a file a table.

One definition a column holds for the whole warehouse: it makes the tables and their comments, this
page, the exports and the checks. A type marked `!` is never NULL: the engine refuses such a row
when it is written.

Every table has the rules `schema_kept` (error: every promised column is there, with its promised
type), `no_other_columns` (warn: there is no column besides), and `<column>_not_null` (error) for
each column marked `!`. They are checked by `uv run kedro run --pipeline checks`; a run need not,
because Kedro's validator and the engine refuse what would break them.

The other rules stand below each table. *Each run*: checked on the rows that a run changed, before
its commit. *On demand*: by `--pipeline checks`, which checks every rule on every row.

A rule about a value (range, accepted values, form) says nothing of NULL; a rule about a key
(unique, stands in another table) fails where the key is NULL. A broken rule of severity `error`
rolls the run back; one of `warn` is logged and kept. What is tolerated stands beside the rule.
`checks.severities` in `conf/base/parameters.yml` makes a rule matter more or less.
"""


def dictionary(tables: Iterable[Contract]) -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(_section(contract) for contract in tables)])


def _section(contract: Contract) -> str:
    grain = ", ".join(f"`{name}`" for name in contract.grain)
    about = [f"## {contract.table_name}\n", f"{contract.meaning}\n"]
    about += [f"Grain: {grain}. Owner: {contract.promise.owner}.\n"]
    columns = markdown_table(
        ("Column", "Type", "Unit", "Meaning"),
        [
            (
                f"`{name}`",
                f"{dtype}{' !' if name in contract.never_null else ''}",
                COLUMNS[name].unit,
                COLUMNS[name].meaning,
            )
            for name, dtype in contract.nullable_schema.items()
        ],
    )
    rules = [rule for rule in contract.rules if not _is_of_every_table(rule)]
    if not rules:
        return "\n".join([*about, columns])
    return "\n".join([*about, columns, _rules(contract, rules)])


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


def _is_of_every_table(rule: Rule) -> bool:
    is_enforced = isinstance(rule, NotNull) and rule.is_enforced
    return is_enforced or isinstance(rule, SchemaKept | NoOtherColumns)


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table, as wide as its text."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
