"""A table of the warehouse, written by replacing whole units.

Here: how rows replace rows. Elsewhere: which units are due (``windows``), what the columns are
(``schema``), the connection and its transaction (``warehouse``).
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
from ibis.backends.sql.datatypes import DuckDBType
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.schema import NothingDue
from lingokids.storage.gold_copy import missing_in_copy
from lingokids.storage.previews import preview_of
from lingokids.storage.slices import slices_of
from lingokids.storage.units import deletion
from lingokids.storage.warehouse import Change, Warehouse, out_of_room

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


#: The engine numbers rows that are not yet committed from here (DuckDB's MAX_ROW_ID).
_FIRST_UNCOMMITTED_ROW = 36_028_797_018_960_000
MODES = ("read", "append", "units", "whole", "view", "run")


class TableDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """A DuckDB table as an Ibis table.

    Saving replaces whole units inside the run's transaction: it deletes the units that the
    change names, then inserts their new rows. Doing it twice leaves the same rows.

    Args:
        table_name: The table in schema ``main``; its columns are those of the contract of
            that name.
        warehouse: ``database``, ``published`` and DuckDB settings: see ``Warehouse.at``.
        mode: How saved rows meet those that are there:

            * ``read``: they are refused: the entry is the table as it was before the run.
            * ``append``: they are added. Nothing is deleted (bronze, logs, ledgers, whose units
              are taken in once).
            * ``units``: the units are deleted, then the rows inserted. The units are the rows of
              ``replaces`` or, without it, those found in the saved rows.
            * ``whole``: they become the table, unless it already holds just these rows.
            * ``view``: they are not stored: the table is the query that gives them.
            * ``run``: they are added to a table that ends with the run.
        unit: The columns that name a unit; never NULL.
        replaces: The table (of mode ``run``) that names the units to delete, which may
            have no new rows.
        slice_by: A column of the unit, by which many due units are worked out a slice at a time.
        units_a_slice: About how many: what a node holds of so many should fit into memory.
        contract: Name of the contract, where it is not the table's.
        survives_rebuild: A rebuild on purpose does not empty it.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        table_name: str,
        warehouse: dict[str, Any],
        mode: str,
        unit: list[str] | None = None,
        replaces: str | None = None,
        slice_by: str | None = None,
        units_a_slice: int = 100_000,
        contract: str | None = None,
        survives_rebuild: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if mode not in MODES:
            raise LingokidsError(f"{table_name}: mode is {mode!r}: write one of {MODES}.")
        self.table_name = table_name
        self.mode = mode
        self.survives_rebuild = survives_rebuild
        self.warehouse = Warehouse.at(**warehouse)
        self.metadata = metadata
        self._contract = schema.CONTRACTS[contract or table_name]
        self._unit = unit or []
        self._replaces = replaces
        self._slice_by = slice_by
        self._units_a_slice = units_a_slice
        self._compiled: tuple[ir.Table, str] | None = None

    def load(self) -> ir.Table:
        """The table, lazily: nothing is read until the result is asked for."""
        if self.warehouse.in_run:
            if self.mode != "run":
                self.ensure()
            elif self.table_name not in self.warehouse.run_tables:
                raise LingokidsError(
                    f"{self.table_name} is made by an earlier step of the same run: run the whole "
                    "pipeline."
                )
            return self._in(self.warehouse.writer)
        if (copy := self.warehouse.copy) is not None:
            if self.table_name not in copy.list_tables():
                raise LingokidsError(missing_in_copy(self.warehouse.published, self.table_name))
            return self._in(copy)
        if self.mode == "run":
            raise LingokidsError(f"{self.table_name} exists during a run only.")
        return self._read_table()

    def save(self, data: ir.Table | NothingDue) -> None:
        """Replace units of the table by the rows of ``data``; if nothing is due, none."""
        started = time.perf_counter()
        if isinstance(data, NothingDue):
            self.ensure()
            deleted = inserted = 0
        else:
            deleted, inserted = getattr(self, f"_save_{self.mode}")(data)
        self._note(deleted, inserted, time.perf_counter() - started)

    def clear(self) -> None:
        """Delete every row: for a rebuild on purpose."""
        if self.mode == "view":
            return
        self.ensure()
        self.warehouse.is_emptied = True
        self._note(self._run(f"DELETE FROM {self._name}"), 0, 0.0)
        if self.is_outdated:
            self._run(f"DROP TABLE {self._name}")
            self._create()

    def match_contract(self) -> None:
        """Give a table of another version the columns that its contract has: new ones are NULL."""
        stored, promised = self.warehouse.columns[self.table_name], frozenset(self.columns)
        for name in sorted(promised - stored):
            dtype = DuckDBType.to_string(self._contract.schema[name])
            self._run(f'ALTER TABLE {self._name} ADD COLUMN "{name}" {dtype}')
        for name in sorted(stored - promised):
            self._run(f'ALTER TABLE {self._name} DROP COLUMN "{name}"')
        self.warehouse.columns[self.table_name] = promised

    @property
    def is_outdated(self) -> bool:
        """Whether the file has it with other columns than the contract: of another version."""
        stored = self.warehouse.columns.get(self.table_name)
        return self.mode not in {"run", "view"} and stored not in {None, frozenset(self.columns)}

    def inserted_in_run(self) -> ir.Table:
        """The rows that the run in hand inserted and has not deleted again."""
        table = self._in(self.warehouse.writer)
        return table.filter(table.rowid() >= _FIRST_UNCOMMITTED_ROW)

    def there_before_run(self) -> ir.Table | None:
        """The rows the run found and left, among which a row it inserted may have an equal.

        None if there are none, or can be none: the unit of what it replaced is part of the grain.
        """
        if self._unit and set(self._unit) <= set(self._contract.grain):
            return None
        is_older = f"rowid < {_FIRST_UNCOMMITTED_ROW}"
        if not self._run(f"SELECT count(*) FROM (FROM {self._name} WHERE {is_older} LIMIT 1)"):
            return None
        table = self._in(self.warehouse.writer)
        return table.filter(table.rowid() < _FIRST_UNCOMMITTED_ROW)

    @property
    def replaces(self) -> str | None:
        """The table that names the units it replaces, where there is one."""
        return self._replaces

    @property
    def layer(self) -> str:
        """The layer the table stands in, as kedro-viz shows it."""
        return str((self.metadata or {}).get("kedro-viz", {}).get("layer", ""))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns promised, in order."""
        return self._contract.columns

    @property
    def has_rows(self) -> bool:
        """Whether it has any row, as the run's connection sees it."""
        return bool(self._run(f"SELECT count(*) FROM (FROM {self._name} LIMIT 1)"))

    def count_in_run(self) -> int:
        """The number of rows, as the run's connection sees them."""
        return self._run(f"SELECT count(*) FROM {self._name}")

    def preview(self, nrows: int = 10) -> TablePreview:
        """The first rows, for kedro-viz: the file is opened, read and closed."""
        return preview_of(lambda: self.load().limit(nrows).to_pyarrow())

    def _note(self, deleted: int, inserted: int, seconds: float) -> None:
        is_kept = self.mode != "run"
        self.warehouse.changes.append(Change(self.table_name, is_kept, deleted, inserted, seconds))

    def _read_table(self) -> ir.Table:
        reader = self.warehouse.reader()
        if self.table_name not in reader.list_tables():
            raise LingokidsError(self.warehouse.why_missing(self.table_name))
        return self._in(reader)

    def _in(self, backend: Backend) -> ir.Table:
        """The table with its promised types, without asking the engine."""
        from ibis.expr import operations as ops

        schema = self._contract.nullable_schema
        return ops.DatabaseTable(name=self.table_name, schema=schema, source=backend).to_expr()

    # --- modes ---

    def _save_read(self, data: ir.Table) -> tuple[int, int]:
        raise LingokidsError(f"{self.table_name} is read only under this name.")

    def _save_append(self, data: ir.Table) -> tuple[int, int]:
        self.ensure()
        return 0, self._insert(data)

    def _save_units(self, data: ir.Table) -> tuple[int, int]:
        self.ensure()
        if self._replaces:
            return self._delete_units_of(self._replaces), self._insert_by_slices(data)
        with self._worked_out(data) as rows:
            return self._delete_units_of(rows), self._insert_from(rows)

    def _save_whole(self, data: ir.Table) -> tuple[int, int]:
        self.ensure()
        with self._worked_out(data) as rows:
            differences = (
                f"SELECT count(*) FROM ((FROM {self._name} EXCEPT ALL FROM {rows}) UNION ALL "
                f"(FROM {rows} EXCEPT ALL FROM {self._name}))"
            )
            if not self._run(differences):
                return 0, 0
            return self._run(f"DELETE FROM {self._name}"), self._insert_from(rows)

    def _save_view(self, data: ir.Table) -> tuple[int, int]:
        """Keep the query, unless it is the one that is kept already."""
        con = self.warehouse.writer.con
        query = self._compile(data)
        con.execute(f'CREATE OR REPLACE TEMP VIEW "{self.table_name}_now" AS {query}')
        printed = con.execute(
            "SELECT regexp_replace(sql, '^CREATE .*? AS ', '') FROM duckdb_views() "
            "WHERE view_name IN (?, ?)",
            [self.table_name, f"{self.table_name}_now"],
        ).fetchall()
        if len(printed) < 2 or printed[0] != printed[1]:
            tables = "SELECT 1 FROM duckdb_tables() WHERE NOT temporary AND table_name = ?"
            if con.execute(tables, [self.table_name]).fetchone():  # it once was one
                con.execute(f"DROP TABLE {self._name}")
            con.execute(f"CREATE OR REPLACE VIEW {self._name} AS {query}")
            self._comment_on("VIEW")
            self.warehouse.tables.add(self.table_name)
        return 0, 0

    def _save_run(self, data: ir.Table) -> tuple[int, int]:
        self.ensure()
        return 0, self._insert(data)

    # --- statements ---

    @contextlib.contextmanager
    def _worked_out(self, data: ir.Table) -> Iterator[str]:
        """The rows of an expression that several statements need, worked out once."""
        name = f'temp.main."saving_{self.table_name}"'
        self._run(f"CREATE TEMP TABLE {name} AS {self._compile(data)}")
        yield name
        self._run(f"DROP TABLE {name}")

    @property
    def _name(self) -> str:
        return f'"{self.table_name}"'

    def _run(self, sql: str) -> int:
        """Run a statement and return the first value it answers: a count."""
        try:
            row = self.warehouse.writer.con.execute(sql).fetchone()
        except duckdb.ConstraintException as error:
            raise LingokidsError(
                f"{self.table_name}: {error}. The rows break its contract: mend the "
                "node, or the contract in schema/ if the promise changed."
            ) from error
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"{self.table_name}: {out_of_room(error)}") from error
        return int(row[0]) if row else 0

    def _insert(self, data: ir.Table) -> int:
        return self._insert_from(f"({self._compile(data)})")

    def _insert_by_slices(self, data: ir.Table) -> int:
        if self._replaces is None or self._slice_by is None:
            return self._insert(data)
        con, query = self.warehouse.writer.con, self._compile(data)
        slices = slices_of(con, self._replaces, self._slice_by, self._units_a_slice)
        return sum(self._insert_from(f"(FROM ({query}) WHERE {slice_})") for slice_ in slices)

    def _compile(self, data: ir.Table) -> str:
        """The query behind an expression; in-memory tables of it are made known to the engine.

        Ibis's own ``insert`` does the same, but does not say how many rows it inserted. The
        batches of an ingestion are equal expressions: they are compiled once.
        """
        writer = self.warehouse.writer
        writer._run_pre_execute_hooks(data)
        if self._compiled is None or not self._compiled[0].equals(data):
            self._compiled = (data, writer.compile(data))
        return self._compiled[1]

    def _insert_from(self, rows: str) -> int:
        columns = ", ".join(f'"{name}"' for name in self._contract.columns)
        return self._run(f"INSERT INTO {self._name} ({columns}) SELECT {columns} FROM {rows}")

    def _delete_units_of(self, units: str) -> int:
        return self._run(deletion(self._name, self._unit, units))

    def ensure(self) -> None:
        """Make the table, empty, if it is not there; a view for the run only."""
        there = self.warehouse.run_tables if self.mode == "run" else self.warehouse.tables
        if self.table_name in there:
            return
        if self.mode == "view":
            self.warehouse.writer.con.execute(
                f"CREATE OR REPLACE TEMP VIEW {self._name} AS {no_rows(self._contract.schema)}"
            )
            return
        self._create()

    def _create(self) -> None:
        columns = ", ".join(
            f'"{name}" {_sql_type(dtype)}' for name, dtype in self._contract.schema.items()
        )
        con = self.warehouse.writer.con
        if self.mode == "run":
            con.execute(f"CREATE TEMP TABLE {self._name} ({columns})")
            self.warehouse.run_tables.add(self.table_name)
            return
        con.execute(f"CREATE TABLE {self._name} ({columns})")
        self.warehouse.tables.add(self.table_name)
        self.warehouse.columns[self.table_name] = frozenset(self.columns)
        self._comment_on("TABLE")

    def _comment_on(self, kind: str) -> None:
        comments = [f"COMMENT ON {kind} {self._name} IS {_text(self._contract.meaning)}"] + [
            f'COMMENT ON COLUMN {self._name}."{name}" IS {_text(schema.COLUMNS[name].comment)}'
            for name in self._contract.columns
        ]
        self.warehouse.writer.con.execute("; ".join(comments))

    def _exists(self) -> bool:
        if self.warehouse.in_run:
            return self.mode != "run" or self.table_name in self.warehouse.run_tables
        return self.table_name in self.warehouse.reader().list_tables()

    def _describe(self) -> dict[str, Any]:
        return {
            "table_name": self.table_name,
            "database": self.warehouse.database.name,
            "mode": self.mode,
        }


def no_rows(schema: ibis.Schema) -> str:
    """A query of no rows with these columns."""
    columns = (
        f'CAST(NULL AS {DuckDBType.to_string(dtype)}) AS "{name}"' for name, dtype in schema.items()
    )
    return f"SELECT {', '.join(columns)} WHERE false"


@functools.cache
def _sql_type(dtype: dt.DataType) -> str:
    sql = DuckDBType.to_string(dtype)
    return sql if dtype.nullable else f"{sql} NOT NULL"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
