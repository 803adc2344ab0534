"""Ibis's connection to Spark, with rows going in and out as Arrow.

Ibis has pandas between, which cannot tell a missing decimal from none, and holds all rows twice.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.expr import operations as ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.types as ir
    from pyspark.sql import DataFrame, SparkSession


class _Compiler(PySparkCompiler):
    SIMPLE_OPS = {ops.BitXor: "bit_xor"}  # noqa: RUF012 - as Ibis declares it


class SparkBackend(Backend):
    """See above: what a new version of Ibis adds to how it hands rows over must be added here.

    Args:
        start: Gives the session: expressions are built without it.
    """

    compiler = _Compiler()

    def __init__(self, start: Callable[[], SparkSession]) -> None:
        super().__init__()
        self._start, self._mode = start, "batch"

    @property
    def _session(self) -> SparkSession:
        return self._start()

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        rows = op.data.to_pyarrow(op.schema)
        self._session.createDataFrame(rows).createOrReplaceTempView(op.name)

    def to_pyarrow(self, expr: ir.Expr, /, **_kwargs: Any) -> Any:
        """The result, read whole."""
        rows = expr.as_table()
        self._run_pre_execute_hooks(rows)
        found = self._session.sql(self.compile(rows)).toArrow()
        return expr.__pyarrow_result__(found.cast(rows.schema().to_pyarrow()))

    def to_pyarrow_batches(self, expr: ir.Expr, /, **_kwargs: Any) -> pa.RecordBatchReader:
        """The same, piece by piece."""
        rows = expr.as_table()
        self._run_pre_execute_hooks(rows)
        return streamed(self._session.sql(self.compile(rows)), rows.schema().to_pyarrow())


def streamed(frame: DataFrame, schema: pa.Schema | None = None) -> pa.RecordBatchReader:
    """The rows of a frame, in its order: the driver holds those of two tasks at a time.

    Args:
        frame: The rows.
        schema: The types to give them in; None: as Spark has them.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make each batch one value: a worker does it, which need not know this module."""
        for batch in batches:
            written = pa.BufferOutputStream()
            with pa.ipc.new_stream(written, batch.schema) as stream:
                stream.write_batch(batch)
            yield pa.RecordBatch.from_pydict({"batch": [written.getvalue().to_pybytes()]})

    schema = schema or to_arrow_schema(frame.schema)
    packed = frame.mapInArrow(pack, "batch binary").toLocalIterator(prefetchPartitions=True)
    batches = (
        pa.Table.from_batches([batch]).cast(schema).combine_chunks().to_batches()
        for row in packed
        for batch in pa.ipc.open_stream(bytes(row.batch))
    )
    return pa.RecordBatchReader.from_batches(schema, itertools.chain.from_iterable(batches))
