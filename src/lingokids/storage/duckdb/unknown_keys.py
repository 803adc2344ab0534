"""Finds the keys of a JSON line that its record has no field for.

It is SQL text because Ibis has no word for the engine's JSON functions. Four tests, each for the
lines that the one before cannot clear, and none can miss a key. Every
key ends with a colon, and not after a digit: a line of no more such colons than there are values
of its fields and objects that hold them has no other key. Counting costs a third of a parse. A
field that is null as a rule (``null_after``) and an object of nothing are looked for in the text.
Where other fields are null, their keys are looked up, which costs a parse. Only the lines that are
odd after that have their keys listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lingokids.storage.duckdb.expressions import text

if TYPE_CHECKING:
    from lingokids.schema import Field

Path = tuple[str, ...]
Shape = dict[str, Any]

#: What the engine calls a type, and what JSON does.
_JSON_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "OBJECT": "object",
    "ARRAY": "array",
    "NULL": "null",
}

#: What the engine takes for JSON all the same; in a string such a comma is text.
_COMMA = r"""
    regexp_matches(line_text, ',\s*[}\]]') AND
    regexp_matches(regexp_replace(line_text, '"(?:[^"\\]|\\.)*"', '', 'g'), ',\s*[}\]]')
"""

_LONG_BYTES = 2_048
_NONE = "NULL::STRUCT(key VARCHAR, json_type VARCHAR)[]"


class _Container(NamedTuple):
    """An object of the record: where it stands, and what the keys in it are."""

    path: Path
    keys: Shape

    @property
    def dotted(self) -> str:
        return ".".join(self.path)


def with_odd_marked(lines: str, fields: tuple[Field, ...], shape: Shape) -> str:
    """Lines with ``rescued`` as '' where ``with_unknown_keys`` must look, else NULL.

    Looking at them costs by the vector of lines, however few in it are odd: so these are
    gathered first. Long lines that are not cleared by counting are too, unparsed: a vector of
    them would take much memory.
    """
    containers = list(_containers(shape))
    required = [_parts(field) for field in fields if field.required]
    optional = [_parts(field) for field in fields if not field.required]
    return f"""
        SELECT * EXCLUDE (values_, others_, keys_at_most), {_NONE} AS unknown_keys,
            CASE WHEN problem IS NOT NULL OR is_blank THEN NULL
            WHEN {_is_empty_object(fields)} THEN ''
            WHEN others_ + values_ = keys_at_most THEN NULL
            WHEN others_ + values_ + {_how_many(_usual(fields, containers))} = keys_at_most
            THEN NULL
            WHEN strlen(line_text) > {_LONG_BYTES} THEN ''
            WHEN others_ + list_count(json_type(line_text, {_pointers(optional)})) = keys_at_most
            THEN NULL ELSE '' END AS rescued
        FROM (SELECT *, {_how_many(map(_is_there, optional))} AS values_,
            {_how_many([*map(_is_there, required), *map(_has_any, containers[1:])])} AS others_
        FROM ({lines}))
    """


def with_unknown_keys(lines: str, fields: tuple[Field, ...], shape: Shape) -> str:
    """Lines with their unknown keys, and a wrong shape as their problem.

    Every line is looked at whole, which is for those that ``with_odd_marked`` marks.

    Args:
        lines: A query of lines: ``line_text``, ``problem``, ``is_blank`` and ``record`` among its
            columns.
        fields: The fields of the record.
        shape: The record's shape.

    Returns:
        The query with ``unknown_keys`` (a list of key and json_type) and ``rescued`` (their
        values, as JSON, each in its place): NULL where there is none.
    """
    containers = list(_containers(shape))
    paths = [container.path for container in containers[1:]] + [_parts(field) for field in fields]
    found = ", ".join(
        f"{_unknown_in(place, container)} AS {_found(container)}"
        for place, container in zip(_places(containers), containers, strict=True)
    )
    any_found = " + ".join(f"len({_found(container)})" for container in containers)
    named = ", ".join(_named(container) for container in containers)
    looked_at = f"""
        SELECT *, {found}
        FROM (SELECT *,
            CASE WHEN is_odd_ THEN json_keys(line_text, {_pointers(it.path for it in containers)})
            END AS keys_,
            CASE WHEN is_odd_ THEN json_type(line_text, {_pointers(paths)}) END AS types_
        FROM (SELECT *, problem IS NULL AND NOT is_blank AS is_odd_
        FROM ({lines})))
    """
    for container in reversed(containers):  # one in the other, lists would take long to plan
        looked_at = f"SELECT *, {_object_of(container)} AS {_rest(container)} FROM ({looked_at})"
    working = ", ".join(column(each) for column in (_found, _rest) for each in containers)
    return f"""
        SELECT * EXCLUDE (is_odd_, keys_, types_, {working})
            REPLACE (coalesce(problem, {_wrong_shape(containers, paths, fields)}) AS problem),
            CASE WHEN {any_found} > 0 THEN list_concat({named}) END AS unknown_keys,
            {_rest(containers[0])} AS rescued
        FROM ({looked_at})
    """


def _containers(shape: Shape, path: Path = ()) -> Iterator[_Container]:
    """The record, then the objects in it."""
    yield _Container(path, shape)
    for key, inner in shape.items():
        if isinstance(inner, dict):
            yield from _containers(inner, (*path, key))


def _value(path: Path) -> str:
    return ".".join(("record", *(f'"{key}"' for key in path)))


def _is_there(path: Path) -> str:
    return f"{_value(path)} IS NOT NULL"


def _has_any(container: _Container) -> str:
    """Whether an object has a value: an empty one may be a scalar in its place."""
    return " OR ".join(_is_there((*container.path, key)) for key in container.keys)


def _how_many(conditions: Iterable[str]) -> str:
    return " + ".join(("0", *(f"({condition})::INTEGER" for condition in conditions)))


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(map(text, values))}]"


def _parts(field: Field) -> Path:
    return tuple(field.path.split("."))


def _pointers(paths: Iterable[Path]) -> str:
    return _texts(map(_pointer, paths))


def _pointer(path: Path) -> str:
    return "".join(f"/{key}" for key in path)


def _places(values: list[_Container]) -> range:
    """Places in the engine's lists, which begin with 1."""
    return range(1, len(values) + 1)


