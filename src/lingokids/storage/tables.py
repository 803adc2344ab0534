"""A table of the warehouse: read as an Ibis table, written by the run that makes it."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
from ibis.backends.sql.datatypes import DuckDBType
from ibis.expr import operations as ops
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.previews import preview_of
from lingokids.storage.published_copy import missing_in_copy
from lingokids.storage.warehouse import Change, Warehouse, out_of_room

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from lingokids.incremental.links import Step
    from lingokids.incremental.windows import Window
    from lingokids.storage.units import DueUnits


#: The engine numbers rows that are not yet committed from here (DuckDB's MAX_ROW_ID).
_FIRST_UNCOMMITTED_ROW = 36_028_797_018_960_000
#: Beside the contract's columns, hidden from nodes: the run that last changed a row.
VERSION = "version"


class TableDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """A DuckDB table as an Ibis table.

    Without ``unit`` the saved rows become the table, unless it already holds just these. With
    ``unit`` they replace those of the units that are due, in the run's transaction, and only rows
    that differ are written.

    Args:
        table_name: The table in schema ``main``; its columns are those of the contract of that
            name.
        warehouse: ``database``, ``published`` and DuckDB settings: see ``Warehouse.at``.
        unit: The columns that name what is replaced as a whole; never NULL.
        reads: By input, the columns of it that name what is due when a row of it changes, where
            these are neither the unit nor the input's own unit.
        silent: Columns that no other table reads: a row that differs in these alone is written,
            but counts as unchanged.
        units_a_slice: How many due units are made at a time, told apart by the first column of
            the unit: what a node holds of so many should fit into memory. None: all of them.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        table_name: str,
        warehouse: dict[str, Any],
        unit: list[str] | None = None,
        reads: dict[str, list[str]] | None = None,
        silent: list[str] | None = None,
        units_a_slice: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if table_name not in schema.CONTRACTS:
            raise LingokidsError(f"{table_name} has no contract: write one in schema/.")
        self.table_name = table_name
        self.warehouse = Warehouse.at(**warehouse)
        self.metadata = metadata
        self.unit = tuple(unit or ())
        self.reads = reads or {}
        self.silent = frozenset(silent or ())
        self.units_a_slice = units_a_slice
        self.has_versions = bool(unit)
        self.contract = schema.CONTRACTS[table_name]
        self._compiled: tuple[ir.Table, str] | None = None

    # --- what it is ---

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns promised, in order."""
        return self.contract.columns

    @property
    def grain(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        return self.contract.grain

    @property
    def unit_schema(self) -> ibis.Schema:
        """The columns of a unit."""
        return ibis.schema({name: self.contract.nullable_schema[name] for name in self.unit})

    @property
    def layer(self) -> str:
        """The layer the table stands in, as kedro-viz shows it."""
        return str((self.metadata or {}).get("kedro-viz", {}).get("layer", ""))

    @property
    def is_outdated(self) -> bool:
        """Whether the file has it with other columns than the contract: of another version."""
        return self.warehouse.columns.get(self.table_name) not in {None, self.stored_columns}

    @property
    def stored_columns(self) -> frozenset[str]:
        """The columns promised and hidden."""
        return frozenset((*self.columns, VERSION) if self.has_versions else self.columns)

    def sql_type(self, column: str) -> str:
        """The engine's name for the type of a column."""
        return DuckDBType.to_string(self.contract.nullable_schema[column])

    # --- reading ---

    def load(self) -> ir.Table:
        """The table, lazily: nothing is read until the result is asked for."""
        if self.warehouse.in_run:
            self.ensure()
            return self._in(self.warehouse.writer)
        if (copy := self.warehouse.copy) is not None:
            if self.table_name not in copy.list_tables():
                raise LingokidsError(missing_in_copy(self.warehouse.published, self.table_name))
            return self._stored_in(copy, has_versions=False)
        reader = self.warehouse.reader()
        if self.table_name not in reader.list_tables():
            raise LingokidsError(self.warehouse.why_missing(self.table_name))
        return self._in(reader)

    @property
    def with_version(self) -> ir.Table:
        """The table as the run sees it, with the run that last changed each row."""
        self.ensure()
        return self._stored_in(self.warehouse.writer, has_versions=True)

    def inserted_in_run(self) -> ir.Table:
        """The rows that the run in hand inserted and has not deleted again."""
        table = self._in(self.warehouse.writer)
        return table.filter(table.rowid() >= _FIRST_UNCOMMITTED_ROW)

    def count_in_run(self) -> int:
        """The number of rows, as the run's connection sees them."""
        return self.run(f"SELECT count(*) FROM {self._name}")

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, for kedro-viz: the file is opened, read and closed."""
        return preview_of(lambda: self.load().limit(nrows).to_pyarrow())

    def _in(self, backend: Backend) -> ir.Table:
        """The table with its promised types, without asking the engine."""
        if not self.has_versions:
            return self._stored_in(backend, has_versions=False)
        # Ibis writes SELECT * for a table, so what nodes do not see is left out by name
        return self._stored_in(backend, has_versions=True).select(self.columns)

    def _stored_in(self, backend: Backend, *, has_versions: bool) -> ir.Table:
        stored = self.contract.nullable_schema
        if has_versions:
            stored = ibis.schema({**stored, VERSION: "int32"})
        return ops.DatabaseTable(name=self.table_name, schema=stored, source=backend).to_expr()

    # --- writing ---

    @property
    def due(self) -> DueUnits | None:
        """The units that the run in hand makes; None: it has not worked them out."""
        return self.warehouse.due.get(self.table_name)

    @property
    def due_relation(self) -> ir.Table | None:
        """The units that the run in hand makes, as a table; None: all of them."""
        if self.due is None or self.due.relation is None:
            return None
        return ops.DatabaseTable(
            name=self.due.relation, schema=self.unit_schema, source=self.warehouse.writer
        ).to_expr()

    def find_due(
        self,
        step: Step,
        rules: str,
        inputs: Mapping[str, TableDataset],
        window: Window,
        *,
        rebuild: bool,
    ) -> dict[str, ir.Table]:
        """Work out which units are due; the inputs restricted to them, where they have units."""
        from lingokids.storage import units

        self.ensure()
        due = units.find_due(self, step, rules, inputs, window, rebuild=rebuild)
        self.warehouse.due[self.table_name] = due
        return units.restricted(self, due, inputs)

    def save(self, data: ir.Table) -> None:
        """Replace what is due by the rows of ``data``."""
        started = time.perf_counter()
        self.contract.validate(data)
        self.ensure()
        deleted, inserted = self._replace_due(data) if self.unit else self._replace_all(data)
        self.note(deleted, inserted, time.perf_counter() - started)

    def _replace_due(self, data: ir.Table) -> tuple[int, int]:
        from lingokids.storage.replacing import Replacement

        if self.due is None:
            raise LingokidsError(
                f"{self.table_name}: which of its units are due is worked out by kedro run, or "
                "session.run() in a notebook."
            )
        if self.due.is_nothing:
            return 0, 0
        return Replacement(self, self.due, self.compile(data)).make()

    def _replace_all(self, data: ir.Table) -> tuple[int, int]:
        with self._worked_out(data) as rows:
            differences = (
                f"SELECT count(*) FROM ((FROM {self._name} EXCEPT ALL FROM {rows}) UNION ALL "
                f"(FROM {rows} EXCEPT ALL FROM {self._name}))"
            )
            if not self.run(differences):
                return 0, 0
            return self.run(f"DELETE FROM {self._name}"), self.insert_from(rows)

    @contextlib.contextmanager
    def _worked_out(self, data: ir.Table) -> Iterator[str]:
        """The rows of an expression that several statements need, worked out once."""
        name = f'temp.main."saving_{self.table_name}"'
        self.run(f"CREATE TEMP TABLE {name} AS {self.compile(data)}")
        yield name
        self.run(f"DROP TABLE {name}")

    def insert(self, data: ir.Table) -> int:
        """Add rows; returns how many."""
        return self.insert_from(f"({self.compile(data)})")

    def insert_from(self, rows: str) -> int:
        """Add the rows of a relation, given as SQL, that has the promised columns."""
        columns = ", ".join(f'"{name}"' for name in self.columns)
        if not self.has_versions:
            return self.run(f"INSERT INTO {self._name} ({columns}) SELECT {columns} FROM {rows}")
        return self.run(
            f"INSERT INTO {self._name} ({columns}, {VERSION}) "
            f"SELECT {columns}, {self.warehouse.number} FROM {rows}"
        )

    def clear(self) -> None:
        """Delete every row: for a rebuild on purpose."""
        self.ensure()
        self.note(self.run(f"DELETE FROM {self._name}"), 0, 0.0)
        if self.is_outdated:
            self.run(f"DROP TABLE {self._name}")
            self._create()

    def note(self, deleted: int, inserted: int, seconds: float) -> None:
        """Tell the run what was done to the table."""
        self.warehouse.changes.append(Change(self.table_name, deleted, inserted, seconds))

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

    def compile(self, data: ir.Table) -> str:
        """The query behind an expression; in-memory tables of it are made known to the engine.

        Ibis's own ``insert`` does the same, but does not say how many rows it inserted. The
        batches of an ingestion are equal expressions: they are compiled once.
        """
        writer = self.warehouse.writer
        writer._run_pre_execute_hooks(data)
        if self._compiled is None or not self._compiled[0].equals(data):
            self._compiled = (data, writer.compile(data))
        return self._compiled[1]

    def ensure(self) -> None:
        """Make the table, empty, if it is not there."""
        if self.table_name not in self.warehouse.tables:
            self._create()

    @property
    def _name(self) -> str:
        return f'main."{self.table_name}"'

    def _create(self) -> None:
        columns = [f'"{name}" {_sql_type(dtype)}' for name, dtype in self.contract.schema.items()]
        if self.has_versions:
            columns.append(f"{VERSION} INTEGER NOT NULL")
        self.warehouse.writer.con.execute(f"CREATE TABLE {self._name} ({', '.join(columns)})")
        self.warehouse.tables.add(self.table_name)
        self.warehouse.columns[self.table_name] = self.stored_columns
        self.comment_on("TABLE")

    def comment_on(self, kind: str) -> None:
        """Store what the table and its columns mean beside them."""
        comments = [f"COMMENT ON {kind} {self._name} IS {_text(self.contract.meaning)}"] + [
            f'COMMENT ON COLUMN {self._name}."{name}" IS {_text(schema.COLUMNS[name].comment)}'
            for name in self.columns
        ]
        self.warehouse.writer.con.execute("; ".join(comments))

    def _exists(self) -> bool:
        return self.warehouse.in_run or self.table_name in self.warehouse.reader().list_tables()

    def _describe(self) -> dict[str, Any]:
        return {"table_name": self.table_name, "database": self.warehouse.database.name}


def no_rows(columns: ibis.Schema) -> str:
    """A query of no rows with these columns."""
    nothing = (
        f'CAST(NULL AS {DuckDBType.to_string(dtype)}) AS "{name}"'
        for name, dtype in columns.items()
    )
    return f"SELECT {', '.join(nothing)} WHERE false"


@functools.cache
def _sql_type(dtype: dt.DataType) -> str:
    sql = DuckDBType.to_string(dtype)
    return sql if dtype.nullable else f"{sql} NOT NULL"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
