"""Lines of erased people on Spark: the book has them while its engine takes the people out.

There are few of them. So what becomes of one is said once, in ``storage.duckdb.erased``, and is
the same on both engines: here they are found by the workers, brought, and written back.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from lingokids import schema
from lingokids.storage.duckdb.bronze import StoredBronze
from lingokids.storage.duckdb.erased import NAMED_LINES, columns_with_people
from lingokids.storage.duckdb.expressions import typed
from lingokids.storage.duckdb.stored import StoredTable
from lingokids.storage.duckdb.warehouse import ON_SPARK
from lingokids.storage.spark.reading import naming_erased
from lingokids.storage.spark.stored import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from lingokids.schema import Contract
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.spark.bronze import SparkBronze
    from lingokids.storage.spark.warehouse import SparkWarehouse

_LINE = list(schema.LINE)
_NAMED, _BROKEN, _OBJECTS = "erased_lines", "erased_broken_lines", "erased_objects"


class _TableInBook(StoredTable):
    """A table that the book has the columns of, and for a moment some rows."""

    @property
    def name(self) -> str:
        """See ``StoredTable``."""
        return f'{ON_SPARK}."{self.table_name}"'


class LinesInBook(_TableInBook, StoredBronze):
    """The lines of a dataset that name someone, with their objects and what belongs to them.

    Args:
        bronze: The table on Spark that they are of.
    """

    warehouse: SparkWarehouse

    def __init__(self, bronze: SparkBronze) -> None:
        super().__init__(bronze.warehouse, cast("BronzeDataset", bronze.kept))
        self._bronze = bronze
        of_dataset = f"dataset = '{self.dataset}'"
        ledger, quarantine, rescued = bronze.ledger, bronze.quarantine, bronze.rescued
        #: Of each table, which rows the book has: of what it lists, and by which columns.
        self._parts: list[tuple[Any, str, str, list[str]]] = [
            (bronze, "true", _NAMED, _LINE),
            (rescued, of_dataset, _NAMED, _LINE),
            (quarantine, of_dataset, _BROKEN, _LINE),
            (ledger, of_dataset, _OBJECTS, ["object_key"]),
        ]
        self._is_empty = True

    def _beside(self, contract: Contract) -> StoredTable:
        return _TableInBook(self.warehouse, super()._beside(contract).kept)

    def fetch(self) -> None:
        """Bring them into the book."""
        named = reduce(_union, self._texts())
        named = naming_erased(self.warehouse, self.dataset, named).drop("text")
        named = reduce(_union, [named, *self._lines_of_raw()]).distinct()
        named = self.warehouse.kept_view("named_lines", named)
        self._is_empty = not named.take(1)
        if self._is_empty:
            return
        self.warehouse.view(_BROKEN, named.where("is_broken").select(*_LINE))
        named = self.warehouse.view(_NAMED, named.where("NOT is_broken").select(*_LINE))
        self.warehouse.view(_OBJECTS, named.select("object_key").distinct())
        con = self.warehouse.writer.con
        for table, which, listed, by in self._parts:
            rows = table.frame.where(which).join(self.warehouse.spark.table(listed), by, "semi")
            con.register("brought_", rows.toArrow())
            values = typed(table.stored_columns)
            con.execute(f"INSERT INTO {table.name} BY NAME SELECT {values} FROM brought_")
            con.unregister("brought_")

    def hand_back(self) -> None:
        """Put what was made of them in their places."""
        if self._is_empty:
            return
        con, spark = self.warehouse.writer.con, self.warehouse.spark
        for table, which, listed, by in self._parts:
            if self.warehouse.rewritten_loads[table.table_name]:
                key = ", ".join(by)
                spark.sql(
                    f"DELETE FROM {table.place} "
                    f"WHERE {which} AND ({key}) IN (SELECT {key} FROM {listed})"
                )
                table.insert_rows(con.execute(f"FROM {table.name}").to_arrow_reader(BATCH_ROWS))
            con.execute(f"DELETE FROM {table.name}")

    def _texts(self) -> Iterator[DataFrame]:
        """All that may name someone, with the line that it is of."""
        bronze, of_dataset = self._bronze, f"dataset = '{self.dataset}'"
        people = columns_with_people(self.contract)
        single = ", ".join(f"`{name}`" for name, is_list in people.items() if not is_list)
        lists = (f"coalesce(`{name}`, array())" for name, is_list in people.items() if is_list)
        keys = "array_join(transform(unknown_keys, each -> each.key), ' ')"
        tables: list[tuple[Any, str, str]] = [
            (bronze, "true", f"explode(concat({', '.join([f'array({single})', *lists])}))"),
            (bronze.rescued, of_dataset, f"concat_ws(' ', rescued, {keys})"),
            (bronze.quarantine, of_dataset, "line_text"),
        ]
        for table, which, text in tables:
            is_broken = f"{table is bronze.quarantine} AS is_broken"
            yield table.frame.where(which).selectExpr(*_LINE, is_broken, f"{text} AS text")

    def _lines_of_raw(self) -> Iterator[DataFrame]:
        """The lines of bronze that raw objects tell are someone's."""
        of_raw = [
            line._asdict()
            for line in self.warehouse.erasing.lines_named
            if line.dataset == self.dataset
        ]
        if of_raw:
            lines = self.warehouse.spark.createDataFrame(pa.Table.from_pylist(of_raw, NAMED_LINES))
            found = self._bronze.frame.join(lines, [*schema.DELIVERY], "semi")
            yield found.selectExpr(*_LINE, "false AS is_broken")


def _union(one: DataFrame, other: DataFrame) -> DataFrame:
    return one.union(other)
