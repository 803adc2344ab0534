"""Bounds memory: of the engine, while rows pass through it once; and gives back what is free.

Taking in 1 GB of lines in batches of 16 MiB reached 1,050 MiB with the allocator as it is, which
keeps freed buffers of many threads for later, and 640 without its keeping them; 100,000 objects
700 and 580. Faulting the pages in again costs up to a third more CPU, so it is done only where
memory is bounded.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE_BYTES = 1 << 20


@contextlib.contextmanager
def bounded(connection: duckdb.DuckDBPyConnection, engine_mebibytes: int | None) -> Iterator[None]:
    """Bound what the engine holds for a while, and free large buffers at once.

    Args:
        connection: The run's.
        engine_mebibytes: Above it the engine spills; a lower limit that it has already stays.
            None: nothing is bounded.
    """
    if engine_mebibytes is None:
        yield
        return
    _give_large_buffers_back()
    with limited(connection, engine_mebibytes):
        yield


@contextlib.contextmanager
def limited(connection: duckdb.DuckDBPyConnection, mebibytes: int) -> Iterator[None]:
    """Bound what the engine holds for a while; it frees at once what is more, if it can."""
    sql = "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
    (before,) = connection.execute(sql).fetchone() or (0,)
    set_back = f"SET memory_limit = '{before}B'"
    try:
        connection.execute(f"SET memory_limit = '{min(before, mebibytes << 20)}B'")
    except duckdb.OutOfMemoryException:  # a large table of the run, and no room to spill
        connection.execute(set_back)
    try:
        yield
    finally:
        with contextlib.suppress(duckdb.TransactionException):  # aborted: the run is over
            connection.execute(set_back)


def _give_large_buffers_back() -> None:
    """Tell the allocator to return large buffers to the system when they are freed."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return what is free to the system: after reading raw objects, a quarter of a gigabyte.

    Allocators keep it for their next buffers, beside what the engine takes for itself next.
    """
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