def _is_empty_object(fields: tuple[Field, ...]) -> str:
    """Whether an empty object may be where text should be; others show by keys."""
    tests = [f"{_value(_parts(field))} = '{{}}'" for field in fields if field.type == "string"]
    return " OR ".join(("false", *tests))


def _usual(fields: tuple[Field, ...], containers: list[_Container]) -> list[str]:
    """Conditions by which a key left over is a field or an object after all.

    A field that is null, right after a text that has been counted in its place; an object of
    nothing. As many keys must be left over as conditions hold: then none of them is another's.
    """
    tests = []
    for field in fields:
        if field.null_after:
            *parents, leaf = _parts(field)
            before = _value((*parents, field.null_after))
            start, end = text(f'"{field.null_after}":"'), text(f'","{leaf}":null')
            tests.append(
                f"CASE WHEN {before} IS NOT NULL AND {_value(_parts(field))} IS NULL "
                f"THEN contains(line_text, {start} || {before} || {end}) ELSE false END"
            )
    for container in containers[1:]:
        if not any(isinstance(inner, dict) for inner in container.keys.values()):
            empty = text(f'"{container.path[-1]}":{{}}')
            tests.append(
                f"CASE WHEN {_is_there(container.path)} AND NOT ({_has_any(container)}) "
                f"THEN contains(line_text, {empty}) ELSE false END"
            )
    return tests


def _wrong_shape(containers: list[_Container], paths: list[Path], fields: tuple[Field, ...]) -> str:
    """The first thing of a wrong shape in a line that is odd, in words, or NULL."""
    cases = [f"WHEN {_COMMA} THEN 'not JSON: a comma stands before a closing bracket'"]
    cases += [
        f"WHEN types_[{place}] NOT IN ('OBJECT', 'NULL') "
        f"THEN {text(f'{container.dotted} is not an object')}"
        for place, container in enumerate(containers[1:], start=1)
    ]
    cases += [
        f"WHEN len(keys_[{place}]) <> len(list_distinct(keys_[{place}])) "
        f"THEN {text('a key stands twice in ' + (container.dotted or 'the record'))}"
        for place, container in zip(_places(containers), containers, strict=True)
    ]
    cases += [
        f"WHEN types_[{paths.index(_parts(field)) + 1}] IN ('OBJECT', 'ARRAY') "
        f"THEN {text(f'{field.path} is not text')}"
        for field in fields
        if field.type == "string"
    ]
    cases += [  # whole numbers keep their spelling; the engine writes 7.10 as 7.1
        f"WHEN types_[{paths.index(_parts(field)) + 1}] = 'DOUBLE' "
        f"AND regexp_matches({_value(_parts(field))}, '^-?[0-9]+[.eE]') "
        f"THEN {text(f'{field.path} is not text: put the number in quotes')}"
        for field in fields
        if field.type == "string"
    ]
    return f"CASE WHEN is_odd_ THEN CASE {' '.join(cases)} END END"


def _found(container: _Container) -> str:
    """The column of what is unknown in one object of the record."""
    return f'"found_in_{container.dotted}"'


def _unknown_in(place: int, container: _Container) -> str:
    """The unknown keys of one object, with their types and values.

    All members are asked for at once: asking for each would parse the line as often.
    """
    path = text("$" + "".join(f'."{key}"' for key in container.path) + ".*")
    members = f"list_zip(keys_[{place}], json_type(line_text, {path}), line_text -> {path})"
    is_unknown = f"lambda member: member[1] NOT IN {_texts(container.keys)}"
    return f"CASE WHEN is_odd_ THEN list_filter({members}, {is_unknown}) END"


def _named(container: _Container) -> str:
    """The paths and types of what is unknown in one object.

    A key is put in quotes, doubled inside, where it has a dot or a quote or is empty: so a path
    says one thing only.
    """
    key, prefix = "member[1]", text(f"{container.dotted}." if container.path else "")
    name = f"""
        CASE WHEN {key} = '' OR contains({key}, '.') OR contains({key}, '"')
        THEN '"' || replace({key}, '"', '""') || '"' ELSE {key} END
    """
    named = " ".join(f"WHEN '{engine}' THEN '{name}'" for engine, name in _JSON_TYPES.items())
    return f"""
        list_transform({_found(container)}, lambda member: {{'key': {prefix} || {name},
            'json_type': CASE member[2] {named} ELSE 'number' END}})
    """


def _rest(container: _Container) -> str:
    """The column of one object's JSON without the fields."""
    return f'"rest_of_{container.dotted}"'


def _object_of(container: _Container) -> str:
    """What is unknown in one object and those in it, as JSON, or NULL."""
    members = f"list_transform({_found(container)}, "
    members += "lambda member: to_json(member[1]) || ':' || member[3])"
    inner = [
        f"{text(json.dumps(key) + ':')} || {_rest(_Container((*container.path, key), keys))}"
        for key, keys in container.keys.items()
        if isinstance(keys, dict)
    ]
    if inner:
        members = f"list_concat({members}, [{', '.join(inner)}])"
    return f"('{{' || nullif(array_to_string({members}, ','), '') || '}}')"
