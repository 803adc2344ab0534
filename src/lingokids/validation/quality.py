"""What makes a raw line unusable, and the reason recorded for it.

The rules, in their order: what the source found (not UTF-8, not JSON, not an object, too
long, damaged gzip; an object, list or scalar in another's place; a key given twice); a
required field is missing; a field has the wrong type; an instant is not plausible. Empty text
counts as absent, and so does JSON's null. Values are validated as delivered, before rounding.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import ibis

from lingokids import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir

    from lingokids.schema import Field
    from lingokids.schema.parameters import Instants

PROMISED = {
    "uuid": "a uuid",
    "array<uuid>": "a list of uuids",
    schema.INSTANT: "an instant",
    schema.SECONDS: "a number of 0 or more",
    "boolean": "true or false",
}

#: What a line is validated by, beside its record.
_VALIDATED_BY = ("is_blank", "problem", "line_text")

#: An instant as ISO 8601 has it. A named zone is none: the engine would lend it to the next row
#: that has no zone of its own.
_ISO_INSTANT = (
    r"^\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d*)?)?)?"
    r"(\s*(Z|UTC)|[+-](0\d|1[0-8])(:?[0-5]\d)?)?\s*$"
)
_NEGATIVE = r"^[^\d.]*-[0._]*[1-9]"  # the engine takes white space before, and 1_000
_LAST_YEAR = 9999  # that a day has in Python, and in most readers

#: Length of 'YYYY-MM-DD HH:MM:SS.mmm', the usual form of an instant.
_PLAIN_INSTANT = 23


def validate(lines: ir.Table, instants: Instants, fields: tuple[Field, ...]) -> ir.Table:
    """Type the fields of each line and say which lines are unusable.

    Grain: one row per line, blank ones included.

    Args:
        lines: line_text, problem (what the source found wrong, or NULL), is_blank, record (struct
            of text values, shaped as ``fields``), and what else is known of a line: where it
            stands, when it landed, what the record leaves out.
        instants: The parameters: which instants are plausible.
        fields: The fields of the record, in the order in which they are checked.

    Returns:
        What is known of the line, as it came; the typed fields; is_blank; reason, the first rule
        broken, or NULL; line_text, only where there is a reason, without its line end.
    """
    known = [name for name in lines.columns if name not in {"record", *_VALIDATED_BY}]
    values = {field.column: _value(lines, field) for field in fields}
    typed = lines.select(
        *known,
        *_VALIDATED_BY,
        **{field.column: _typed(values[field.column], field.type) for field in fields},
        **{f"{field.column}_text": values[field.column] for field in fields if _can_fail(field)},
    )
    kept = (*known, *values, "is_blank", "line_text")
    validated = typed.select(*kept, reason=_first_broken_rule(typed, instants, fields))
    text = validated.line_text.re_replace(r"\r?\n$", "")
    return validated.mutate(line_text=ibis.cases((validated.reason.notnull(), text)))


validate_events = partial(validate, fields=schema.EVENT_FIELDS)
validate_users = partial(validate, fields=schema.USER_FIELDS)
validate_activities = partial(validate, fields=schema.ACTIVITY_FIELDS)


def _can_fail(field: Field) -> bool:
    return field.type in PROMISED


def _value(lines: ir.Table, field: Field) -> ir.Value:
    value = lines.record
    for key in field.path.split("."):
        value = value[key]
    return value.nullif("")


def _typed(value: ir.Value, column_type: str) -> ir.Value:
    """Give the value its type, or NULL where it has not got it."""
    if column_type == "string":
        return value
    if column_type == schema.INSTANT:
        return _instant(value)
    if column_type == "boolean":
        return ibis.cases((value == "true", True), (value == "false", False))
    return value.try_cast(column_type)


def _instant(text: ir.StringValue) -> ir.TimestampValue:
    """Read an instant; an offset is honoured, without one it is UTC.

    A cast to a timestamp without a zone would drop the offset silently, and one to a
    timestamp with a zone costs six times as much: so the usual form, which has no room for
    an offset, takes the first way.
    """
    milliseconds = text.substr(20, 1)
    is_plain = (
        (text.length() == _PLAIN_INSTANT)
        & (text.substr(19, 1) == ".")
        & milliseconds.between("0", "9")
    )
    zoned = text.try_cast("timestamp('UTC')").cast(schema.INSTANT)
    return ibis.cases(
        (is_plain, text.try_cast(schema.INSTANT)), (text.re_search(_ISO_INSTANT), zoned)
    )


def _first_broken_rule(
    typed: ir.Table, instants: Instants, fields: tuple[Field, ...]
) -> ir.StringValue:
    missing = [
        (typed[_text_column(field)].isnull(), f"{field.path} is missing")
        for field in fields
        if field.required
    ]
    wrong = [
        (_is_wrong(typed, field), f"{field.path} is not {PROMISED[field.type]}")
        for field in fields
        if _can_fail(field)
    ]
    return ibis.cases(
        (typed.is_blank, ibis.null("string")),
        (typed.problem.notnull(), typed.problem),
        *missing,
        *wrong,
        *(
            rule
            for field in fields
            if field.type == schema.INSTANT
            for rule in _implausible(typed, instants, field)
        ),
    )


def _implausible(
    typed: ir.Table, instants: Instants, field: Field
) -> Iterator[tuple[ir.BooleanValue, str]]:
    value = typed[field.column]
    yield (
        value < ibis.timestamp(str(instants.earliest)),
        f"{field.path} is before {instants.earliest}",
    )
    if not field.may_lie_ahead:
        days = instants.days_ahead
        latest = typed.landed_at + ibis.interval(days=days)
        yield value > latest, f"{field.path} is over {days} days after its object landed"
    yield value.year() > _LAST_YEAR, f"{field.path} is after the year {_LAST_YEAR}"


def _text_column(field: Field) -> str:
    return f"{field.column}_text" if _can_fail(field) else field.column


def _is_wrong(typed: ir.Table, field: Field) -> ir.BooleanValue:
    value = typed[field.column]
    text = typed[f"{field.column}_text"]
    is_wrong = text.notnull() & value.isnull()
    if field.type == schema.SECONDS:  # only texts with a minus are worth the expression
        is_negative = ibis.cases((text.contains("-"), text.re_search(_NEGATIVE)), else_=False)
        return is_wrong | is_negative
    if field.type == "array<uuid>":
        return is_wrong | (value.filter(lambda id_: id_.isnull()).length() > 0).fill_null(False)
    return is_wrong
