"""One table of the warehouse: made, read, and written by the run that makes it."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import pyarrow as pa

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.incremental.fingerprint import made_of
from lingokids.storage.duckdb.expressions import (
    compiled,
    register_memtables,
    sql_type,
    table_of,
    text,
)
from lingokids.storage.duckdb.replacing import Replacement
from lingokids.storage.duckdb.sentences import out_of_room
from lingokids.storage.duckdb.state import are_as_of, set_state, state_of
from lingokids.storage.duckdb.units import FIRST_UNCOMMITTED_ROW, DueUnits, find_due, restricted
from lingokids.storage.duckdb.warehouse import VERSION
from lingokids.storage.engine import Change, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from lingokids.incremental.links import Step
    from lingokids.schema.parameters import Window
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.engine import Kept

_KEY = " Key: "
_COUNT_SCANNED = """
    PRAGMA enable_profiling = 'no_output';
    SET custom_profiling_settings = '{"OPERATOR_CARDINALITY": "true"}'
"""
_VERSION = {VERSION: ibis.dtype("int32", nullable=False)}


class StoredTable(Stored):
    """See ``engine.Stored``."""

    def __init__(self, warehouse: Warehouse, table: Kept) -> None:
        self.warehouse = warehouse
        self.kept = table
        self.contract = table.contract
        self.columns = table.contract.columns
        self.table_name = table.table_name

    # --- reading ---

    def load(self) -> ir.Table:
        """See ``engine.Stored``."""
        if self.warehouse.in_run:
            self.ensure()
            return self.visible_in(self.warehouse.writer)
        reader = self.warehouse.copy or self.warehouse.reader()
        if self.table_name not in reader.list_tables():
            raise LingokidsError(self.warehouse.why_missing(self.table_name))
        return self.visible_in(reader)

    def visible_in(self, backend: Backend) -> ir.Table:
        """The table with its promised types, without asking the engine."""
        if not self.kept.has_versions:
            return self._rows_in(backend, has_versions=False)
        # Ibis writes SELECT * for a table, so what nodes do not see is left out by name
        return self._rows_in(backend, has_versions=True).select(self.columns)

    @property
    def with_version(self) -> ir.Table:
        """The table as the run sees it, with the run that last changed each row."""
        self.ensure()
        return self._rows_in(self.warehouse.writer, has_versions=True)

    def _rows_in(self, backend: Backend, *, has_versions: bool) -> ir.Table:
        stored = self.contract.nullable_schema
        if has_versions:
            stored = ibis.schema({**stored, VERSION: "int32"})
        return table_of(backend, self.table_name, stored)

    def count(self) -> int:
        """See ``engine.Stored``."""
        return self.run(f"SELECT count(*) FROM {self.name}")

    def changed_rows(self) -> tuple[ir.Table, ir.Table | None]:
        """See ``engine.Stored``."""
        rows = self.visible_in(self.warehouse.writer)
        if not self.kept.unit:
            return rows.filter(rows.rowid() >= FIRST_UNCOMMITTED_ROW), None
        units = self.due_units
        # whole units: rows that did not differ stand among them
        return (rows if units is None else rows.semi_join(units, list(self.kept.unit))), units

    # --- what is due ---

    @property
    def due(self) -> DueUnits | None:
        """The units that the run in hand makes; None: it has not worked them out."""
        return self.warehouse.due.get(self.table_name)

    @property
    def due_units(self) -> ir.Table | None:
        """The units due, as a table; None: all units are."""
        if self.due is None or self.due.relation is None:
            return None
        return self.unit_table(self.due.relation)

    def unit_table(self, relation: str) -> ir.Table:
        """A table of the run that lists units."""
        columns = {name: self.contract.nullable_schema[name] for name in self.kept.unit}
        return table_of(self.warehouse.writer, relation, ibis.schema(columns))

    def find_due(
        self,
        step: Step,
        rules: str,
        inputs: Mapping[str, StoredTable],
        window: Window,
        *,
        rebuild: bool,
    ) -> dict[str, ir.Table]:
        """See ``engine.Stored``."""
        self.ensure()
        due = find_due(self, step, None if rebuild else rules, inputs, window)
        due.rules = rules  # a rebuild finds everything due by giving none, but notes them
        self.warehouse.due[self.table_name] = due
        return self._restricted(due, inputs)

    def _restricted(self, due: DueUnits, inputs: Mapping[str, StoredTable]) -> dict[str, ir.Table]:
        """The inputs of the node that have the unit's columns, restricted to what is due."""
        return restricted(self, due, inputs)

    # --- writing ---

    def replace_due(self, rows: ir.Table) -> None:
        """See ``engine.Stored``."""
        _ = self.warehouse.writer  # refuses outside a run
        if self.due is None:
            raise LingokidsError(
                f"{self.table_name}: which of its units are due is worked out by kedro run, or "
                "session.run() in a notebook."
            )
        if self.due.is_nothing:
            return
        started = time.perf_counter()
        deleted, inserted = Replacement(self, self.due, self.compile(rows)).make()
        self.note(deleted, inserted, time.perf_counter() - started)

    def replace_all(self, rows: ir.Table) -> None:
        """See ``engine.Stored``; made as before, of what is as before, they are not worked out."""
        made, warehouse = made_of(rows), self.warehouse
        is_there = self.table_name in warehouse.tables
        state = state_of(warehouse, self.table_name)
        if is_there and made and state and state.rules == made.rules:
            is_ours = all(table.source is warehouse.backend for table in made.tables)
            names = {table.name for table in made.tables}
            if is_ours and are_as_of(warehouse, names, state.version):
                return
        self.ensure()
        self.replace_rows(rows)
        if self.contract in schema.BESIDE_BRONZE:  # restored: from now on bronze writes it
            loads = warehouse.first_of(f'SELECT DISTINCT load_id FROM main."{self.table_name}"')
            warehouse.rewritten_loads[self.table_name].update(loads)
        else:
            set_state(warehouse, self.table_name, made.rules if made else None)

    def replace_rows(self, rows: ir.Table) -> None:
        """Make these rows the table, unless it already holds just these."""
        started = time.perf_counter()
        saved = f'temp.main."saving_{self.table_name}"'
        with self.counting():
            self.run(f"CREATE OR REPLACE TEMP TABLE {saved} AS {self.compile(rows)}")
        differences = (
            f"SELECT count(*) FROM ((FROM {self.name} EXCEPT ALL FROM {saved}) UNION ALL "
            f"(FROM {saved} EXCEPT ALL FROM {self.name}))"
        )
        if self.run(differences):
            deleted = self.run(f"DELETE FROM {self.name}")
            self.note(deleted, self.insert_from(saved), time.perf_counter() - started)
        self.warehouse.rows_read = 0  # of a table that was left as it was, they are of none
        self.run(f"DROP TABLE {saved}")

    def append(self, rows: ir.Table | list[dict[str, Any]]) -> int:
        """See ``engine.Stored``."""
        self.ensure()
        if not isinstance(rows, list):
            return self.insert_from(f"({self.compile(rows)})")
        if not rows:
            return 0
        # few rows, but in each run: registered as they are, without compiling an expression
        con = self.warehouse.writer.con
        con.register("records_", pa.Table.from_pylist(rows, self.contract.schema.to_pyarrow()))
        try:
            con.execute(f"INSERT INTO {self.name} BY NAME FROM records_")
        except duckdb.Error as error:
            raise LingokidsError(
                f"The records of a run cannot be kept in {self.table_name}: "
                f"{str(error).splitlines()[0]}. If the table was changed by hand, drop it: the "
                "next run makes it again."
            ) from error
        con.unregister("records_")
        return len(rows)

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count the rows that the engine reads for the statement within: those out of scans."""
        con = self.warehouse.writer.con
        con.execute(_COUNT_SCANNED)
        yield
        operators = [json.loads(con.get_profiling_information(format="json"))]
        for operator in operators:
            operators.extend(operator["children"])
            if not operator["children"]:
                self.warehouse.rows_read += operator.get("operator_cardinality", 0)
        con.execute("PRAGMA disable_profiling")

    def insert_from(self, rows: str) -> int:
        """Add the rows of a relation, given as SQL, that has the promised columns."""
        columns = ", ".join(f'"{name}"' for name in self.columns)
        if not self.kept.has_versions:
            return self.run(f"INSERT INTO {self.name} ({columns}) SELECT {columns} FROM {rows}")
        return self.run(
            f"INSERT INTO {self.name} ({columns}, {VERSION}) "
            f"SELECT {columns}, {self.warehouse.number} FROM {rows}"
        )

    def clear(self) -> None:
        """See ``engine.Stored``."""
        self.ensure()
        self.note(self.run(f"DELETE FROM {self.name}"), 0, 0.0)
        if self.faults:
            self.run(f"DROP TABLE {self.name}")
            self._create()

    def note(self, deleted: int, inserted: int, seconds: float) -> None:
        """Tell the run what was done to the table."""
        warehouse, now = self.warehouse, time.process_time()
        cpu_seconds, rows_read = now - warehouse.cpu_noted, warehouse.rows_read
        warehouse.cpu_noted, warehouse.rows_read = now, 0
        warehouse.changes.append(
            Change(self.table_name, deleted, inserted, seconds, cpu_seconds, rows_read)
        )

    # --- statements ---

    @property
    def name(self) -> str:
        """The table, as SQL."""
        return f'main."{self.table_name}"'

    @property
    def place(self) -> str:
        """The table, as SQL of the engine that keeps its rows."""
        return self.name

    @property
    def stored_columns(self) -> dict[str, dt.DataType]:
        """The columns promised and hidden, and their types."""
        # a view cannot say that a column is never NULL
        is_view = self.table_name == schema.UNKNOWN_KEYS.table_name
        promised = self.contract.nullable_schema if is_view else self.contract.schema
        return dict(promised.items()) | (_VERSION if self.kept.has_versions else {})

    @property
    def faults(self) -> list[str]:
        """See ``engine.Stored``."""
        stored, promised = self.warehouse.columns.get(self.table_name), self.stored_columns
        if stored is None:
            return []
        _, noted, key = self.warehouse.comments.get(self.table_name, "").rpartition(_KEY)
        return [
            *(f"lacks {name}" for name in sorted(promised.keys() - stored)),
            *(f"has an unexpected column {name}" for name in sorted(stored.keys() - promised)),
            *(
                f"has {name} as {_in_words(stored[name])}, promised {_in_words(promised[name])}"
                for name in promised
                if stored.get(name, promised[name]) != promised[name]
            ),
            *([f"has the key {key}, promised {self._key}"] if noted and key != self._key else ()),
        ]

    @property
    def _key(self) -> str:
        return ", ".join(self.contract.grain)

    def sql_type(self, column: str) -> str:
        """The engine's name for the type of a column."""
        return sql_type(self.contract.nullable_schema[column])

    def run(self, sql: str) -> int:
        """Run a statement and return the first value it answers: a count."""
        try:
            row = self.warehouse.writer.con.execute(sql).fetchone()
        except duckdb.ConstraintException as error:
            raise LingokidsError(
                f"{self.table_name}: {error}. The rows break its contract: change the "
                "node, or the contract in schema/ if the promise changed."
            ) from error
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"{self.table_name}: {out_of_room(error)}") from error
        return int(row[0]) if row else 0

    def compile(self, rows: ir.Table) -> str:
        """The query behind an expression; its in-memory tables are registered."""
        writer = self.warehouse.writer
        register_memtables(writer, rows)
        return compiled(writer, rows)

    def ensure(self) -> None:
        """See ``engine.Stored``."""
        if self.table_name not in self.warehouse.tables:
            self._create()

    def widen(self) -> None:
        """Add the columns that may be NULL to a table of a version before, which lacks them."""
        there = self.warehouse.columns.get(self.table_name, self.stored_columns)
        added = [name for name in self.columns if name not in there]
        for name in added:
            column_type = _column_type(self.contract.schema[name])
            self.run(f'ALTER TABLE {self.name} ADD COLUMN "{name}" {column_type}')
        if added:
            self.comment_on("TABLE")

    def _create(self) -> None:
        columns = [
            f'"{name}" {_column_type(dtype)}' for name, dtype in self.contract.schema.items()
        ]
        if self.kept.has_versions:
            columns.append(f"{VERSION} INTEGER NOT NULL")
        self.warehouse.writer.con.execute(f"CREATE TABLE {self.name} ({', '.join(columns)})")
        self.comment_on("TABLE")

    def comment_on(self, kind: str) -> None:
        """Store what the table and its columns mean beside them; the key is read there again."""
        self.warehouse.columns[self.table_name] = self.stored_columns
        noted = f"{self.contract.meaning}{_KEY}{self._key}"
        self.warehouse.comments[self.table_name] = noted
        comments = [f"COMMENT ON {kind} {self.name} IS {text(noted)}"] + [
            f'COMMENT ON COLUMN {self.name}."{name}" IS {text(schema.COLUMNS[name].comment)}'
            for name in self.columns
        ]
        self.warehouse.writer.con.execute("; ".join(comments))


@functools.cache
def _column_type(dtype: dt.DataType) -> str:
    sql = sql_type(dtype)
    return sql if dtype.nullable else f"{sql} NOT NULL"


def _in_words(dtype: dt.DataType) -> str:
    return f"{dtype.copy(nullable=True)}{'' if dtype.nullable else ' NOT NULL'}"
