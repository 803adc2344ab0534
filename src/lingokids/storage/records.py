"""Tables that no node makes: what runs, checks and back-filling note of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from lingokids.storage.tables import TableDataset
    from lingokids.storage.warehouse import Warehouse

RECORDS = (schema.RUNS, schema.RUN_STEPS, schema.RUN_UNITS)


def insert_records(
    warehouse: Warehouse, contract: schema.Contract, rows: list[dict[str, Any]]
) -> None:
    """Add rows to a table of records, which is made if it is not there.

    Raises:
        LingokidsError: The table takes no such rows, as after it was changed by hand.
    """
    kept_table(warehouse, contract).ensure()
    if not rows:
        return
    import duckdb
    import pyarrow as pa

    con = warehouse.writer.con
    con.register("records_", pa.Table.from_pylist(rows, contract.schema.to_pyarrow()))
    try:
        con.execute(f"INSERT INTO {contract.table_name} BY NAME FROM records_")
    except duckdb.Error as error:
        raise LingokidsError(
            f"The records of a run cannot be kept in {contract.table_name}: "
            f"{str(error).splitlines()[0]}. If the table was changed by hand, drop it: the next "
            "run makes it anew."
        ) from error
    con.unregister("records_")


def kept_table(warehouse: Warehouse, contract: schema.Contract) -> TableDataset:
    """A table of the warehouse by its contract alone, whether the catalog has it or not."""
    from lingokids.storage.tables import VERSION, TableDataset

    table = TableDataset(
        table_name=contract.table_name,
        warehouse={"database": str(warehouse.database), "published": str(warehouse.published)},
    )
    table.has_versions = VERSION in warehouse.columns.get(
        contract.table_name, ()
    ) and VERSION not in (contract.columns)
    return table
