"""Ibis expressions as SQL, where Ibis's documented interface does not reach.

``tests/house/test_private_parts.py`` says what of this an upgrade of Ibis breaks.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from ibis.backends.sql.datatypes import DuckDBType
from ibis.expr import operations as ops

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis
    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend
    from ibis.backends.sql import SQLBackend


def table_of(backend: SQLBackend, name: str, schema: ibis.Schema) -> ir.Table:
    """A table whose columns are known.

    ``backend.table`` would ask the engine for them: a statement for each of a run's tables.
    """
    return ops.DatabaseTable(name=name, schema=schema, source=backend).to_expr()


def compiled(backend: SQLBackend, expression: ir.Expr) -> str:
    """An expression as SQL: what a process asks again, in its next run too, is compiled once.

    Of a run that takes in one event compiling was half of the work. Only for a connection that its
    owner closes: a query that is kept keeps the first connection that asked it.
    """
    node = expression.op()
    if node.find(ops.InMemoryTable):  # never asked for again: its rows would be kept with it
        return backend.compile(expression)
    return _compiled(backend, node)


# a first run asks some eighty; more in one run than are kept, and none would be found again
@lru_cache(maxsize=256)
def _compiled(backend: SQLBackend, node: ops.Node) -> str:
    """See ``compiled``; backends of a class are equal, and write the same SQL."""
    return backend.compile(node.to_expr())


def register_memtables(backend: Backend, rows: ir.Table) -> None:
    """Make in-memory tables of an expression known to the engine.

    ``backend.compile`` does not, and what does (``insert``, ``create_table``) does not say how
    many rows were inserted, or compiles the same expression again for each batch.
    """
    backend._run_pre_execute_hooks(rows)


def to_arrow(backend: Backend, rows: ir.Table) -> pa.Table:
    """The rows of an expression; Ibis's own way imports pandas, a tenth of a command's time."""
    found = backend.con.sql(backend.compile(rows)).to_arrow_table()
    return found.cast(rows.schema().to_pyarrow())


def sql_type(dtype: dt.DataType) -> str:
    """The engine's name for a type."""
    return DuckDBType.to_string(dtype)


def typed(columns: Mapping[str, dt.DataType]) -> str:
    """Columns as values of these types, as SQL."""
    return ", ".join(
        f'CAST("{name}" AS {sql_type(dtype)}) AS "{name}"' for name, dtype in columns.items()
    )


@cache
def dtype_of(sql: str, nullable: bool) -> dt.DataType:
    """The type that the engine calls so."""
    return DuckDBType.from_string(sql, nullable=nullable)


def text(value: str) -> str:
    """A text, as SQL."""
    return "'" + value.replace("'", "''") + "'"


def no_rows(columns: ibis.Schema) -> str:
    """A query of no rows with these columns."""
    nothing = (f'CAST(NULL AS {sql_type(dtype)}) AS "{name}"' for name, dtype in columns.items())
    return f"SELECT {', '.join(nothing)} WHERE false"
