"""The engine-room's SQL in the words of Spark."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt
import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


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
def type_in_spark(dtype: dt.DataType) -> str:
    """Spark's name for a type: a uuid is its text."""
    if isinstance(dtype, dt.Array):
        return f"ARRAY<{type_in_spark(dtype.value_type)}>"
    if isinstance(dtype, dt.Struct):
        fields = (f"{name}: {type_in_spark(each)}" for name, each in dtype.items())
        return f"STRUCT<{', '.join(fields)}>"
    if isinstance(dtype, dt.Decimal):
        return f"DECIMAL({dtype.precision}, {dtype.scale})"
    known: dict[type[dt.DataType], str] = {
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


def in_contracts_types(found: StructType, promised: ibis.Schema) -> ibis.Schema:
    """Stored columns as contracts name their types, which Spark has not all of."""
    from ibis.backends.pyspark.datatypes import PySparkType

    types = {}
    for field in found:
        dtype = promised.get(field.name)
        sql = field.dataType.simpleString().upper()
        is_as_promised = dtype is not None and type_in_spark(dtype).upper().replace(" ", "") == sql
        types[field.name] = dtype if is_as_promised else PySparkType.to_ibis(field.dataType)
    return ibis.schema(types)
