"""Replaces the rows of due units on Spark; only rows that differ are written.

What ``storage.duckdb.replacing`` does by row numbers is one MERGE here: one snapshot of the table.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError
from lingokids.schema import masked
from lingokids.storage.duckdb.state import set_state
from lingokids.storage.duckdb.warehouse import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import Column, DataFrame, Row

    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.spark.stored import SparkTable

_IS_CHANGE, _IS_GONE, _IS_NEW = "is_change_", "is_gone_", "is_new_"


class Replacement:
    """One save of an incremental table."""

    def __init__(self, table: SparkTable, due: DueUnits, new: DataFrame) -> None:
        self._table = table
        self._warehouse = table.warehouse
        self._due = due
        self._new = new

    def make(self) -> tuple[int, int]:
        """Replace what is due and set the state; returns how many rows went and came."""
        set_state(self._warehouse, self._table.table_name, self._due.rules)
        old = self._of_units(self._table.frame)
        is_first = not old.take(1)
        if is_first and self._due.relation is None:
            return 0, self._table.insert(self._new)
        new = self._warehouse.kept_view(f"new_{self._table.table_name}", self._new)
        self._refuse_other_units(new)
        if is_first:
            return 0, self._table.insert(new)
        self._refuse_repeated_keys(new)
        pairs = self._warehouse.kept_view(f"pairs_{self._table.table_name}", self._paired(old, new))
        self._mark(pairs)
        return self._merge(pairs)

    def _of_units(self, rows: DataFrame) -> DataFrame:
        if self._due.relation is None:
            return rows
        units = self._warehouse.spark.table(self._due.relation)
        return rows.join(units, list(self._due.step.unit), "left_semi")

    def _refuse_other_units(self, new: DataFrame) -> None:
        """Rows of units that are not due would stand beside those that are there."""
        if self._due.relation is None:
            return
        units = self._warehouse.spark.table(self._due.relation)
        unit = self._due.step.unit
        for other in new.join(units, list(unit), "left_anti").select(*unit).take(1):
            raise LingokidsError(
                f"{self._table.table_name}: the node makes rows of a unit ({', '.join(unit)}) that "
                f"no changed row of its inputs has, such as {_shown(other)}. Work the unit out in "
                "a table before, or leave unit out of its catalog entry: it is then made as a "
                "whole."
            )

    def _refuse_repeated_keys(self, new: DataFrame) -> None:
        """Refuse two new rows of one key: one would hide the other."""
        grain = self._table.contract.grain
        for repeated in new.groupBy(*grain).count().where("count > 1").select(*grain).take(1):
            raise LingokidsError(
                f"{self._table.table_name}: the node makes several rows of one key "
                f"({', '.join(grain)}), such as {_shown(repeated)}. Change the node, or the grain "
                "in schema/ if the promise changed."
            )

    def _paired(self, old: DataFrame, new: DataFrame) -> DataFrame:
        """Pair old and new rows by grain, and keep pairs that differ or are half empty.

        A row that differs in silent columns alone keeps its version: it is no change to readers.
        """
        from pyspark.sql import functions as f

        grain, silent = self._table.contract.grain, self._table.kept.silent
        rest = [name for name in self._table.columns if name not in grain]
        before = old.select(f.struct("*").alias("old"))
        after = new.select(f.struct("*").alias("new"))
        same_grain = _all(f.col(f"old.{name}") == f.col(f"new.{name}") for name in grain)
        pairs = before.join(after, same_grain, "full")
        is_new, is_gone = f.col("old").isNull(), f.col("new").isNull()
        says_same = _all(_same(name) for name in rest if name not in silent)
        is_silent_same = _all(_same(name) for name in rest if name in silent)
        marked = pairs.select(
            *("old", "new", is_new.alias(_IS_NEW), is_gone.alias(_IS_GONE)),
            (is_new | is_gone | ~says_same).alias(_IS_CHANGE),
            is_silent_same.alias("is_silent_same_"),
        )
        return marked.where(f"{_IS_CHANGE} OR NOT is_silent_same_")

    def _mark(self, pairs: DataFrame) -> None:
        """Mark what rows left, by the columns that readers know them by."""
        by = sorted(self._due.step.read_by)
        if not by:
            return
        changed = pairs.where(_IS_CHANGE)
        left, came = (
            changed.where(f"{side} IS NOT NULL").select(*(f"{side}.{name}" for name in by))
            for side in ("old", "new")
        )
        self._table.mark(left.subtract(came))

    def _merge(self, pairs: DataFrame) -> tuple[int, int]:
        from pyspark.sql import functions as f

        table, grain = self._table, self._table.contract.grain
        version = f.when(f.col(_IS_CHANGE), f.lit(self._warehouse.number)).otherwise(
            f.col(f"old.{VERSION}")
        )
        source = pairs.select(
            *(
                f.when(f.col(_IS_GONE), f.col(f"old.{name}"))
                .otherwise(f.col(f"new.{name}"))
                .alias(name)
                for name in table.columns
            ),
            *(version.alias(VERSION), _IS_GONE, _IS_NEW),
        )
        counts = source.agg(
            f.count_if(~f.col(_IS_NEW)).alias("deleted"),
            f.count_if(~f.col(_IS_GONE)).alias("inserted"),
        ).collect()[0]
        if not counts.deleted + counts.inserted:
            return 0, 0
        self._warehouse.view("merged_", source)
        columns = [*table.columns, VERSION]
        self._warehouse.spark.sql(f"""
            MERGE INTO {table.place} AS kept USING merged_
            ON {" AND ".join(f"kept.`{name}` = merged_.`{name}`" for name in grain)}
            WHEN MATCHED AND {_IS_GONE} THEN DELETE
            WHEN MATCHED THEN UPDATE SET {", ".join(f"`{n}` = merged_.`{n}`" for n in columns)}
            WHEN NOT MATCHED THEN INSERT ({", ".join(f"`{name}`" for name in columns)})
            VALUES ({", ".join(f"merged_.`{name}`" for name in columns)})
        """)
        return counts.deleted, counts.inserted


def _same(name: str) -> Column:
    from pyspark.sql import functions as f

    return f.col(f"old.{name}").eqNullSafe(f.col(f"new.{name}"))


def _all(conditions: Iterable[Column]) -> Column:
    from pyspark.sql import functions as f

    return reduce(lambda one, other: one & other, conditions, f.lit(True))


def _shown(row: Row) -> str:
    """Values for a message: those of identifiers are masked."""
    return ", ".join(map(str, masked(row.asDict()).values()))
