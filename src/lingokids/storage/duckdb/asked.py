"""What a run asks of its connection: every query of nodes and checks passes here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import duckdb

from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.expressions import compiled, no_rows
from lingokids.storage.duckdb.memory import give_back, limited
from lingokids.storage.duckdb.sentences import first_line, out_of_room
from lingokids.storage.duckdb.state import has_changed
from lingokids.storage.engine import Engine, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends import BaseBackend
    from ibis.backends.duckdb import Backend

    from lingokids.storage.duckdb.units import DueUnits


_READING_MEBIBYTES = 256
#: Ibis's own are of a million: a gigabyte more, where 10 M events are published.
_BATCH_ROWS = 20_000


class Asked(Engine):
    """The part of an engine that is asked; another one overrides it where tables lie elsewhere."""

    @property
    def writer(self) -> Backend:
        """The run's connection."""
        raise NotImplementedError

    @property
    def backend(self) -> BaseBackend:
        """Ibis's connection to the tables of the run."""
        return self.writer

    def first_of(self, query: str) -> list[Any]:
        """The first value of each row that a query over tables answers."""
        return [row[0] for row in self.writer.con.execute(query).fetchall()]

    def list_units(self, due: DueUnits, query: str) -> None:
        """List the units of a table that are due, in a relation of the run."""
        due.relation = f"due_{due.step.table_name}"
        relation, con = f'temp.main."{due.relation}"', self.writer.con
        con.execute(f"CREATE OR REPLACE TEMP TABLE {relation} AS {query}")
        row = con.execute(f"SELECT count(*) FROM {relation}").fetchone()
        due.count = row[0] if row else 0

    def has_changed_since(self, table_name: str, since: int) -> bool:
        """Whether a run after this one wrote or took away rows of a table, or may have."""
        return has_changed(self.writer.con, table_name, since)

    def rows(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """See ``engine.Engine``."""
        try:
            return self.writer.con.execute(compiled(self.writer, question)).fetchall()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"Checking the tables: {out_of_room(error)}") from error
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise UnreadableError(first_line(error)) from error
        except duckdb.Error as error:  # it has ended the transaction: no other can be answered
            raise LingokidsError(
                f"The tables cannot be checked: {first_line(error)}. Look for it table by table, "
                "by --pipeline checks --params checks.table=…"
            ) from error

    @contextlib.contextmanager
    def reading_through(self) -> Iterator[None]:
        """See ``engine.Engine``."""
        with limited(self.writer.con, _READING_MEBIBYTES):
            give_back()
            yield

    def batches(self, rows: ir.Table) -> pa.RecordBatchReader:
        """See ``engine.Engine``."""
        return self.writer.to_pyarrow_batches(rows, chunk_size=_BATCH_ROWS)

    def empty(self, columns: ibis.Schema) -> ir.Table:
        """See ``engine.Engine``."""
        return self.writer.sql(no_rows(columns), schema=columns)

    def schema_of(self, table_name: str) -> ibis.Schema:
        """See ``engine.Engine``."""
        try:
            return self.writer.get_schema(table_name)
        except duckdb.Error as error:
            raise UnreadableError(first_line(error)) from error
