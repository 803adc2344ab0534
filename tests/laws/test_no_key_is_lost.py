"""What a line's fields hold and what is rescued of it give back the line: nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from builders import a_user_record, an_activity_record, an_event_record
from lingokids import schema
from lingokids.storage.duckdb.parsing import _records_sql, _with_problems
from lingokids.storage.duckdb.unknown_keys import with_odd_marked, with_unknown_keys
from lingokids.storage.raw.lines import Piece, to_arrow

FIELDS = {
    "events": schema.EVENT_FIELDS,
    "users": schema.USER_FIELDS,
    "activities": schema.ACTIVITY_FIELDS,
}
RECORDS = {"events": an_event_record, "users": a_user_record, "activities": an_activity_record}
ODD = st.sampled_from(["", "a:n", ":null", '"name":null', "x.y", "1:2", '\\":', "[", "{}"])
TEXT = st.one_of(ODD, st.text(st.characters(codec="utf-8"), max_size=8))
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), FLOAT, TEXT)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
KEYS = st.one_of(TEXT, st.sampled_from(["name", "data", "device", "version", "user_id", "type"]))
WAYS = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"separators": (" ,\t", " : "), "ensure_ascii": False},
        {"separators": (", ", ": ")},
    ]
)
USUAL_NULLS = [
    {"loading_time": None},
    {"collection_id": "", "loading_time": None},
    {'x"collection_id': "", "loading_time": None},
]
OBJECTS = {"events": ("data", "context", "context.device", "context.os", "context.app")}


@st.composite
def _lines(draw: st.DrawFn, dataset: str) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for number in range(draw(st.integers(1, 4))):
        record = json.loads(json.dumps(RECORDS[dataset]()))
        for _ in range(draw(st.integers(0, 4))):
            place = _down(record, draw(st.sampled_from(["", *OBJECTS.get(dataset, ())])))
            place[draw(KEYS)] = draw(JSON)
        if dataset == "events" and draw(st.booleans()):
            place = _down(record, draw(st.sampled_from(["", *OBJECTS["events"]])))
            place |= draw(st.sampled_from(USUAL_NULLS))
        for field in FIELDS[dataset]:
            if not field.required and draw(st.integers(0, 5)) == 0:
                *parents, leaf = field.path.split(".")
                _down(record, ".".join(parents))[leaf] = draw(st.one_of(st.none(), JSON))
        if number == 0 and draw(st.booleans()):
            lines.append(("not JSON", {}))
        lines.append((json.dumps(record, **draw(WAYS)), record))
    return lines


def _down(record: dict[str, Any], path: str) -> dict[str, Any]:
    place = record
    for key in filter(None, path.split(".")):
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            return place
        place = inner
    return place


def _read(dataset: str, text: str) -> list[tuple[Any, ...]]:
    """Of each line the problem, the record, the unknown keys, what is rescued, and the mark."""
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 1}) as con:
        con.register("batch", to_arrow([Piece(0, 1, text.encode())]))
        whole, marked = (
            _records_sql(f"({_with_problems('batch')})", FIELDS[dataset], columns, look)
            for look, *columns in (
                (with_unknown_keys, "line_number"),
                (with_odd_marked, "line_number", "keys_at_most"),
            )
        )
        return con.execute(
            "SELECT whole.problem, whole.record, unknown_keys, whole.rescued, marked.rescued "
            f"FROM ({whole}) AS whole JOIN (SELECT line_number, rescued FROM ({marked})) AS marked "
            "USING (line_number) ORDER BY line_number"
        ).fetchall()


def _shape(dataset: str) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    for field in FIELDS[dataset]:
        *parents, leaf = field.path.split(".")
        _down(shape, ".".join(parents))[leaf] = field.type
    return shape


def _wrong(record: dict[str, Any], shape: dict[str, Any]) -> bool:
    """Whether no text, nor a whole number, stands for a text, or something else for an object."""
    for key, inner in shape.items():
        value = record.get(key)
        if isinstance(inner, dict):
            if isinstance(value, dict) and _wrong(value, inner):
                return True
            if value is not None and not isinstance(value, dict):
                return True
        elif inner == "string" and isinstance(value, dict | list | float):
            return True
    return False


def _of_fields(record: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """What the fields hold; null and absent are one, and so are an object of nothing and none."""
    held = {}
    for key, inner in shape.items():
        value = record.get(key)
        if isinstance(inner, dict):
            value = _of_fields(value or {}, inner) or None
        if value is not None:
            held[key] = value
    return held


def _besides(record: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """What no field reads."""
    rest = {}
    for key, value in record.items():
        inner = shape.get(key)
        if key not in shape:
            rest[key] = value
        elif isinstance(inner, dict) and (deeper := _besides(value or {}, inner)):
            rest[key] = deeper
    return rest


def _parsed(held: dict[str, Any], record: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The texts of the fields as the values they were: text stays text."""
    parsed: dict[str, Any] = {}
    for key, inner in shape.items():
        text, value = (held or {}).get(key), (record or {}).get(key)
        if isinstance(inner, dict):
            if deeper := _parsed(text, value, inner):
                parsed[key] = deeper
        elif text is not None:
            parsed[key] = text if isinstance(value, str) else json.loads(text)
    return parsed


