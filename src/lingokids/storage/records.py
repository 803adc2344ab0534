"""Tables that no node makes: the records of runs and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingokids import schema

if TYPE_CHECKING:
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.warehouse import Warehouse

RECORDS = (schema.RUNS, schema.RUN_STEPS, schema.RUN_UNITS)


@dataclass
class _ByContract:
    """See ``engine.Kept``: a table without a catalog entry."""

    contract: schema.Contract
    has_versions: bool
    unit: tuple[str, ...] = ()
    silent: frozenset[str] = frozenset()
    units_a_slice: int | None = None

    @property
    def table_name(self) -> str:
        return self.contract.table_name


def insert_records(
    warehouse: Warehouse, contract: schema.Contract, rows: list[dict[str, Any]]
) -> None:
    """Add rows to a table of records, which is made if it is not there.

    Raises:
        LingokidsError: The table takes no such rows, as after it was changed by hand.
    """
    kept_table(warehouse, contract).append(rows)


def kept_table(warehouse: Warehouse, contract: schema.Contract) -> StoredTable:
    """A table of the warehouse by its contract alone, without a catalog entry."""
    return warehouse.stored(_ByContract(contract, warehouse.has_versions(contract)))
