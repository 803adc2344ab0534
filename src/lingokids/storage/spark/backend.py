"""Ibis's connection to Spark, with rows going in and out as Arrow.

Ibis has pandas between, which cannot tell a missing decimal from none, and holds all rows twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.expr import operations as ops

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    from pyspark.sql import SparkSession


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

    def to_pyarrow_batches(self, expr: ir.Expr, /, **kwargs: Any) -> pa.RecordBatchReader:
        """The same, in batches."""
        chunk_size = kwargs.get("chunk_size", 1_000_000)
        return self.to_pyarrow(expr.as_table()).to_reader(max_chunksize=chunk_size)
