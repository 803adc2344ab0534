"""Tables that no node makes: the records of runs and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids import schema

if TYPE_CHECKING:
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.tables import TableDataset

RECORDS = (schema.RUNS, schema.RUN_STEPS, schema.RUN_UNITS)


def insert_records(
    warehouse: Warehouse, contract: schema.Contract, rows: list[dict[str, Any]]
) -> None:
    """Add rows to a table of records, which is made if it is not there.

    Raises:
        LingokidsError: The table takes no such rows, as after it was changed by hand.
    """
    kept_table(warehouse, contract).stored.append(rows)


def kept_table(warehouse: Warehouse, contract: schema.Contract) -> TableDataset:
    """A table of the warehouse by its contract alone, without a catalog entry."""
    from lingokids.storage.tables import TableDataset

    table = TableDataset(
        table_name=contract.table_name,
        warehouse={"database": str(warehouse.database), "published": str(warehouse.published)},
    )
    table.has_versions = warehouse.has_versions(contract)
    return table
