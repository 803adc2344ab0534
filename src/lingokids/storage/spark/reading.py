"""Raw objects on Spark: workers read them, with the code that reads them on one machine.

A task is a list of objects. Its worker fetches them, cuts and parses their lines with a DuckDB of
its own, and hands back what the tables keep: line numbers, reasons and unknown keys are those that
DuckDB's warehouse has. What is not kept of persons, and whose lines are refused, stays with it.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend

from lingokids import schema
from lingokids.schema import Delivery
from lingokids.storage.duckdb.erased import naming
from lingokids.storage.duckdb.expressions import table_of, typed
from lingokids.storage.duckdb.memory import bounded
from lingokids.storage.duckdb.parsing import RecordReader, begun
from lingokids.storage.duckdb.parsing import validate_texts as validated_texts
from lingokids.storage.raw.reading import Reading
from lingokids.storage.raw.stores import RawObject
from lingokids.storage.spark.catalog import expected_failures
from lingokids.storage.spark.dialect import type_in_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.types as ir
    from pyspark.sql import DataFrame

    from lingokids.storage.duckdb.minimising import Minimisation
    from lingokids.storage.erasures import Erasures
    from lingokids.storage.spark.warehouse import SparkWarehouse

#: A task has so much text, and at most one object more; of little, no task is worth its start.
_MOST_BYTES, _LEAST_BYTES = 128 << 20, 4 << 20
_OBJECT_BYTES = 64 << 10  # of text are validated while an object is asked for
_GZIPPED = 8  # times as much text as bytes, about
_TASKS_A_CORE = 2
_ROWS_A_BATCH = 4_096  # that are handed back at a time
_TEXTS = (*schema.DELIVERY, "line_text", *schema.ARRIVAL)


@dataclass(frozen=True)
class Worker:
    """What a worker needs to know; Spark sends it there with the task.

    Attributes:
        reading: How objects are read.
        minimisation: What is not kept.
        erasures: Whose lines are refused.
        settings: Of the DuckDB that it starts.
    """

    reading: Reading
    minimisation: Minimisation
    erasures: Erasures
    settings: dict[str, Any]

    @property
    def columns(self) -> ibis.Schema:
        """Of what it hands back: one row per line, and one of line 0 for each object read."""
        fields = (field.column for field in self.reading.fields)
        names = (*_TEXTS, *fields, "reason", *schema.LEFT_OVER)
        return ibis.schema({**_types_of(names), "is_blank": "boolean"})

    @property
    def columns_in_spark(self) -> str:
        """The same, in its words."""
        types = ((name, type_in_spark(dtype)) for name, dtype in self.columns.items())
        return ", ".join(f"`{name}` {dtype}" for name, dtype in types)

    def read(self, tasks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read the objects of a task, which come as rows of ``RawObject``."""
        rows = sorted((row for batch in tasks for row in batch.to_pylist()), key=_in_order)
        due = [RawObject(*(row[name] for name in RawObject._fields)) for row in rows]
        with self._engine() as engine:
            reader = RecordReader(engine, self.erasures, self.reading, due)
            for batch in self.reading.batches(due, lambda _gone: None):
                lines = reader.read(batch).lines
                yield from self._handed_back(engine, lines.get_name())
                yield from self._read(begun(due, batch))

    def validate(self, texts: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Validate lines that come as rows of their place and text."""
        with self._engine() as engine:
            for batch in texts:
                engine.con.register("texts", pa.Table.from_batches([batch]))
                lines = table_of(engine, "texts", ibis.schema(_types_of(_TEXTS)))
                found = validated_texts(engine, self.reading.dataset, lines, self.reading.validate)
                yield from self._handed_back(engine, f"({engine.compile(found)})")

    def find_erased(self, texts: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The texts that name erased people; they come as rows of ``text``."""
        with self._engine() as engine:
            for batch in texts:
                engine.con.register("texts", pa.Table.from_batches([batch]))
                if named := naming(engine.con, self.erasures, "texts"):
                    yield from named.to_batches()

    @contextlib.contextmanager
    def _engine(self) -> Iterator[Backend]:
        """A DuckDB that has nothing but this task, and one core like it."""
        with tempfile.TemporaryDirectory(prefix="lingokids-") as folder:
            settings = {**self.settings, "threads": 1, "temp_directory": folder}
            with (
                duckdb.connect(config=settings) as connection,
                bounded(connection, self.reading.engine_mebibytes),
            ):
                self.minimisation.give_key(connection)
                yield Backend.from_connection(connection)

    def _handed_back(self, engine: Backend, rows: str) -> Iterator[pa.RecordBatch]:
        """Validated lines without what is not kept, in Spark's types."""
        values = typed({name: _as_text(dtype) for name, dtype in self.columns.items()})
        found = engine.con.sql(f"SELECT {values} FROM {self.minimisation.of(rows)}")
        yield from found.to_arrow_table().cast(self._arrow).to_batches(_ROWS_A_BATCH)

    def _read(self, objects: list[RawObject]) -> Iterator[pa.RecordBatch]:
        if objects:
            rows = [{**each._asdict(), "line_number": 0} for each in objects]
            yield from pa.Table.from_pylist(rows, self._arrow).to_batches(_ROWS_A_BATCH)

    @cached_property
    def _arrow(self) -> pa.Schema:
        return ibis.schema({name: _as_text(it) for name, it in self.columns.items()}).to_pyarrow()


def read_objects(
    warehouse: SparkWarehouse,
    reading: Reading,
    due: list[RawObject],
    pass_over: Callable[[RawObject], None],
) -> Delivery:
    """Read objects on the workers, once; see ``engine.Engine``."""
    worker = _worker(warehouse, reading)
    rows = _tasks(warehouse, due).mapInArrow(worker.read, worker.columns_in_spark)
    with expected_failures(f"The raw {reading.dataset}"):
        found = warehouse.kept_view(f"found_{reading.dataset}", rows)
        read = _named(found.where("line_number = 0"))
        lines = found.where("line_number > 0")
        warehouse.rows_read += lines.count()
    objects = []
    for each in due:
        if (each.object_key, each.load_id) in read:
            objects.append(each)
            warehouse.bytes_read += each.size_bytes
        else:
            pass_over(each)
    rows = warehouse.spark.createDataFrame(_rows_of(objects))
    return Delivery(
        warehouse.named(f"lines_of_{reading.dataset}", lines, worker.columns),
        warehouse.named(f"objects_of_{reading.dataset}", rows, _types_of(RawObject._fields)),
    )


def validate_texts(
    warehouse: SparkWarehouse,
    dataset: str,
    lines: ir.Table,
    validate: Callable[[ir.Table], ir.Table],
) -> ir.Table:
    """See ``engine.Engine``."""
    worker = _worker(warehouse, Reading(dataset, _no_place, validate, 0, None))
    texts = warehouse.frame(lines.select(*_TEXTS))
    rows = texts.mapInArrow(worker.validate, worker.columns_in_spark)
    return warehouse.named(f"texts_of_{dataset}", rows, worker.columns)


def naming_erased(warehouse: SparkWarehouse, dataset: str, rows: DataFrame) -> DataFrame:
    """The rows whose ``text`` names someone who was erased."""
    worker = _worker(warehouse, Reading(dataset, _no_place, len, 0, None))
    named = rows.select("text").distinct().mapInArrow(worker.find_erased, "text STRING")
    return rows.join(named, "text", "left_semi")


def _no_place() -> Any:
    raise NotImplementedError  # texts are in a table


def _worker(warehouse: SparkWarehouse, reading: Reading) -> Worker:
    kept = warehouse.minimisations[reading.dataset]
    return Worker(reading, kept, warehouse.erasing.erasures, warehouse.settings)


def _types_of(names: Iterable[str]) -> dict[str, str]:
    return {name: schema.COLUMNS[name].type for name in names}


def _rows_of(objects: list[RawObject]) -> pa.Table:
    columns = ibis.schema(_types_of(RawObject._fields)).to_pyarrow()
    return pa.Table.from_pylist([each._asdict() for each in objects], columns)


def _named(objects: DataFrame) -> set[tuple[str, int]]:
    keys = objects.select("object_key", "load_id").toArrow()
    return {*zip(*(column.to_pylist() for column in keys.columns), strict=True)}


def _tasks(warehouse: SparkWarehouse, due: list[RawObject]) -> DataFrame:
    """The objects, each task's as a partition."""
    from pyspark.sql.functions import broadcast

    spark = warehouse.spark
    tasks = numbers_of_tasks(due, spark.sparkContext.defaultParallelism)
    rows = _rows_of(due).append_column("id", pa.array(tasks))
    rows = rows.append_column("place", pa.array(np.arange(len(due))))
    count = int(tasks[-1]) + 1
    # a row for each task, on a partition of its own: the join moves none of them
    return spark.range(0, count, 1, count).join(broadcast(spark.createDataFrame(rows)), "id")


def numbers_of_tasks(due: list[RawObject], cores: int) -> np.ndarray:
    """The number of the task that reads each object: neighbours, of about as many bytes."""
    sizes = [
        each.size_bytes * (_GZIPPED if each.key.endswith(".gz") else 1) + _OBJECT_BYTES
        for each in due
    ]
    ends = np.cumsum(sizes)
    share = np.clip(ends[-1] / (cores * _TASKS_A_CORE), _LEAST_BYTES, _MOST_BYTES)
    starts = ((ends - sizes) // share).astype(np.int64)
    return np.unique(starts, return_inverse=True)[1]


def _in_order(row: dict[str, Any]) -> int:
    return int(row["place"])


def _as_text(dtype: dt.DataType) -> dt.DataType:
    """The type with text in the place of uuids."""
    if dtype.is_array():
        return dt.Array(_as_text(dtype.value_type))
    return dt.string if dtype.is_uuid() else dtype
