"""Read the tables that rules are about, in the run's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.storage.duckdb.warehouse import Warehouse


class Reader:
    """The tables of the warehouse, as the run sees them."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def table(self, name: str) -> ir.Table:
        """A table; one that does not exist counts as empty, and is not created."""
        contract = schema.CONTRACTS[name]
        if name in self._warehouse.tables:
            return kept_table(self._warehouse, contract).load()
        return self._warehouse.empty(contract.nullable_schema)

    def rows(self, query: ir.Table) -> list[tuple[Any, ...]]:
        """Execute a query.

        Raises:
            UnreadableError: A table or column does not exist.
        """
        return self._warehouse.rows(query)

    def records(self, query: ir.Table) -> list[dict[str, Any]]:
        """Execute a query; rows by column name."""
        return [dict(zip(query.columns, row, strict=True)) for row in self.rows(query)]
