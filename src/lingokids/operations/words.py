"""How the answers of these commands are printed: sizes, counts, aligned columns, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from lingokids.errors import in_one_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_of(size_bytes: float) -> str:
    """A number of bytes, in the unit that suits it."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:,.{min(unit, 1)}f} {_UNITS[unit]}"


def counted(number: int, thing: str) -> str:
    """So many of a thing."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def columns(rows: Iterable[list[str]], longest: int = 100) -> list[str]:
    """Aligned lines, indented; cells come from outside, and the last one is shortened."""
    cells = [[in_one_line(cell, longest) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def as_json(answer: DataclassInstance) -> str:
    """All of an answer, for a program."""
    return json.dumps(asdict(answer), default=str, indent=1, ensure_ascii=False)
