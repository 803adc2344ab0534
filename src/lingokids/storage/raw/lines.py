"""Cuts raw objects into lines, as Arrow columns, without copying each line."""

from __future__ import annotations

import bisect
import itertools
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lingokids.schema import (
    DAMAGED_GZIP,
    FIELDS,
    LONG_ARRAY,
    NOT_READ,
    NOT_UTF8,
    SECONDS,
    TOO_LONG,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_LINE = 1 << 20
KEPT_OF_LONGER = 1_024

_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 22
_SHORT_BYTES = 1 << 18
_LEAST_LINE_BYTES = 128  # so many of a batch a line counts as: the engine's rows are as wide
_COUNTED_BYTES = 1 << 18
_VECTOR_ROWS = 2_048  # the engine works on so many at once, and none of two record batches
_VECTOR_BYTES = 4 << 20  # of text; parsing it takes several times as much memory
_ROWS_A_BATCH = 30 * _VECTOR_ROWS  # what one thread of the engine takes at a time


_GZIP = rb"\x1f\x8b"
#: How content begins that is no text, and what it is.
_FORMATS = {
    _GZIP: "gzip in a gzip",
    rb"BZh[1-9][1\x17]": "bzip2",
    rb"PK\x03\x04": "zip",
    rb"\x28\xb5\x2f\xfd": "Zstandard",
    rb"\xfd7zXZ\x00": "xz",
    rb"7z\xbc\xaf": "7-Zip",
    rb"\x04\x22\x4d\x18": "LZ4",
    rb"PAR1[\x00-\x1f]": "Parquet",
    rb"Obj\x01": "Avro",
    rb"\xff\xfe[\x01-\x7f]\x00|\xfe\xff\x00[\x01-\x7f]": "UTF-16",
}
_LONGEST_START = 6


def _table_of(letters: bytes) -> np.ndarray:
    """Whether a byte is one of these, for all bytes."""
    return np.isin(np.arange(256), np.frombuffer(letters, dtype=np.uint8))


_KEY_END_BYTES = 8


def _key_ends(*, of_numbers: bool) -> set[int]:
    keys = (
        field.path.rpartition(".")[2]
        for fields in FIELDS.values()
        for field in fields
        if (field.type == SECONDS) is of_numbers
    )
    return {int.from_bytes(f'"{key}"'[-_KEY_END_BYTES:].encode(), "little") for key in keys}


_NUMBER_KEY_ENDS = [*(_key_ends(of_numbers=True) - _key_ends(of_numbers=False))]
_IS_SPACE = _table_of(b" \t\r")
_SPACES_LOOKED_THROUGH = 3


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
        lines: How many they are.
        weight: The bytes that they count as in a batch: of short lines, more than they have.
    """

    object_index: int
    first_line: int
    data: bytes
    problems: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lines = _count_lines(self.data)
        self.weight = _weight(len(self.data), self.lines)


def gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip, block by block, so that a small file cannot fill the memory.

    Raises:
        DamagedGzipError: After everything that could be decompressed was yielded.
    """
    decompressor, started = zlib.decompressobj(wbits=31), False
    for block in blocks:
        pending = block
        while pending := pending if started else pending.lstrip(b"\0"):  # padding of a member
            started, before = True, decompressor.copy()
            try:
                yield decompressor.decompress(pending, _BLOCK_BYTES)
            except zlib.error as error:
                yield _decompressed_before_error(before, pending)
                raise DamagedGzipError from error
            pending = decompressor.unconsumed_tail
            if decompressor.eof:
                pending = decompressor.unused_data
                decompressor, started = zlib.decompressobj(wbits=31), False
    if started:
        raise DamagedGzipError


def _decompressed_before_error(decompressor: Any, pending: bytes) -> bytes:
    """What the bytes before the first bad one give: an error takes its whole block with it."""

    def fails(length: int) -> bool:
        try:
            decompressor.copy().decompress(pending[:length], _BLOCK_BYTES)
        except zlib.error:
            return True
        return False

    good = bisect.bisect_left(range(len(pending)), True, key=fails) - 1
    return decompressor.decompress(pending[:good], _BLOCK_BYTES)


def cut_into_pieces(
    object_index: int, blocks: Iterable[bytes], piece_bytes: int
) -> Iterator[Piece]:
    """Cut the bytes of an object into pieces of whole lines.

    Args:
        object_index: Which object the bytes are of.
        blocks: The object's bytes, in order; gzip is known by them, whatever the object's name.
        piece_bytes: A piece is passed on once it has this weight. No more than that, one block and
            one line are held.

    Yields:
        At least one piece; its data is empty if the object has no line.
    """
    next_line, held, lines, problems = 1, bytearray(), 0, {}
    try:
        start, stream = _peek(blocks)
        if re.match(_GZIP, start):
            start, stream = _peek(gunzip(stream))
        for pattern, name in _FORMATS.items():
            if re.match(pattern, start):
                yield Piece(object_index, 1, b"\n", {0: NOT_READ[name]})
                return
        for block in _short(_without_bom(stream)):
            held += block
            lines += _count_lines(block)
            if _weight(len(held), lines) < piece_bytes:
                continue
            end = held.rfind(b"\n") + 1
            if end == 0:
                del held[LONGEST_LINE + 1 :]  # one line, too long already: its rest is not kept
                continue
            piece = _as_text(object_index, next_line, bytes(held[:end]))
            yield piece
            next_line += piece.lines
            lines = 0
            del held[:end]
    except DamagedGzipError:
        problems[held.count(b"\n")] = DAMAGED_GZIP  # the line it breaks off in
        held += b"\n"
    if held and not held.endswith(b"\n"):
        held += b"\n"
    if held or next_line == 1:
        yield _as_text(object_index, next_line, bytes(held), problems)


def _peek(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and the blocks with them."""
    rest, start = iter(blocks), b""
    for block in rest:
        start += block
        if len(start) >= _LONGEST_START:
            break
    return start, itertools.chain([start], rest)


def _weight(size_bytes: int, lines: int) -> int:
    return max(size_bytes, lines * _LEAST_LINE_BYTES)


def _short(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks so short that even one of newlines alone is no large part of a batch."""
    for block in blocks:
        for start in range(0, len(block), _SHORT_BYTES):
            yield block[start : start + _SHORT_BYTES]


def to_arrow(pieces: list[Piece]) -> pa.Table:
    """Lay the lines of many pieces out as Arrow columns over one buffer.

    Returns:
        One row per line: object_index, line_number, line_text (with its line end), problem,
        keys_at_most (the colons that may end a key: all but those after a digit; NULL where the
        line is to be looked at: for the place of a list, a number that may be one of a text
        field, or a comma before a closing bracket).
    """
    text = b"".join(piece.data for piece in pieces)
    ends = _line_ends(text) + 1
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


def _line_ends(text: bytes) -> np.ndarray:
    """Where newlines are, found block by block: what a block needs stays in the cache."""
    characters = np.frombuffer(text, dtype=np.uint8)
    found = [
        np.flatnonzero(characters[start : start + _COUNTED_BYTES] == ord("\n")) + start
        for start in range(0, len(text), _COUNTED_BYTES)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _count_lines(data: bytes) -> int:
    """The newlines; ``bytes.count`` takes four times as long where lines are short."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))


def _count_key_ends(text: bytes, ends: np.ndarray) -> pa.Array:
    """Count them block by block: what a block needs stays in the processor's cache."""
    characters = np.frombuffer(text, dtype=np.uint8)
    before_end = np.zeros(len(ends) + 1, dtype=np.int64)
    is_odd = np.zeros(len(ends), dtype=bool)
    colons_so_far = 0
    for start in range(0, len(text), _COUNTED_BYTES):
        stop = start + _COUNTED_BYTES
        block = characters[start:stop]
        first, last = np.searchsorted(ends, (start, stop), side="right")
        colons = np.flatnonzero(block == ord(":")) + start
        colons = colons[characters[colons - 1] - np.uint8(ord("0")) > np.uint8(9)]
        before_end[first + 1 : last + 1] = colons_so_far + np.searchsorted(colons, ends[first:last])
        colons_so_far += len(colons)
        brackets = np.flatnonzero(block | np.uint8(0x20) == ord("}")) + start  # ] or }
        odd = [_numbers(text, characters, colons), _after_commas(characters, brackets)]
        if text.find(b"[", start, stop) >= 0:
            odd.append(np.flatnonzero(block == ord("[")) + start)
        is_odd[np.searchsorted(ends, np.concatenate(odd), side="right")] = True
    return pa.array(np.diff(before_end).astype(np.int32), mask=is_odd)


def _numbers(text: bytes, characters: np.ndarray, colons: np.ndarray) -> np.ndarray:
    """Colons before a number (or what may be one) whose key is none of a number's field."""
    after = characters[1:][colons]
    if (is_spaced := after == ord(" ")).any():
        after[is_spaced] = characters[2:][colons[is_spaced]]
    # digits, the minus, white space; not the quote
    numbers = colons[(after <= ord("9")) & (after != ord('"'))]
    if len(text) < _KEY_END_BYTES or not len(numbers):
        return numbers
    words = np.ndarray(len(text) - _KEY_END_BYTES + 1, "<u8", buffer=text, strides=(1,))
    return numbers[~np.isin(words[np.maximum(numbers - _KEY_END_BYTES, 0)], _NUMBER_KEY_ENDS)]


def _after_commas(characters: np.ndarray, brackets: np.ndarray) -> np.ndarray:
    """Closing brackets that follow a comma, or more white space than is looked through."""
    before = brackets - 1
    for _ in range(_SPACES_LOOKED_THROUGH):
        is_space = _IS_SPACE[characters[before]]
        if not is_space.any():
            break
        before = before - is_space
    return brackets[_IS_SPACE[characters[before]] | (characters[before] == ord(","))]


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
    return bool(np.diff(_line_ends(data), prepend=-1).max(initial=0) - 1 <= LONGEST_LINE)


def _repair_lines(data: bytes) -> tuple[bytes, dict[int, str]]:
    problems: dict[int, str] = {}
    lines = data.split(b"\n")
    for position, line in enumerate(lines):
        if len(line) > LONGEST_LINE:
            problems[position] = LONG_ARRAY if line.lstrip().startswith(b"[") else TOO_LONG
            lines[position] = line.decode(errors="replace")[:KEPT_OF_LONGER].encode()
        elif not _is_utf8(line):
            problems[position] = NOT_UTF8
            lines[position] = line.decode(errors="replace").encode()
    return b"\n".join(lines), problems
