"""``kedro metrics``: query the published copy and print the answer.

The copy is a file of its own, so a query neither waits for a run nor makes one wait.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
from ibis import _

from lingokids.errors import LingokidsError, did_you_mean, printable
from lingokids.query import Question
from lingokids.query.answer import cells_of, choose_rows, mark_hidden, user_counts_of
from lingokids.query.question import parse_where
from lingokids.query.small_groups import SHOW_ALL, has_small
from lingokids.schema.parameters import Day, Group, Parameters
from lingokids.storage.duckdb.published_copy import missing_in_copy, open_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    import pyarrow as pa


@dataclass(frozen=True)
class Answer:
    """Groups that may be shown, the number of hidden ones, and notes."""

    rows: pa.Table
    hidden: int
    notes: tuple[str, ...]


class _Days(Group):
    """The options that are days."""

    since: Day
    until: Day


def find_copy(project_path: Path, env: str | None) -> tuple[Path, int]:
    """Find the published copy of an environment and its parameter ``smallest_group``.

    Raises:
        LingokidsError: There is no such environment, or the parameter is wrong.
    """
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=project_path, env=env) as session:
        context = session.load_context()  # type: ignore[attr-defined]
        published = context.config_loader["globals"]["warehouse"]["published"]
        parameters = Parameters.read(context.config_loader["parameters"])
    return Path(published), parameters.smallest_group


def parse_question(asked: dict[str, Any]) -> Question:
    """Parse the options of the command.

    Raises:
        LingokidsError: A name or a value is invalid.
    """
    days = _Days.read({name: asked[name] for name in ("since", "until")})
    return Question(
        metrics=_names("metric", asked["metric"]),
        by=_names("by", asked["by"]),
        grain=asked["grain"],
        where=parse_where(asked["where"]),
        since=days.since,
        until=days.until,
        top=asked["top"],
        per=_names("per", asked["per"]),
    )


def _names(option: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """Names given one by one, or separated by commas."""
    for part in given:
        if not all(name.strip() for name in part.split(",")):
            raise LingokidsError(
                f"{option} is {part!r}: a name is missing; write one, or several separated by "
                "commas."
            )
    return tuple(name.strip() for part in given for name in part.split(","))


def ask(copy: Path, smallest_group: int, question: Question) -> Answer:
    """Answer a question from the published copy.

    Raises:
        LingokidsError: There is no copy, or it cannot be read.
    """
    table = _open(copy, question.subject.table_name)
    cells = cells_of(table, question).cache()
    # suppression takes longer than the count, and where no cell is small it hides nothing
    is_any_small = has_small(cells, smallest_group, user_counts_of(question)).to_pyarrow().as_py()
    groups = mark_hidden(
        cells, table, question, smallest_group if is_any_small else SHOW_ALL
    ).cache()
    rows = choose_rows(groups, question).to_pyarrow()
    hidden = int(groups.is_hidden.sum().fill_null(0).to_pyarrow().as_py())
    notes = []
    if hidden:
        notes.append(
            f"Hidden: {hidden:,} of {groups.count().to_pyarrow().as_py():,} groups, with fewer "
            f"than {smallest_group} users or needed to protect such a group."
            + (" A greater one may be among them." if question.top is not None else "")
        )
    elif not rows.num_rows:
        notes.append(_why_nothing(table, question, smallest_group))
    return Answer(rows, hidden, tuple(map(printable, notes)))


def _open(copy: Path, name: str) -> ir.Table:
    connection = ibis.duckdb.from_connection(open_copy(copy))
    if name not in connection.list_tables():
        raise LingokidsError(missing_in_copy(copy, name))
    return connection.table(name)


def _why_nothing(table: ir.Table, question: Question, smallest_group: int) -> str:
    """Say which condition matches no visible group; suggest the nearest value."""
    rows = question.subject.rows(table)
    for name, values in question.where.items():
        values_there = rows.group_by(value=rows[name].cast("string"))
        users = values_there.aggregate(users=_.user_id.nunique())
        known = users.filter(_.users >= smallest_group).value.to_pyarrow().to_pylist()
        for value in values:
            if value not in known:
                hint = did_you_mean(value, sorted(known))
                return f"Nothing to show: no, or too few, users with {name}={value}.{hint}"
    return "Nothing to show: no, or too few, users match these conditions on these days."


# --- print ----------------------------------------------------------------------------------


def as_table(answer: Answer) -> str:
    """Aligned columns with rounded numbers, then the notes."""
    import tabulate

    tabulate.MIN_PADDING = 0  # else headers of numbers are padded by two
    rows = [[_readable(value) for value in row.values()] for row in answer.rows.to_pylist()]
    table = tabulate.tabulate(
        rows,
        headers=answer.rows.column_names,
        colalign=["right" if _is_number(field.type) else "left" for field in answer.rows.schema],
        disable_numparse=True,
        preserve_whitespace=True,
    )
    return "\n".join([*([table, ""] if rows else []), *answer.notes]).rstrip("\n")


def as_csv(answer: Answer) -> str:
    """A header and the exact values."""
    rows = [answer.rows.column_names, *(row.values() for row in answer.rows.to_pylist())]
    return "\n".join(",".join(map(_csv_cell, row)) for row in rows)


def as_json(answer: Answer) -> str:
    """The rows, and the number of hidden groups."""
    return json.dumps(
        {"rows": answer.rows.to_pylist(), "groups_not_shown": answer.hidden},
        default=lambda value: float(value) if isinstance(value, Decimal) else str(value),
        indent=1,
    )


#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001

FORMATS: dict[str, Callable[[Answer], str]] = {"table": as_table, "csv": as_csv, "json": as_json}


def _csv_cell(value: Any) -> str:
    """A cell; a text that a spreadsheet takes for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = printable(f"'{value}" if value.startswith(_FORMULAS) else value, besides="\t\r\n")
    is_plain = not any(letter in text for letter in ',"\r\n')
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def _readable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | date):
        return printable(str(value))
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def _is_number(arrow_type: pa.DataType) -> bool:
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_decimal)
    return any(test(arrow_type) for test in tests)
