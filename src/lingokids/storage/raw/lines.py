"""Cuts raw objects into lines, as Arrow columns, without copying each line."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lingokids.schema import DAMAGED_GZIP, NOT_UTF8, TOO_LONG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_LINE = 1 << 20
KEPT_OF_LONGER = 1_024

_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 22
_COUNTED_BYTES = 1 << 18
_VECTOR_ROWS = 2_048  # the engine works on so many at once, and none of two record batches
_VECTOR_BYTES = 4 << 20  # of text; parsing it takes several times as much memory
_ROWS_A_BATCH = 30 * _VECTOR_ROWS  # what one thread of the engine takes at a time


class DamagedGzipError(Exception):
    """The compressed bytes end early or do not decompress."""


@dataclass
class Piece:
    """Whole lines of one object, each ended by a newline.

    Attributes:
        object_index: Which object they are of.
        first_line: The number of the first line, from 1.
        data: The lines; empty if the object has none.
        problems: What is wrong with a line, by its position in the piece.
    """

    object_index: int
    first_line: int
    data: bytes
    problems: dict[int, str] = field(default_factory=dict)


def gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip, block by block, so that a small file cannot fill the memory.

    Raises:
        DamagedGzipError: After everything that could be decompressed was yielded.
    """
    decompressor = zlib.decompressobj(wbits=31)
    started = False
    try:
        for block in blocks:
            pending = block
            while pending:
                started = True
                yield decompressor.decompress(pending, _BLOCK_BYTES)
                pending = decompressor.unconsumed_tail
                if decompressor.eof:
                    pending = decompressor.unused_data
                    decompressor, started = zlib.decompressobj(wbits=31), False
    except zlib.error as error:
        raise DamagedGzipError from error
    if started:
        raise DamagedGzipError


def cut_into_pieces(
    object_index: int, blocks: Iterable[bytes], piece_bytes: int
) -> Iterator[Piece]:
    """Cut the bytes of an object into pieces of whole lines.

    Args:
        object_index: Which object the bytes are of.
        blocks: The object's bytes, decompressed, in order.
        piece_bytes: A piece is passed on once it has as many bytes. No more than that, one
            block and one line are held.

    Yields:
        At least one piece; its data is empty if the object has no line.
    """
    next_line, held, problems = 1, bytearray(), {}
    stream = _without_bom(blocks)
    try:
        for block in stream:
            held += block
            if len(held) < piece_bytes:
                continue
            end = held.rfind(b"\n") + 1
            if end == 0:
                del held[LONGEST_LINE + 1 :]  # one line, too long already: its rest is not kept
                continue
            piece = _as_text(object_index, next_line, bytes(held[:end]))
            yield piece
            next_line += piece.data.count(b"\n")
            del held[:end]
    except DamagedGzipError:
        problems[held.count(b"\n")] = DAMAGED_GZIP  # the line it breaks off in
        held += b"\n"
    if held and not held.endswith(b"\n"):
        held += b"\n"
    if held or next_line == 1:
        yield _as_text(object_index, next_line, bytes(held), problems)


