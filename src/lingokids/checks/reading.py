"""Reading the tables that rules are about, in the run's transaction, whatever was done to them.

Here: a table by its name though it may be gone, the rows of a query, and what the engine refuses.
Elsewhere: which queries (``conditions``), what follows from their answers (``inspection``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import ibis

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.records import kept_table
from lingokids.storage.tables import no_rows
from lingokids.storage.warehouse import out_of_room

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.storage.warehouse import Warehouse


class UnreadableError(LingokidsError):
    """The engine does not understand the question: a column or a table of it is not there.

    Attributes:
        cause: What the engine says.
    """

    def __init__(self, error: duckdb.Error) -> None:
        self.cause = _first_line(error)
        super().__init__(f"The tables cannot be checked: {self.cause}")


class Reader:
    """The tables of a run, as it sees them."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def table(self, name: str) -> ir.Table:
        """A table; one that is not there is taken for empty, and not made: a check makes none."""
        contract = schema.CONTRACTS[name]
        if name in self._warehouse.tables:
            return kept_table(self._warehouse, contract).load()
        columns = contract.nullable_schema
        return self._warehouse.writer.sql(no_rows(columns), schema=columns)

    def columns(self, name: str) -> ibis.Schema:
        """The columns that are stored.

        Raises:
            UnreadableError: It is a view of what is no longer there.
        """
        try:
            return self._warehouse.writer.get_schema(name)
        except duckdb.Error as error:
            raise UnreadableError(error) from error

    def first(self, expression: ir.Table) -> tuple[Any, ...]:
        """The first row of the answer."""
        return self.all(expression)[0]

    def all(self, expression: ir.Table) -> list[tuple[Any, ...]]:
        """The rows of the answer."""
        return self._execute(expression).fetchall()

    def named(self, expression: ir.Table) -> list[dict[str, Any]]:
        """The rows of the answer, by column."""
        return self._execute(expression).to_arrow_table().to_pylist()

    def _execute(self, expression: ir.Table) -> duckdb.DuckDBPyConnection:
        writer = self._warehouse.writer
        try:
            return writer.con.execute(writer.compile(expression))
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"Checking the tables: {out_of_room(error)}") from error
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise UnreadableError(error) from error
        except duckdb.Error as error:  # it has ended the transaction: no other check can be made
            raise LingokidsError(
                f"The tables cannot be checked: {_first_line(error)}. Look for it table by table, "
                "by --pipeline checks --params checks.table=…"
            ) from error


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
