"""Turns lines into records: JSON is parsed here, once, into a struct of text values.

Here: the hand-over of a batch of lines to the engine, and its one parse. Elsewhere: fetching the
lines (``objects``), typing and judging the values (``quality``). The SQL here is text because Ibis
has no word for the engine's lenient JSON reading.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.expr import operations as ops

from lingokids import contracts
from lingokids.datasets.raw import lines as line_cutting
from lingokids.datasets.raw.unknown_keys import with_odd_marked, with_unknown_keys
from lingokids.datasets.tables import no_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import duckdb
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from lingokids.contracts import Field
    from lingokids.datasets.warehouse import Warehouse

_ODD_BYTES = 2 << 20  # of text that is looked at whole at a time


class RawObject(NamedTuple):
    """One object version to be read."""

    key: str
    etag: str
    size_bytes: int
    landed_at: datetime
    load_id: int


class _Slot:
    """An Arrow table under a name that the engine knows, to be replaced batch by batch.

    Registering each batch anew would keep all of them until the run's commit: inside a
    transaction the engine forgets no view.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        self.table = table
        connection.register(name, self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def judge_texts(
    warehouse: Warehouse,
    dataset: str,
    fields: tuple[Field, ...],
    lines: ir.Table,
    judge: Callable[[ir.Table], ir.Table],
) -> ir.Table:
    """Parse and judge lines that stand as text in a table of the warehouse, lazily.

    Args:
        warehouse: The warehouse whose run asks.
        dataset: The raw dataset the lines are of.
        fields: The fields of its records.
        lines: The delivery, line_text, landed_at and load_id of each.
        judge: Types the lines and says which are unusable (``quality``).
    """
    writer = warehouse.writer
    texts = lines.select(*contracts.DELIVERY, "line_text", *contracts.ARRIVAL).mutate(
        problem=ibis.null("string"), keys_at_most=ibis.null("int32")
    )
    records = _records_sql(f"({_with_problems(f'({writer.compile(texts)})')})", fields)
    writer.con.execute(f"CREATE OR REPLACE TEMP VIEW texts_of_{dataset} AS {records}")
    return judge(_table(writer, f"texts_of_{dataset}", _record_schema(fields)))


class RecordReader:
    """Hands batches of lines to the engine, always under the same names.

    The names stay, so the expressions made from them are the same for each batch and need
    compiling once.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        dataset: str,
        fields: tuple[Field, ...],
        due: list[RawObject],
        judge: Callable[[ir.Table], ir.Table],
    ) -> None:
        writer = warehouse.writer
        self._con = writer.con
        self._due = due
        self._con.register(f"due_{dataset}", _due_table(due))
        self._batch = _Slot(self._con, f"batch_of_{dataset}", line_cutting.to_arrow([]))
        # the text is looked at before the join, which would hold much more of it
        lines = f"({_with_problems(f'batch_of_{dataset}')}) JOIN due_{dataset} USING (object_index)"
        marked = _records_sql(lines, fields, look_at_odd=with_odd_marked)
        whole = _records_sql(lines, fields)
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW records_of_{dataset} AS {marked}")
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW odd_records_of_{dataset} AS {whole}")
        schema = _record_schema(fields)
        judged = judge(_table(writer, f"records_of_{dataset}", schema))
        odd = judge(_table(writer, f"odd_records_of_{dataset}", schema))
        self._judging = functools.cache(lambda: writer.compile(judged))
        self._judging_odd = functools.cache(lambda: writer.compile(odd))
        nothing = self._worked_out(no_rows(judged.schema()))
        self._judged = _Slot(self._con, f"judged_{dataset}", nothing)
        self._read = _Slot(self._con, f"read_{dataset}", _due_table([]))
        self._tables = (
            _table(writer, f"judged_{dataset}", judged.schema()),
            _table(writer, f"read_{dataset}", ibis.schema(_DUE_COLUMNS)),
        )

    def read(self, batch: list[line_cutting.Piece]) -> tuple[ir.Table, ir.Table]:
        """Parse and judge a batch: its lines, and the objects it is of."""
        indexes = sorted({piece.object_index for piece in batch})
        if batch:
            self._batch.table = line_cutting.to_arrow(batch)
            self._judged.table = self._with_odd_judged(self._worked_out(self._judging()), indexes)
        self._read.table = _due_table([self._due[index] for index in indexes])
        return self._tables

    def _with_odd_judged(self, judged: pa.Table, indexes: list[int]) -> pa.Table:
        """Judge the lines that may have keys besides their fields by all that is in them."""
        is_odd = pc.fill_null(pc.equal(judged["rescued"], ""), False)
        if not pc.any(is_odd).as_py():
            return judged
        index_of = {(self._due[index].key, self._due[index].etag): index for index in indexes}
        odd = judged.select([*contracts.DELIVERY]).filter(is_odd).to_pydict()
        objects = map(index_of.__getitem__, zip(odd["object_key"], odd["etag"], strict=True))
        wanted = _line_ids(np.fromiter(objects, np.int64), np.array(odd["line_number"]))
        batch = self._batch.table
        ids = _line_ids(batch["object_index"].to_numpy(), batch["line_number"].to_numpy())
        parts = [judged.filter(pc.invert(is_odd))]
        for some in _in_parts(batch.filter(pa.array(np.isin(ids, wanted)))):
            self._batch.table = some
            parts.append(self._worked_out(self._judging_odd()))
        return pa.concat_tables(parts)

    def _worked_out(self, query: str) -> pa.Table:
        """The judged lines as Arrow: a table would keep its memory until the run's commit."""
        self._con.execute("SET arrow_lossless_conversion = true")  # uuids stay 16 bytes
        try:
            return self._con.execute(query).to_arrow_table()
        finally:
            self._con.execute("RESET arrow_lossless_conversion")


def _in_parts(lines: pa.Table) -> Iterator[pa.Table]:
    """Lines in parts of bounded text: looking at all that is in one takes many times its bytes."""
    ends = np.cumsum(pc.binary_length(lines["line_text"]).to_numpy())
    starts = np.flatnonzero(np.diff(ends // _ODD_BYTES, prepend=-1))
    for start, end in itertools.pairwise([*starts.tolist(), len(lines)]):
        yield lines.slice(start, end - start)


def _line_ids(object_indexes: np.ndarray, line_numbers: np.ndarray) -> np.ndarray:
    """One number for each line of a run."""
    return object_indexes.astype(np.int64) << 32 | line_numbers.astype(np.int64)


def _table(backend: Backend, name: str, schema: ibis.Schema) -> ir.Table:
    """A table whose columns are known, without asking the engine for them."""
    return ops.DatabaseTable(name=name, schema=schema, source=backend).to_expr()


def _records_sql(
    lines: str,
    fields: tuple[Field, ...],
    look_at_odd: Callable[[str, tuple[Field, ...], dict[str, Any]], str] = with_unknown_keys,
) -> str:
    """Each line with the object it is of, its problem, its record and what that leaves out."""
    shape = _text_leaves(fields)
    parsed = f"""
        SELECT object_key, etag, line_number, line_text, landed_at, load_id, keys_at_most,
            nullif(problem, 'blank') AS problem,
            coalesce(problem = 'blank', false) AS is_blank,
            CASE WHEN problem IS NULL
            THEN json_transform(line_text, '{json.dumps(shape)}') END AS record
        FROM {lines}
    """
    return look_at_odd(parsed, fields, shape)


def _with_problems(lines: str) -> str:
    """Lines with the problem that their text has as JSON.

    Those that are plainly '{…' take the short way: an AND would trim every line, which costs more
    than parsing it, where a CASE looks only at those that are left.
    """
    return rf"""
        SELECT * REPLACE (CASE
            WHEN problem IS NOT NULL THEN problem
            WHEN starts_with(line_text, '{{') THEN
                CASE WHEN json_valid(line_text) THEN NULL ELSE 'not JSON' END
            WHEN trim(line_text, E' \t\r\n') = '' THEN 'blank'
            WHEN NOT json_valid(line_text) THEN 'not JSON'
            WHEN NOT starts_with(ltrim(line_text, E' \t\r\n'), '{{') THEN 'not a JSON object'
        END AS problem) FROM {lines}
    """


_DUE_COLUMNS = {
    "object_index": "int32",
    **{name: contracts.COLUMNS[name].type for name in ("object_key", "etag", *contracts.ARRIVAL)},
}


def _due_table(due: list[RawObject]) -> pa.Table:
    schema = ibis.schema(_DUE_COLUMNS).to_pyarrow()
    values = {
        "object_index": range(len(due)),
        "object_key": [item.key for item in due],
        "etag": [item.etag for item in due],
        "landed_at": [item.landed_at for item in due],
        "load_id": [item.load_id for item in due],
    }
    return pa.table({field.name: pa.array(values[field.name], field.type) for field in schema})


def _record_schema(fields: tuple[Field, ...]) -> ibis.Schema:
    """The columns that ``_records_sql`` selects."""
    return ibis.schema(
        {name: contracts.COLUMNS[name].type for name in (*contracts.DELIVERY, *contracts.ARRIVAL)}
        | {"line_text": "string", "problem": "string", "is_blank": "boolean"}
        | {name: contracts.COLUMNS[name].type for name in contracts.LEFT_OVER}
        | {"record": _type_of(_text_leaves(fields))}
    )


def _type_of(shape: dict[str, Any] | str) -> dt.DataType:
    if isinstance(shape, str):
        return dt.string
    return dt.Struct({key: _type_of(value) for key, value in shape.items()})


def _text_leaves(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The shape of a record with every value as text: what ``json_transform`` is asked for."""
    shape: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.path.split(".")
        level = shape
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = "VARCHAR"
    return shape
