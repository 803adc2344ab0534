"""Reading the tables that rules are about, in the run's transaction, whatever was done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

    from lingokids.storage.duckdb.warehouse import Warehouse


class Reader:
    """The tables of a run, as it sees them."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def table(self, name: str) -> ir.Table:
        """A table; one that is not there is taken for empty, and not made: a check makes none."""
        contract = schema.CONTRACTS[name]
        if name in self._warehouse.tables:
            return kept_table(self._warehouse, contract).load()
        return self._warehouse.empty(contract.nullable_schema)

    def columns(self, name: str) -> ibis.Schema:
        """The columns that are stored.

        Raises:
            UnreadableError: It is a view of what is no longer there.
        """
        return self._warehouse.schema_of(name)

    def first(self, question: ir.Table) -> tuple[Any, ...]:
        """The first row of the answer."""
        return self.all(question)[0]

    def all(self, question: ir.Table) -> list[tuple[Any, ...]]:
        """The rows of the answer.

        Raises:
            UnreadableError: A table or column of it is not there.
        """
        return self._warehouse.rows(question)

    def named(self, question: ir.Table) -> list[dict[str, Any]]:
        """The rows of the answer, by column."""
        return [dict(zip(question.columns, row, strict=True)) for row in self.all(question)]
