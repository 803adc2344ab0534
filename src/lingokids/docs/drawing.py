"""The map of the tables: boxes in columns by layer, ordered so that few lines cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LETTER, _PADDING, _HEIGHT, _ROW, _GAP, _TOP = 7.4, 26, 42, 56, 46, 32
_SWEEPS = 8

#: By name, what a box is made from.
Sources = dict[str, set[str]]


class Band(NamedTuple):
    """A column of boxes."""

    layer: str
    x: float


@dataclass(frozen=True)
class Box:
    """A table on the map."""

    name: str
    layer: str
    x: float
    y: float
    width: float
    height: float = _HEIGHT


class Edge(NamedTuple):
    """A line from a table to one made from it, as the path of an SVG."""

    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Map:
    """Where everything is."""

    width: float
    height: float
    bands: list[Band]
    boxes: list[Box]
    edges: list[Edge]


def contracted(reads: Mapping[str, Iterable[str]], shown: Iterable[str]) -> Sources:
    """What shown tables are made from, past those that are not shown."""

    def nearest(name: str, passed: set[str]) -> set[str]:
        found = set()
        for source in reads.get(name, ()):
            if source in visible:
                found.add(source)
            elif source not in passed:
                found |= nearest(source, passed | {source})
        return found - {name}

    visible = {*shown}
    return {name: nearest(name, {name}) for name in visible}


def place(layers: dict[str, list[str]], sources: Sources, labels: Mapping[str, str]) -> Map:
    """Place boxes.

    Args:
        layers: The tables of each column, from left to right.
        sources: What each is made from.
        labels: What is written on a box, if not its name.
    """
    columns = _ordered([*layers.values()], sources)
    tallest = max(map(len, columns)) * _ROW
    boxes: dict[str, Box] = {}
    bands, x = [], 1.0
    for layer, names in zip(layers, columns, strict=True):
        width = max(len(labels.get(name, name)) for name in names) * _LETTER + _PADDING
        top = _TOP + (tallest - len(names) * _ROW) / 2
        bands.append(Band(layer, x))
        for number, name in enumerate(names):
            boxes[name] = Box(name, layer, x, top + number * _ROW, width)
        x += width + _GAP
    edges = [
        Edge(source, target, _curve(boxes[source], boxes[target]))
        for target in boxes
        for source in sorted(sources[target])
    ]
    return Map(x - _GAP + 1, _TOP + tallest, bands, [*boxes.values()], edges)


def _ordered(columns: list[list[str]], sources: Sources) -> list[list[str]]:
    """Each column sorted by the middle of its neighbours, to and fro."""
    neighbours: dict[str, set[str]] = {name: set() for names in columns for name in names}
    for target, names in sources.items():
        for source in names:
            neighbours[target].add(source)
            neighbours[source].add(target)
    height = {name: number / len(names) for names in columns for number, name in enumerate(names)}

    def middle(name: str) -> float:
        found = [height[each] for each in neighbours[name]]
        return sum(found) / len(found) if found else height[name]

    for sweep in range(_SWEEPS):
        for beside in columns if sweep % 2 else reversed(columns):
            beside.sort(key=middle)
            height |= {name: (place + 0.5) / len(beside) for place, name in enumerate(beside)}
    return columns


def _curve(source: Box, target: Box) -> str:
    x1, y1 = source.x + source.width, source.y + source.height / 2
    x2, y2 = target.x, target.y + target.height / 2
    if x2 < x1:  # of one column
        return f"M{x1} {y1} C{x1 + _GAP} {y1} {x1 + _GAP} {y2} {target.x + target.width} {y2}"
    half = (x2 - x1) / 2
    return f"M{x1} {y1} C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"
