"""Bronze on Spark: what ``storage.duckdb.bronze`` does with rows of the book, with rows there."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.storage.duckdb.bronze import StoredBronze, unknown_keys
from lingokids.storage.duckdb.expressions import no_rows
from lingokids.storage.spark.catalog import expected_failures
from lingokids.storage.spark.erased import LinesInBook
from lingokids.storage.spark.stored import SparkTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.spark.warehouse import SparkWarehouse


class SparkBronze(StoredBronze, SparkTable):
    """See ``engine.StoredLines``; workers have minimised its lines."""

    warehouse: SparkWarehouse

    def note_loads(self, table_name: str, sql: str) -> int:
        """See ``StoredBronze``."""
        loads = [row[0] for row in self.warehouse.spark.sql(sql).collect()]
        self.warehouse.rewritten_loads[table_name].update(loads)
        return len(loads)

    def change(self, table: StoredTable, statement: str, where: str) -> int:
        """See ``StoredBronze``."""
        query = f"SELECT load_id, count(*) AS n FROM {table.place} WHERE {where} GROUP BY load_id"
        found = self.warehouse.spark.sql(query).collect()
        if found:
            self.warehouse.spark.sql(f"{statement} WHERE {where}")
        self.warehouse.rewritten_loads[table.table_name].update(row.load_id for row in found)
        return sum(row.n for row in found)

    @contextlib.contextmanager
    def within_reach(self) -> Iterator[StoredBronze]:
        """See ``StoredBronze``: the book has these lines meanwhile."""
        with expected_failures(self.table_name):
            lines = LinesInBook(self)
            lines.fetch()
            yield lines
            lines.hand_back()

    def give(self, name: str, rows: pa.Table) -> None:
        """See ``StoredBronze``."""
        self.warehouse.view(name, self.warehouse.spark.createDataFrame(rows))

    def of_book(self, rows: ir.Table) -> str:
        """See ``SparkTable``: without what is not kept."""
        self.minimisation.give_key(self.warehouse.writer.con)
        return self.minimisation.of(super().of_book(rows))

    def hold(self, name: str, query: str) -> int:
        """See ``StoredBronze``."""
        with expected_failures(self.table_name):
            return self.warehouse.kept_view(name, self.warehouse.spark.sql(query)).count()

    def execute(self, statement: str) -> None:
        """See ``StoredBronze``."""
        self.warehouse.spark.sql(statement)

    def insert_from(self, rows: str) -> int:
        """See ``StoredBronze``."""
        return SparkTable.insert_from(self, rows)

    def _mark_gone(self, key: str, where: str) -> None:
        self.mark(self.frame.where(where).select(key).distinct())

    def _enter(self, counts: ir.Table) -> None:
        started = time.perf_counter()  # one batch has all objects of the load
        self.note_load(self.ledger, self.ledger.append(counts), started)

    def _count_unknown_keys(self) -> None:
        self._beside(schema.UNKNOWN_KEYS).ensure()


class UnknownKeys(SparkTable):
    """The keys that no field reads: they are counted when someone asks."""

    def load(self) -> ir.Table:
        """See ``engine.Stored``."""
        return unknown_keys(self.warehouse)

    @property
    def frame(self) -> DataFrame:
        """See ``SparkTable``."""
        return self.warehouse.frame(self.load())

    def _create(self) -> None:
        columns = no_rows(self.contract.nullable_schema)
        self.warehouse.writer.con.execute(f"CREATE VIEW {self.name} AS {columns}")
        self.comment_on("VIEW")