@pytest.mark.parametrize(
    "dataset",
    [
        "activities",  # the fewest fields
        pytest.param("events", marks=pytest.mark.slow),
        pytest.param("users", marks=pytest.mark.slow),
    ],
)
@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(data=st.data())
def test_fields_and_rescued_values_give_back_the_line(dataset, data):
    lines = data.draw(_lines(dataset))
    shape = _shape(dataset)

    read = _read(dataset, "".join(f"{text}\n" for text, _ in lines))

    for (text, record), (problem, held, unknown, rescued, mark) in zip(lines, read, strict=True):
        if text == "not JSON":
            assert problem == text
        elif _wrong(record, shape):
            assert problem is not None
            assert mark == ""
        else:
            assert problem is None
            rest = _besides(record, shape)
            assert (json.loads(rescued) if rescued else {}) == rest
            assert (rescued is None) == (not rest)
            assert bool(unknown) == bool(rest)
            assert mark == "" or not rest
            assert _parsed(held, record, shape) == _of_fields(record, shape)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"a": 1, "a": 2, %s}', "a key stands twice in the record"),
        ('{"user_id": "x", %s}', "a key stands twice in the record"),
    ],
)
def test_a_key_that_stands_twice_makes_a_line_unusable(line, problem):
    inner = json.dumps(an_event_record())[1:-1]

    ((found, *_, mark),) = _read("events", line.replace("%s", inner) + "\n")

    assert (found, mark) == (problem, "")


A_COMMA = "not JSON: a comma stands before a closing bracket"
A_NUMBER = "context.app.version is not text: put the number in quotes"


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        *((f'"x":1,{spaces}', A_COMMA) for spaces in ("", " ", " \t\r  ")),
        ('"x":[1,]', A_COMMA),
        ('"x":{"y":"a\\\\",}', A_COMMA),
        ('"x":",}"', None),
        ('"x":"\\",]"', None),
        *((f'"context":{{"app":{{"version":{number}}}}}', A_NUMBER) for number in ("7.10", "-1E2")),
        ('"context":{"app":{"version"\t:  7.10}}', A_NUMBER),
        ('"context":{"app":{"version":"7.10","build":710}}', None),
        ('"data":{"activity_id":"a","duration":7.10}', None),
    ],
)
def test_what_the_engine_takes_for_json_or_spells_otherwise_is_refused(inner, problem):
    others = {key: value for key, value in an_event_record().items() if f'"{key}"' not in inner}

    ((found, *_, mark),) = _read("events", f"{json.dumps(others)[:-1]},{inner}}}\n")

    assert found == problem
    assert mark == "" or problem is None


@pytest.mark.parametrize(
    "value",
    [
        ",".join(['"x":1', *(f'"k{number}":1' for number in range(20_000))]),
        ",".join([f'"x":"{"y" * 900_000}"', *(f'"k{number}":1' for number in range(400))]),
        f'"x":{"[" * 400_000}{"]" * 400_000}',
    ],
    ids=["many keys", "many keys and a long text", "deep"],
)
def test_what_is_in_a_line_of_up_to_a_mebibyte_is_kept(value):
    line = f"{json.dumps(an_event_record())[:-1]},{value}}}"

    ((problem, _, unknown, rescued, mark),) = _read("events", line + "\n")

    assert (problem, mark) == (None, "")
    assert len(unknown) == value.count('":')
    assert rescued == f"{{{value}}}"


def test_a_path_names_one_key_only():
    keys = ["", '""', '"', "a.b", '"a.b"', 'a"b', "a/b", "a~b"]
    line = json.dumps(an_event_record() | dict.fromkeys(keys, 1))

    ((_, _, unknown, *_),) = _read("events", line + "\n")

    assert [found["key"] for found in unknown] == [
        *('""', '""""""', '""""', '"a.b"', '"""a.b"""', '"a""b"', "a/b", "a~b")
    ]
