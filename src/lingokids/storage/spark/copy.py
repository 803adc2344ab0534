"""The published copy of gold that is on Spark: the same file, for the same readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingokids.storage.duckdb.expressions import typed
from lingokids.storage.duckdb.published_copy import PublishedCopy
from lingokids.storage.duckdb.warehouse import VERSION
from lingokids.storage.spark.catalog import expected_failures

if TYPE_CHECKING:
    from lingokids.storage.spark.warehouse import SparkWarehouse


class CopyFromSpark(PublishedCopy):
    """See ``PublishedCopy``: rows come over as Arrow, of a change only those of its units."""

    _warehouse: SparkWarehouse

    def publish(self) -> None:
        """See ``PublishedCopy``."""
        with expected_failures("The run is committed, but the copy of gold was not written"):
            super().publish()

    def _copy_changes(self, name: str) -> None:
        due = self._warehouse.due.get(name)
        if name in self._warehouse.changed_tables and due is not None and due.relation is not None:
            units = self._handed_over(name, due.relation, due.step.unit)
            self._con.execute(f'CREATE OR REPLACE TEMP TABLE "{due.relation}" AS {units}')
        super()._copy_changes(name)

    def _rows_of(self, name: str) -> str:
        if name not in self._warehouse.on_spark:
            return super()._rows_of(name)
        due = self._warehouse.due.get(name)
        columns = [column for column in self._warehouse.columns[name] if column != VERSION]
        relation = self._warehouse.name_of(name)
        if self.is_of_changes and due is not None and due.relation is not None:
            unit = ", ".join(f"`{column}`" for column in due.step.unit)
            relation = f"(SELECT * FROM {relation} LEFT SEMI JOIN {due.relation} USING ({unit}))"
        return self._handed_over(name, relation, columns)

    def _handed_over(self, name: str, relation: str, columns: tuple[str, ...] | list[str]) -> str:
        """Columns of a relation of Spark as a query of the book's engine, to be asked once."""
        from lingokids.storage.spark.backend import streamed

        types = self._warehouse.columns[name]
        listed = ", ".join(f"`{column}`" for column in columns)
        rows = streamed(self._warehouse.spark.sql(f"SELECT {listed} FROM {relation}"))
        self._con.register("handed_over_", rows)
        return f"SELECT {typed({name: types[name] for name in columns})} FROM handed_over_"
