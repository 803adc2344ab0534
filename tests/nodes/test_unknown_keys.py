"""Keys that no field reads: which lines are kept, and how they are counted."""

from __future__ import annotations

import ibis

from builders import table_of
from lingokids import schema
from lingokids.validation.drift import count_unknown_keys


def _unread(line: int, load: int = 1, key: str = "a.jsonl", **keys: str) -> dict:
    return {
        "dataset": "events",
        "object_key": key,
        "etag": "e",
        "line_number": line,
        "unknown_keys": [{"key": name, "json_type": type_} for name, type_ in keys.items()],
        "rescued": "{}",
        "landed_at": "2021-01-01 00:00:00",
        "load_id": load,
    }


def _counted(rows, *unread):
    usable = ibis.memtable(
        {"dataset": ["events"] * 2, "load_id": [1, 2], "usable_lines": [8, 5]}
    ).cast({"load_id": "int32"})
    lines = table_of(schema.RESCUED_VALUES, *unread)
    counted = rows(count_unknown_keys(lines, usable))
    return sorted(
        (
            *(row[name] for name in ("unknown_key", "json_type", "load_id")),
            *(row[name] for name in ("lines_with_key", "usable_lines", "share_of_lines")),
            (row["object_key"], row["line_number"]),
        )
        for row in counted
    )


def test_a_key_is_counted_by_its_lines_with_the_first_of_them(rows):
    counted = _counted(rows, _unread(7, plan="text"), _unread(3, plan="text", arm="number"))

    assert counted == [
        ("arm", "number", 1, 1, 8, 0.125, ("a.jsonl", 3)),
        ("plan", "text", 1, 2, 8, 0.25, ("a.jsonl", 3)),
    ]


def test_types_and_loads_of_a_key_are_told_apart(rows):
    counted = _counted(
        rows, _unread(1, plan="text"), _unread(2, plan="null"), _unread(3, load=2, plan="text")
    )

    assert [row[:4] for row in counted] == [
        ("plan", "null", 1, 1),
        ("plan", "text", 1, 1),
        ("plan", "text", 2, 1),
    ]
