"""``kedro metrics``: answer from what is shared, or from the rows of users, and print the answer.

What is shared was decided by the reporting pipeline, week by week, so that no two answers can be
subtracted. A restricted answer comes from the published copy, a file of its own: a query neither
waits for a run nor makes one wait.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
from ibis import _
from ibis.common.exceptions import TableNotFound

from lingokids.errors import LingokidsError, did_you_mean, printable
from lingokids.query import side_by_side
from lingokids.query.answer import answer, choose_rows, in_span, with_values
from lingokids.query.question import Question, parse_where
from lingokids.schema.parameters import Day, Group, Parameters
from lingokids.storage.answers import AnswerDataset
from lingokids.storage.duckdb.expressions import to_arrow
from lingokids.storage.duckdb.published_copy import missing_in_copy, open_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    import pyarrow as pa


@dataclass(frozen=True)
class Answer:
    """The groups of an answer, the number of hidden ones beside them, and notes."""

    rows: pa.Table
    hidden: int
    notes: tuple[str, ...]


class Places(NamedTuple):
    """Where an environment has its published copy, and what it shares."""

    copy: Path
    shared: Path


class _Days(Group):
    """The options that are days."""

    since: Day
    until: Day


def find_places(project_path: Path, env: str | None) -> Places:
    """Find the published copy of an environment, and the folder of what it shares.

    Raises:
        LingokidsError: There is no such environment, or a parameter is wrong.
    """
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=project_path, env=env) as session:
        context = session.load_context()  # type: ignore[attr-defined]
        places = context.config_loader["globals"]
        Parameters.read(context.config_loader["parameters"])
    return Places(Path(places["warehouse"]["published"]), Path(places["shared"]))


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


# --- what is shared --------------------------------------------------------------------------


def ask_shared(places: Places, question: Question) -> Answer:
    """Answer a question from the groups that are shown to everyone.

    Raises:
        LingokidsError: Nothing is shared yet, or no answer to this question is.
    """
    subject, split = question.subject, _split_of(question)
    shown, hidden = (_load(places, name) for name in ("shown_groups", "hidden_groups"))
    known = [side_by_side.splits_of(groups, subject) for groups in (shown, hidden)]
    _refuse_what_is_not_shared(question, split, set().union(*known))
    groups = ibis.memtable(side_by_side.groups_of(shown, *split, subject=subject))
    if "activity_name" in question.by:
        groups = groups.left_join(ibis.memtable(_load(places, "activity_names")), "activity_id")
    numbers = {"day": "date", "weeks_after_registration": "int64"}
    groups = groups.cast({name: numbers[name] for name in split if name in numbers})
    rows = choose_rows(_of_question(groups, question), question).to_pyarrow()
    counts = ibis.memtable(side_by_side.groups_of(hidden, *split, subject=subject))
    counts = in_span(counts.filter(_.filter_name.isnull()), question, counts.week)
    number = int(counts.groups.sum().fill_null(0).to_pyarrow().as_py())
    if number:
        of = f" by {' and '.join(split)}" if split else ""
        note = (
            f"Hidden: {number:,} groups{of}, of too few users, mostly of one, or needed to protect "
            "such a group." + (" A greater one may be among them." if question.top else "")
        )
    else:
        note = "" if rows.num_rows else _why_nothing(groups, question, "no, or too few,", _UNTIL)
    return Answer(rows, number, tuple(map(printable, filter(None, [note]))))


_WIDER = "the parameter reporting.dimensions adds others to the next week"
_RESTRICTED = "or add --restricted: any question and span, small groups included"
_UNTIL = (
    "Nothing to show of these weeks: uv run kedro run --pipeline reporting adds those that have "
    f"closed since, {_RESTRICTED}."
)


def _load(places: Places, name: str) -> pa.Table:
    file = places.shared / f"{name}.parquet"
    return AnswerDataset(filepath=str(file), published=str(places.copy)).load()


def _split_of(question: Question) -> tuple[str, ...]:
    """What the groups of an answer differ in beside their week; a title only repeats its id."""
    names = dict.fromkeys((*question.by, *question.where))
    if "activity_id" in question.by:
        names.pop("activity_name", None)
    return (*names, *(("day",) if question.grain == "day" else ()))


def _of_question(groups: ir.Table, question: Question) -> ir.Table:
    matching = with_values(in_span(groups, question, groups[question.period[0]]), question)
    return matching.select(*question.period, *question.by, *question.metrics)


def _refuse_what_is_not_shared(
    question: Question, split: tuple[str, ...], known: set[tuple[str, ...]]
) -> None:
    for name in question.metrics:
        if name not in (shared := side_by_side.SHARED[question.subject.name]):
            raise LingokidsError(
                f"{name} is not among what is shared: ask for {', '.join(shared)}, {_RESTRICTED}."
            )
    if question.grain not in ("week", "day") or (question.grain == "day" and len(split) > 1):
        raise LingokidsError(
            "What is shared is of whole weeks that have closed: add --grain week (or day, without "
            f"--by and --where), {_RESTRICTED}."
        )
    for name, day in (("since", question.since), ("until", question.until)):
        if question.grain == "week" and day is not None and day.weekday():
            monday = day - timedelta(days=day.weekday())
            raise LingokidsError(
                f"{name} is {day}, within a week, and what is shared is of whole weeks: write a "
                f"Monday, such as {monday}, {_RESTRICTED}."
            )
    for name, values in question.where.items():
        if len(values) > 1 and name not in question.by:
            raise LingokidsError(
                f"{' and '.join(values)} are not shared as one: add --by {name}, {_RESTRICTED}."
            )
    if len(split) > side_by_side.MOST_NAMES or (known and tuple(sorted(split)) not in known):
        by = f"by {' and '.join(split)}" if split else "without a split"
        names = ", ".join(sorted(set().union(*known)))
        raise LingokidsError(
            f"No answer {by} is shared: name one or two of {names} ({_WIDER}), {_RESTRICTED}."
        )


# --- restricted ------------------------------------------------------------------------------


def ask(copy: Path, question: Question) -> Answer:
    """Answer a question from the rows of users, with small groups.

    Raises:
        LingokidsError: There is no copy, or it cannot be read.
    """
    subject = question.subject
    table = _open(copy, subject.table_name)
    rows = to_arrow(ibis.get_backend(table), answer(table, question))
    nothing = "Nothing to show: no users match these conditions on these days."
    notes = [] if rows.num_rows else [_why_nothing(subject.rows(table), question, "no", nothing)]
    return Answer(rows, 0, tuple(map(printable, notes)))


def _open(copy: Path, name: str) -> ir.Table:
    connection = ibis.duckdb.from_connection(open_copy(copy))
    try:
        return connection.table(name)
    except TableNotFound:
        raise LingokidsError(missing_in_copy(copy, name)) from None


def _why_nothing(rows: ir.Table, question: Question, how_many: str, otherwise: str) -> str:
    """Say which condition matches nothing; suggest the nearest value."""
    for name, values in question.where.items():
        known = rows.select(value=rows[name].cast("string")).distinct()
        known = sorted(known.filter(_.value.notnull()).value.to_pyarrow().to_pylist())
        for value in values:
            if value not in known:
                hint = did_you_mean(value, known)
                return f"Nothing to show: {how_many} users with {name}={value}.{hint}"
    return otherwise


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