def to_arrow(pieces: list[Piece]) -> pa.Table:
    """Lay the lines of many pieces out as Arrow columns over one buffer.

    Returns:
        One row per line: object_index, line_number, line_text (with its line end), problem,
        keys_at_most (the colons that may end a key: all but those after a digit; NULL where the
        line has a list, whose place is to be looked at).
    """
    text = b"".join(piece.data for piece in pieces)
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")) + 1
    offsets = np.zeros(len(ends) + 1, dtype=np.int32)
    offsets[1:] = ends
    piece_ends = np.cumsum([len(piece.data) for piece in pieces], dtype=np.int64)
    lines_before = np.searchsorted(ends, piece_ends, side="right")
    lines_of_piece = np.diff(lines_before, prepend=0)
    first_row = np.repeat(lines_before - lines_of_piece, lines_of_piece)
    first_line = np.repeat([piece.first_line for piece in pieces], lines_of_piece)
    object_index = np.repeat([piece.object_index for piece in pieces], lines_of_piece)
    columns = {
        "object_index": pa.array(object_index.astype(np.int32)),
        "line_number": pa.array((np.arange(len(ends)) - first_row + first_line).astype(np.int32)),
        "line_text": pa.StringArray.from_buffers(
            len(ends), pa.py_buffer(offsets), pa.py_buffer(text)
        ),
        "problem": _problem_column(pieces, lines_before - lines_of_piece, len(ends)),
        "keys_at_most": _count_key_ends(text, ends),
    }
    table = pa.table(columns)
    line_bytes = max(1, len(text) // max(1, len(ends)))
    is_long = line_bytes * _VECTOR_ROWS > _VECTOR_BYTES
    rows = max(1, _VECTOR_BYTES // line_bytes) if is_long else _ROWS_A_BATCH
    return pa.Table.from_batches(table.to_batches(max_chunksize=rows), table.schema)


def _count_key_ends(text: bytes, ends: np.ndarray) -> pa.Array:
    """Count them block by block: what a block needs stays in the processor's cache."""
    characters = np.frombuffer(text, dtype=np.uint8)
    before_end = np.zeros(len(ends) + 1, dtype=np.int64)
    has_list = np.zeros(len(ends), dtype=bool)
    colons_so_far = 0
    for start in range(0, len(text), _COUNTED_BYTES):
        stop = start + _COUNTED_BYTES
        first, last = np.searchsorted(ends, (start, stop), side="right")
        colons = np.flatnonzero(characters[start:stop] == ord(":")) + start
        colons = colons[characters[colons - 1] - np.uint8(ord("0")) > np.uint8(9)]
        before_end[first + 1 : last + 1] = colons_so_far + np.searchsorted(colons, ends[first:last])
        colons_so_far += len(colons)
        if text.find(b"[", start, stop) >= 0:
            lists = np.flatnonzero(characters[start:stop] == ord("[")) + start
            has_list[np.searchsorted(ends, lists, side="right")] = True
    return pa.array(np.diff(before_end).astype(np.int32), mask=has_list)


def _problem_column(pieces: list[Piece], first_rows: np.ndarray, rows: int) -> pa.Array:
    if not any(piece.problems for piece in pieces):
        return pa.nulls(rows, pa.string())
    problems: list[str | None] = [None] * rows
    for piece, first_row in zip(pieces, first_rows, strict=True):
        for position, problem in piece.problems.items():
            problems[first_row + position] = problem
    return pa.array(problems, pa.string())


def _without_bom(blocks: Iterable[bytes]) -> Iterator[bytes]:
    start: bytes | None = b""
    for block in blocks:
        if start is None:
            yield block
        elif len(start) + len(block) >= len(_BOM):
            yield (start + block).removeprefix(_BOM)
            start = None
        else:
            start += block
    if start:
        yield start


def _as_text(
    object_index: int, first_line: int, data: bytes, problems: dict[int, str] | None = None
) -> Piece:
    """Make every line valid text: the engine refuses a whole batch for one bad byte."""
    problems = problems or {}
    if not (_is_utf8(data) and _has_no_long_line(data)):
        data, found = _repair_lines(data)
        problems = found | problems
    return Piece(object_index, first_line, data, problems)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_no_long_line(data: bytes) -> bool:
    if len(data) <= LONGEST_LINE:
        return True
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    return bool(np.diff(ends, prepend=-1).max(initial=0) - 1 <= LONGEST_LINE)


def _repair_lines(data: bytes) -> tuple[bytes, dict[int, str]]:
    problems: dict[int, str] = {}
    lines = data.split(b"\n")
    for position, line in enumerate(lines):
        if len(line) > LONGEST_LINE:
            problems[position] = TOO_LONG
            lines[position] = line.decode(errors="replace")[:KEPT_OF_LONGER].encode()
        elif not _is_utf8(line):
            problems[position] = NOT_UTF8
            lines[position] = line.decode(errors="replace").encode()
    return b"\n".join(lines), problems
