"""Arrow arrays and streams over NumPy memory, for the hand-written script.

A registered table and ``pa.array`` would import pandas and pyarrow.dataset; a bare capsule and
arrays laid over buffers do not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def stream(**columns: pa.Array) -> Any:
    """An ``arrow_array_stream`` capsule of one batch, to be registered and read once."""
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    return stream_of(batch.schema, iter([batch]))


def stream_of(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Any:
    """An ``arrow_array_stream`` capsule that makes each batch when the engine asks for it."""
    return pa.RecordBatchReader.from_batches(schema, batches).__arrow_c_stream__()


def numbers(values: np.ndarray) -> pa.Array:
    """An Arrow array over the memory of ``values``."""
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def integers(values: Iterable[int]) -> pa.Array:
    """An Arrow array of 64-bit integers."""
    return numbers(np.fromiter(values, np.int64))


def texts(values: Iterable[str]) -> pa.StringArray:
    """An Arrow array of strings."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    content = pa.py_buffer(b"".join(encoded))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), content)


def instants(values: Iterable[datetime]) -> pa.Array:
    """An Arrow array of timestamps without a time zone."""
    microseconds = np.fromiter(((value - _EPOCH) // _MICROSECOND for value in values), np.int64)
    return numbers(microseconds.view("datetime64[us]"))
