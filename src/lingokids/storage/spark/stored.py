"""One table on Spark: made, read, and written by the run that makes it."""

from __future__ import annotations

import time
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lingokids.errors import LingokidsError
from lingokids.schema import GONE
from lingokids.storage.duckdb.erased import columns_with_people
from lingokids.storage.duckdb.expressions import typed
from lingokids.storage.duckdb.stored import StoredTable
from lingokids.storage.duckdb.warehouse import ON_SPARK, VERSION
from lingokids.storage.spark.catalog import MAIN
from lingokids.storage.spark.dialect import type_in_spark
from lingokids.storage.spark.replacing import Replacement
from lingokids.storage.spark.session import CATALOG

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    from pyspark.sql import DataFrame

    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.spark.warehouse import SparkWarehouse

#: Held in memory at a time, of rows that come from the book's engine; each is a file of its table.
BATCH_ROWS = 200_000
_PROPERTIES = {
    "format-version": "2",
    # few rows of a table change: what they replace is noted, and gone with the next compaction
    "write.merge.mode": "merge-on-read",
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    # a run that is rolled back leaves the metadata that ``main`` points to where it is
    "write.metadata.delete-after-commit.enabled": "false",
}


class SparkTable(StoredTable):
    """See ``engine.Stored``; the book has an empty table of the same columns."""

    warehouse: SparkWarehouse

    # --- reading ---

    def load(self) -> ir.Table:
        """See ``engine.Stored``."""
        if self.warehouse.in_run:
            self.ensure()
        elif self.warehouse.read_from == self.warehouse.published:
            return super().load()  # a run that reads gold alone reads the copy
        elif not self.warehouse.has(self.table_name):
            raise LingokidsError(f"{self.table_name} is not there yet: uv run kedro run makes it.")
        # Ibis writes SELECT * for a table, so what nodes do not see is left out by name
        return self._rows(has_versions=self.kept.has_versions).select(self.columns)

    @property
    def with_version(self) -> ir.Table:
        """See ``StoredTable``."""
        self.ensure()
        return self._rows(has_versions=True)

    def _rows(self, *, has_versions: bool) -> ir.Table:
        import ibis
        from ibis.expr import operations as ops

        columns = self.contract.nullable_schema
        if has_versions:
            columns = ibis.schema({**columns, VERSION: "int32"})
        place = ops.Namespace(catalog=CATALOG, database=self.warehouse.namespace)
        return ops.DatabaseTable(
            name=self.table_name, schema=columns, source=self.warehouse.backend, namespace=place
        ).to_expr()

    def unit_table(self, relation: str) -> ir.Table:
        """See ``StoredTable``."""
        import ibis
        from ibis.expr import operations as ops

        columns = {name: self.contract.nullable_schema[name] for name in self.kept.unit}
        backend = self.warehouse.backend
        return ops.DatabaseTable(
            name=relation, schema=ibis.schema(columns), source=backend
        ).to_expr()

    def count(self) -> int:
        """See ``engine.Stored``."""
        return self.frame.count()

    def changed_rows(self) -> tuple[ir.Table, ir.Table | None]:
        """See ``engine.Stored``; without units, they are the rows of the run's load, or all."""
        rows = self.load()
        if self.kept.unit:
            units = self.due_units
            return (rows if units is None else rows.semi_join(units, list(self.kept.unit))), units
        if "load_id" in self.columns:
            rows = rows.filter(rows.load_id == self.warehouse.number)
        return rows, None

    # --- what is due ---

    def _restricted(self, due: DueUnits, inputs: Mapping[str, StoredTable]) -> dict[str, ir.Table]:
        """See ``StoredTable``."""
        units = self.due_units
        if units is None:
            return {}
        by = list(due.step.unit)
        direct = (link.entry for link in due.step.links if link.is_direct)
        return {entry: inputs[entry].load().semi_join(units, by) for entry in direct}

    # --- writing ---

    @property
    def name(self) -> str:
        """What has its columns in the book, as SQL of the book's engine."""
        return f'{ON_SPARK}."{self.table_name}"'

    @property
    def place(self) -> str:
        """The table, as SQL of Spark."""
        return self.warehouse.name_of(self.table_name)

    @property
    def frame(self) -> DataFrame:
        """Its rows as the run sees them, what is hidden included."""
        self.ensure()
        return self.warehouse.spark.table(self.place)

    def made_by(self, rows: ir.Table) -> DataFrame:
        """The rows of an expression, in the types that are stored."""
        if self.warehouse.is_on_spark(rows):
            return self.as_stored(self.warehouse.frame(rows))
        handed_over = self.warehouse.writer.to_pyarrow(rows)
        return self.as_stored(self.warehouse.spark.createDataFrame(handed_over))

    def as_stored(self, frame: DataFrame) -> DataFrame:
        """Rows in the table's columns and types."""
        return frame.select(
            *(frame[name].cast(type_in_spark(dtype)).alias(name) for name, dtype in self._types)
        )

    @cached_property
    def _types(self) -> list[tuple[str, Any]]:
        return [(name, dtype.copy(nullable=True)) for name, dtype in self.contract.schema.items()]

    def replace_due(self, rows: ir.Table) -> None:
        """See ``engine.Stored``."""
        _ = self.warehouse.writer  # refuses outside a run
        if self.due is None:
            return super().replace_due(rows)  # which refuses it
        if self.due.is_nothing:
            return None
        started = time.perf_counter()
        deleted, inserted = Replacement(self, self.due, self.made_by(rows)).make()
        self.note(deleted, inserted, time.perf_counter() - started)
        return None

    def replace_rows(self, rows: ir.Table) -> None:
        """See ``StoredTable``."""
        started = time.perf_counter()
        if not (self.warehouse.is_on_spark(rows) or self.frame.take(1)):
            self.note(0, self.append(rows), time.perf_counter() - started)
            return
        new = self.warehouse.kept_view(f"new_{self.table_name}", self.made_by(rows))
        old = self.frame.select(*self.columns)
        if old.exceptAll(new).take(1) or new.exceptAll(old).take(1):
            deleted = old.count()
            self.insert(new, overwrite=True)
            self.note(deleted, new.count(), time.perf_counter() - started)

    def append(self, rows: ir.Table | list[dict[str, Any]]) -> int:
        """See ``engine.Stored``."""
        import ibis

        self.ensure()
        if isinstance(rows, list):
            rows = ibis.memtable(rows, schema=self.contract.schema)
        if self.warehouse.is_on_spark(rows):
            return self.insert(self.made_by(rows))
        query = f"SELECT {typed(dict(self._types))} FROM {self.of_book(rows)}"
        reader = self.warehouse.writer.con.execute(query).to_arrow_reader(BATCH_ROWS)
        return self.insert_rows(reader)

    def of_book(self, rows: ir.Table) -> str:
        """An expression over the book's engine, as SQL of it."""
        return f"({self.compile(rows)})"

    def insert_from(self, rows: str) -> int:
        """See ``StoredTable``."""
        return self.insert(self.as_stored(self.warehouse.spark.sql(f"SELECT * FROM {rows}")))

    def insert(self, frame: DataFrame, *, overwrite: bool = False) -> int:
        """Add rows in the stored types, or put them in the place of all; returns how many."""
        from pyspark.sql.functions import lit

        if self.kept.has_versions and VERSION not in frame.columns:
            frame = frame.withColumn(VERSION, lit(self.warehouse.number))
        writing = frame.writeTo(self.place)
        if overwrite:
            writing.overwrite(lit(True))
        else:
            writing.append()
        return self.changed_by_last("added-records")

    def insert_rows(self, reader: pa.RecordBatchReader) -> int:
        """Add rows of the book's engine, with their versions if they have some; each batch a file.

        Raises:
            LingokidsError: Some of them were not written.
        """
        rows = written = 0
        for batch in reader:
            frame = self.warehouse.spark.createDataFrame(pa.Table.from_batches([batch]))
            stored = (
                frame[name].cast(type_in_spark(dtype.copy(nullable=True))).alias(name)
                for name, dtype in self.stored_columns.items()
                if name in frame.columns
            )
            rows += len(batch)
            written += self.insert(frame.select(*stored).coalesce(1))
        if rows != written:
            raise LingokidsError(
                f"{self.table_name}: of {rows:,} rows Spark wrote {written:,}: give the command "
                "again. Nothing was changed."
            )
        return written

    def mark(self, units: DataFrame) -> None:
        """Mark what rows left, by the columns that readers know them by."""
        names = ", ".join(f"`{name}`" for name in units.columns)
        left = units.selectExpr(f"to_json(struct({names})) AS unit").toArrow()
        number = pa.scalar(self.warehouse.number, pa.int32())
        marks = {
            "table_name": pa.repeat(self.table_name, len(left)),
            "unit": left["unit"],
            "version": pa.repeat(number, len(left)),
        }
        con = self.warehouse.writer.con
        con.register("marks_", pa.table(marks))
        con.execute(f"INSERT INTO {GONE.table_name} BY NAME FROM marks_")
        con.unregister("marks_")

    def changed_by_last(self, what: str) -> int:
        """What the last write says of itself."""
        query = f"SELECT summary FROM {self.place}.snapshots ORDER BY committed_at DESC LIMIT 1"
        rows = self.warehouse.spark.sql(query).collect()
        return int(rows[0].summary.get(what, 0)) if rows else 0

    def run(self, sql: str) -> int:
        """Refused: it is SQL of the other engine."""
        raise LingokidsError(f"{self.table_name}: this is not done on Spark yet ({sql[:40]}…).")

    def clear(self) -> None:
        """See ``engine.Stored``."""
        self.ensure()
        deleted = self.count()
        if self.faults:
            self.drop()
            self._create()
        elif deleted:
            self.warehouse.spark.sql(f"DELETE FROM {self.place}")
        self.note(deleted, 0, 0.0)

    def drop(self) -> None:
        """Forget the table, here and in the book."""
        self.warehouse.spark.sql(f"DROP TABLE {self.place}")
        self.warehouse.writer.con.execute(f"DROP TABLE {self.name}")
        del self.warehouse.columns[self.table_name]

    def _create(self) -> None:
        assert self.warehouse.namespace != MAIN
        columns = [f"`{name}` {type_in_spark(dtype)}" for name, dtype in self._types]
        if self.kept.has_versions:
            columns.append(f"{VERSION} INT")
        # what names someone is in no list of files, which would keep what files had
        unlisted = {
            f"write.metadata.metrics.column.{name}": "counts"
            for name in columns_with_people(self.contract)
        }
        properties = ", ".join(
            f"'{name}' = '{value}'" for name, value in (_PROPERTIES | unlisted).items()
        )
        # a rolled-back run may have made one of the same name
        new = f"{self.warehouse.location}/{self.table_name}-{uuid.uuid4().hex[:12]}"
        place = self.warehouse.catalog.location_of(self.table_name) or new
        self.warehouse.spark.sql(
            f"CREATE TABLE {self.place} ({', '.join(columns)}) USING iceberg "
            f"LOCATION '{place}' TBLPROPERTIES ({properties})"
        )
        super()._create()
