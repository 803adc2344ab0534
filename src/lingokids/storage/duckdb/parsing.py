"""Parses JSON lines, once, into a struct of text values, and has them validated.

It is SQL text because Ibis has no word for the engine's lenient JSON reading.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.schema import Delivery
from lingokids.storage.duckdb.erased import changed_lines
from lingokids.storage.duckdb.expressions import compiled, no_rows, table_of
from lingokids.storage.duckdb.memory import bounded, give_back
from lingokids.storage.duckdb.sentences import out_of_room
from lingokids.storage.duckdb.unknown_keys import with_odd_marked, with_unknown_keys
from lingokids.storage.raw import lines as line_cutting
from lingokids.storage.raw.progress import progress_bar
from lingokids.storage.raw.stores import RawObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from lingokids.schema import Field
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.erasures import Erasures
    from lingokids.storage.raw.reading import Reading

    LookAtOdd = Callable[[str, tuple[Field, ...], dict[str, Any]], str]

#: What names a line: of a batch, and of the warehouse.
_PLACE = ("object_index", "line_number")
_KNOWN = (*_PLACE, "landed_at")  # its instants are compared with it
_DELIVERED = (*schema.DELIVERY, *schema.ARRIVAL)

_ODD_BYTES = 2 << 20  # of text that is looked at whole at a time


class _Slot:
    """An Arrow table under a name the engine knows, replaced batch by batch.

    Registering each batch again would keep all of them until the run's commit: inside a
    transaction the engine forgets no view.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
        self.table = table
        connection.register(name, self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def read_objects(
    warehouse: Warehouse,
    reading: Reading,
    due: list[RawObject],
    pass_over: Callable[[RawObject], None],
) -> Iterator[Delivery]:
    """See ``engine.Engine``."""
    reader = RecordReader(warehouse.writer, warehouse.erasing.erasures, reading, due)
    with (
        bounded(warehouse.writer.con, reading.engine_mebibytes),
        progress_bar(reading.dataset, len(due)) as advance,
    ):
        for batch in reading.batches(due, pass_over):
            warehouse.rows_read += sum(piece.lines for piece in batch)
            warehouse.bytes_read += sum(each.size_bytes for each in begun(due, batch))
            yield reader.read(batch)
            advance(len({piece.object_index for piece in batch}))
        reader.forget()
    give_back()


def begun(due: list[RawObject], batch: list[line_cutting.Piece]) -> list[RawObject]:
    """The objects whose first lines are in a batch."""
    return [due[piece.object_index] for piece in batch if piece.first_line == 1]


def validate_texts(
    writer: Backend, dataset: str, lines: ir.Table, validate: Callable[[ir.Table], ir.Table]
) -> ir.Table:
    """Parse and validate lines that are text in a table, lazily.

    Args:
        writer: The connection that asks.
        dataset: The raw dataset the lines are of.
        lines: The delivery, line_text, landed_at and load_id of each.
        validate: Types the lines and says which are unusable (``quality``).
    """
    fields = schema.FIELDS[dataset]
    texts = lines.select(*schema.DELIVERY, "line_text", *schema.ARRIVAL).mutate(
        problem=ibis.null("string")
    )
    lines = f"({_with_problems(f'({writer.compile(texts)})')})"
    records = _records_sql(lines, fields, _DELIVERED, with_unknown_keys)
    writer.con.execute(f"CREATE OR REPLACE TEMP VIEW texts_of_{dataset} AS {records}")
    return validate(table_of(writer, f"texts_of_{dataset}", _record_schema(fields, _DELIVERED)))


class RecordReader:
    """Hands batches of lines to the engine, always under the same names.

    The names stay, so the expressions made from them are the same for each batch and need
    compiling once.

    Args:
        writer: A connection.
        erasures: Whose lines are refused.
        reading: How the lines are read.
        due: The objects they are of.
    """

    def __init__(
        self, writer: Backend, erasures: Erasures, reading: Reading, due: list[RawObject]
    ) -> None:
        self._writer, self._con = writer, writer.con
        self._erasures, self._due = erasures, due
        self._dataset, fields = reading.dataset, reading.fields
        dataset, validate = reading.dataset, reading.validate
        self._read = self._slot("read", _objects_table(due, []))
        self._no_lines = _of_objects(line_cutting.to_arrow([]), self._read.table, ["landed_at"])
        self._batch = self._slot("batch_of", self._no_lines)
        marked = self._records("records_of", fields, with_odd_marked, "keys_at_most")
        whole = self._records("odd_records_of", fields, with_unknown_keys)
        validated = validate(marked)
        self._validating = functools.partial(compiled, self._writer, validated)
        # both have the same columns: Ibis need not print the same query for the other name
        before, after = (f'"{table.get_name()}"' for table in (marked, whole))
        self._validating_odd = lambda: self._validating().replace(before, after)
        self._nothing = self._located(self._worked_out(no_rows(validated.schema())))
        self._validated = self._slot("validated_of", self._nothing)
        self._validated_odd = self._slot("validated_odd_of", self._nothing)
        self._con.execute(
            f"CREATE OR REPLACE TEMP VIEW validated_{dataset} AS "
            f"FROM validated_of_{dataset} WHERE rescued IS DISTINCT FROM '' "
            f"UNION ALL FROM validated_odd_of_{dataset}"
        )
        of_lines = {name: _OBJECT_COLUMNS[name] for name in _OF_LINES}
        columns = validated.drop("landed_at").schema() | ibis.schema(of_lines)
        self._delivery = Delivery(
            table_of(self._writer, f"validated_{dataset}", columns),
            table_of(self._writer, f"read_{dataset}", ibis.schema(_OBJECT_COLUMNS)),
        )

    def read(self, batch: list[line_cutting.Piece]) -> Delivery:
        """Parse and validate a batch: its lines, and the objects it is of."""
        indexes = sorted({piece.object_index for piece in batch})
        self.forget()
        self._read.table = _objects_table(self._due, indexes)
        if batch:
            lines = self._without_erased(line_cutting.to_arrow(batch))
            self._batch.table = _of_objects(lines, self._read.table, ["landed_at"])
            validated = self._worked_out(self._validating())
            self._validated.table = self._located(validated)
            self._validated_odd.table = self._located(self._validate_odd(validated))
        return self._delivery

    def forget(self) -> None:
        """Free the last batch."""
        self._batch.table = self._no_lines
        self._validated.table = self._validated_odd.table = self._nothing

    def _without_erased(self, lines: pa.Table) -> pa.Table:
        """The lines, those of erased people without their text."""
        if not self._erasures.people:
            return lines
        self._batch.table = lines
        changed = changed_lines(
            self._con, self._erasures, self._dataset, f"batch_of_{self._dataset}"
        )
        if changed is None:
            return lines
        others = lines.filter(pa.array(~np.isin(_line_ids(lines), _line_ids(changed))))
        return pa.concat_tables([others, changed.cast(lines.schema)])

    def _located(self, lines: pa.Table) -> pa.Table:
        return _of_objects(lines.drop_columns("landed_at"), self._read.table, _OF_LINES)

    def _slot(self, name: str, table: pa.Table) -> _Slot:
        return _Slot(self._con, f"{name}_{self._dataset}", table)

    def _records(
        self, view: str, fields: tuple[Field, ...], look_at_odd: LookAtOdd, *looked_at: str
    ) -> ir.Table:
        """The records of the batch, as a view that ``looked_at`` columns pass through."""
        lines = f"({_with_problems(f'batch_of_{self._dataset}')})"
        records = _records_sql(lines, fields, (*_KNOWN, *looked_at), look_at_odd)
        name = f"{view}_{self._dataset}"
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {records}")
        return table_of(self._writer, name, _record_schema(fields, _KNOWN))

    def _validate_odd(self, validated: pa.Table) -> pa.Table:
        """Validate lines that may have unknown keys, with every key listed."""
        odd = validated.select(_PLACE).filter(pc.equal(validated["rescued"], ""))
        batch = self._batch.table
        parts = [validated.slice(0, 0)]
        for some in _in_parts(batch.filter(pa.array(np.isin(_line_ids(batch), _line_ids(odd))))):
            self._batch.table = some
            parts.append(self._worked_out(self._validating_odd()))
        return pa.concat_tables(parts)

    def _worked_out(self, query: str) -> pa.Table:
        """The validated lines as Arrow: a table would stay in memory until the commit."""
        self._con.execute("SET arrow_lossless_conversion = true")  # uuids stay 16 bytes
        try:
            validated = self._con.sql(query).to_arrow_table()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"The raw {self._dataset}: {out_of_room(error)}") from error
        self._con.execute("RESET arrow_lossless_conversion")
        return validated


