"""The engine-room's SQL in the words of Spark."""

from __future__ import annotations

import functools

import sqlglot
from sqlglot import exp


@functools.cache
def translated(query: str, catalog: str, namespace: str) -> str:
    """A query of DuckDB over ``main`` as one of Spark over a namespace of a catalog."""
    tree = sqlglot.parse_one(query, read="duckdb")
    for table in tree.find_all(exp.Table):
        if table.catalog == "temp":
            table.set("catalog", None)
            table.set("db", None)
        elif table.db == "main":
            table.set("catalog", exp.to_identifier(catalog))
            table.set("db", exp.to_identifier(namespace))
    return tree.sql(dialect="spark")


@functools.cache
def type_in_spark(dtype: object) -> str:
    """Spark's name for a type: a uuid is its text."""
    import ibis.expr.datatypes as dt

    assert isinstance(dtype, dt.DataType)
    if isinstance(dtype, dt.Array):
        return f"ARRAY<{type_in_spark(dtype.value_type)}>"
    if isinstance(dtype, dt.Struct):
        fields = (f"{name}: {type_in_spark(each)}" for name, each in dtype.items())
        return f"STRUCT<{', '.join(fields)}>"
    if isinstance(dtype, dt.Decimal):
        return f"DECIMAL({dtype.precision}, {dtype.scale})"
    known = {
        dt.UUID: "STRING",
        dt.String: "STRING",
        dt.JSON: "STRING",
        dt.Timestamp: "TIMESTAMP_NTZ",
        dt.Date: "DATE",
        dt.Boolean: "BOOLEAN",
        dt.Int8: "TINYINT",
        dt.Int16: "SMALLINT",
        dt.Int32: "INT",
        dt.Int64: "BIGINT",
        dt.Float64: "DOUBLE",
    }
    return known[type(dtype)]
