"""Takes the tables of a DuckDB warehouse over, as they are, without reading raw objects again.

Rows keep the run that last changed them, and the book what runs noted: so the next run finds
nothing new, and goes on where those on one machine ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb import state, whole_file
from lingokids.storage.duckdb.erased import NOTED_ERASURES
from lingokids.storage.records import kept_table
from lingokids.storage.spark.catalog import expected_failures
from lingokids.storage.spark.stored import BATCH_ROWS, SparkTable
from lingokids.storage.spark.warehouse import IN_BOOK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import duckdb
    import pyarrow as pa

    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.engine import Kept
    from lingokids.storage.spark.warehouse import SparkWarehouse

_UNKNOWN_KEYS = schema.UNKNOWN_KEYS.table_name


def take_over(
    source: Warehouse,
    target: SparkWarehouse,
    environment: str,
    entries: Mapping[str, Kept],
    files: Callable[[], None],
) -> dict[str, int]:
    """Copy every table, in one commit; returns their rows.

    While it is at work, runs of the one wait, and those of the other are refused.

    Args:
        source: The warehouse of one machine.
        target: Of the same raw objects, without any table yet.
        environment: That of the target.
        entries: By table, what the catalog says of it.
        files: Takes over what lies beside the tables, before them: none is to be without it.

    Raises:
        LingokidsError: The target has tables, or the source is not what runs of this version make.
    """
    origin = whole_file.origin_in(source.database) | {"environment": environment}
    erased = whole_file.erasures_in(source.database)
    settings = source.settings | {"temp_directory": f"{source.database}.migrating"}
    with whole_file.attached(settings, warehouse=source.database) as con:
        con.execute("SET preserve_insertion_order = true")
        try:
            target.begin()
            _refuse_tables(target, environment)
            files()
            target.writer.con.execute("SET preserve_insertion_order = true")
            with expected_failures("The tables were not taken over, and nothing was changed"):
                rows = {
                    name: _copy(con, columns, _table(target, name, entries))
                    for name, columns in whole_file.tables_in(con, "warehouse").items()
                    if name in schema.CONTRACTS
                }
            target.stored(entries[_UNKNOWN_KEYS]).ensure()
            state.note_origin(target, origin)
            if erased:
                gone = schema.GONE.table_name
                state.note(target, gone, NOTED_ERASURES, " ".join(sorted(erased)))
            target.number = state.next_number(target) - 1
            target.commit()
        finally:
            target.close()
    return rows


def _refuse_tables(target: SparkWarehouse, environment: str) -> None:
    if target.tables - {schema.TABLE_STATE.table_name, schema.GONE.table_name}:
        raise LingokidsError(
            f"The catalog of {environment} has tables already: name an empty database as "
            "warehouse.catalog in its globals.yml. Nothing was changed."
        )


def _table(target: SparkWarehouse, name: str, entries: Mapping[str, Kept]) -> StoredTable:
    if name in entries:
        return target.stored(entries[name])
    return kept_table(target, schema.CONTRACTS[name])


def _copy(con: duckdb.DuckDBPyConnection, columns: list[str], table: StoredTable) -> int:
    """Copy a table; returns how many rows it has."""
    name, promised = table.table_name, table.stored_columns
    if {column.strip('"') for column in columns} != promised.keys():
        raise LingokidsError(
            f"{name} is not stored as its contract says: uv run kedro run --params rebuild=bronze "
            "brings the warehouse up to it; then migrate. Nothing was changed."
        )
    table.ensure()
    query = f'SELECT {", ".join(columns)} FROM warehouse.main."{name}"'
    reader = con.execute(query).to_arrow_reader(BATCH_ROWS)
    if name in IN_BOOK:
        return _into_book(table, reader)
    assert isinstance(table, SparkTable)
    rows = table.insert_rows(reader)
    table.note(0, rows, 0.0)
    return rows


def _into_book(table: StoredTable, reader: pa.RecordBatchReader) -> int:
    con = table.warehouse.writer.con
    con.register("taken_over_", reader)
    rows = table.run(f"INSERT INTO {table.name} BY NAME FROM taken_over_")
    con.unregister("taken_over_")
    return rows