def _of_objects(lines: pa.Table, objects: pa.Table, names: Iterable[str]) -> pa.Table:
    """Lines with values of their object, which are stored once for all its lines."""
    indexes = objects["object_index"].to_numpy()
    places = pa.array(np.searchsorted(indexes, lines["object_index"].to_numpy()), pa.int32())
    for name in names:
        column = pa.DictionaryArray.from_arrays(places, objects[name].chunk(0))
        lines = lines.append_column(name, column)
    return lines


def _in_parts(lines: pa.Table) -> Iterator[pa.Table]:
    """Lines in parts of bounded text: listing keys takes many times its bytes."""
    ends = np.cumsum(pc.binary_length(lines["line_text"]).to_numpy())
    starts = np.flatnonzero(np.diff(ends // _ODD_BYTES, prepend=-1))
    for start, end in itertools.pairwise([*starts.tolist(), len(lines)]):
        yield lines.slice(start, end - start)


def _line_ids(lines: pa.Table) -> np.ndarray:
    """One number for each line of a run."""
    objects, numbers = (lines[name].to_numpy().astype(np.int64) for name in _PLACE)
    return objects << 32 | numbers


def _records_sql(
    lines: str,
    fields: tuple[Field, ...],
    known: tuple[str, ...],
    look_at_odd: LookAtOdd,
) -> str:
    """Each line with its ``known`` columns, problem, record and unknown keys."""
    shape = schema.record_shape(fields)
    parsed = f"""
        SELECT {", ".join(known)}, line_text,
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
    not_json = rf"""
        CASE WHEN regexp_matches(line_text, '[\[{{,]\s*$|^\s*[\]}}]\s*$')
        THEN '{schema.JSON_PIECE}' ELSE 'not JSON' END
    """
    return rf"""
        SELECT * REPLACE (CASE
            WHEN problem IS NOT NULL THEN problem
            WHEN starts_with(line_text, '{{') THEN
                CASE WHEN json_valid(line_text) THEN NULL ELSE {not_json} END
            WHEN trim(line_text, E' \t\r\n') = '' THEN 'blank'
            WHEN starts_with(ltrim(line_text, E' \t\r\n'), '[') THEN '{schema.JSON_ARRAY}'
            WHEN NOT json_valid(line_text) THEN {not_json}
            WHEN NOT starts_with(ltrim(line_text, E' \t\r\n'), '{{') THEN 'not a JSON object'
        END AS problem) FROM {lines}
    """


_OBJECT_COLUMNS = {
    "object_index": "int32",
    **{
        name: schema.COLUMNS[name].type
        for name in ("object_key", "etag", "size_bytes", *schema.ARRIVAL)
    },
}


_OF_LINES = ("object_key", "etag", *schema.ARRIVAL)


def _objects_table(due: list[RawObject], indexes: list[int]) -> pa.Table:
    """Some of the objects to be read."""
    columns = ibis.schema(_OBJECT_COLUMNS).to_pyarrow()
    values = {
        "object_index": indexes,
        **{name: [getattr(due[index], name) for index in indexes] for name in RawObject._fields},
    }
    return pa.table({field.name: pa.array(values[field.name], field.type) for field in columns})


def _record_schema(fields: tuple[Field, ...], known: tuple[str, ...]) -> ibis.Schema:
    """The columns that ``_records_sql`` selects."""
    return ibis.schema(
        {name: _OBJECT_COLUMNS.get(name) or schema.COLUMNS[name].type for name in known}
        | {"line_text": "string", "problem": "string", "is_blank": "boolean"}
        | {name: schema.COLUMNS[name].type for name in schema.LEFT_OVER}
        | {"record": schema.record_type(schema.record_shape(fields))}
    )
