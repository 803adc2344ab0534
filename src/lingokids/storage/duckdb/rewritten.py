"""Raw objects that were written again without someone's lines: known, so that none is read twice.

An object keeps its load and its landing; the lines taken out of it are blank now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lingokids import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.storage.duckdb.bronze import StoredBronze

_OBJECTS, _BLANK = "temp.main.rewritten_objects", "temp.main.blank_lines"
_SCHEMA = pa.schema(
    {
        "object_key": pa.string(),
        "etag_before": pa.string(),
        "etag": pa.string(),
        "size_bytes": pa.int64(),
        "lines": pa.list_(pa.int32()),
    }
)


def file_rewritten(bronze: Iterable[StoredBronze]) -> None:
    """Give stored lines and the ledger the new versions of rewritten objects.

    One that is not as it was left, or of which quarantine counts several lines in one row, is left
    alone: the run reads it as any new version.
    """
    for table in bronze:
        objects = [
            each._asdict()
            for each in table.warehouse.erasing.rewritten
            if each.dataset == table.dataset
        ]
        if objects:
            _file(table, pa.Table.from_pylist(objects, _SCHEMA))


def _file(table: StoredBronze, objects: pa.Table) -> None:
    con = table.warehouse.writer.con
    ledger, quarantine = table.ledger.table_name, table.quarantine.table_name
    of_dataset = f"dataset = '{table.dataset}'"
    con.register("rewritten", objects)
    table.run(f"""
        CREATE OR REPLACE TEMP TABLE {_OBJECTS} AS
        SELECT rewritten.*, load_id, landed_at FROM rewritten
        JOIN {ledger} AS object ON object.{of_dataset} AND is_current
            AND object.object_key = rewritten.object_key AND object.etag = etag_before
    """)
    con.unregister("rewritten")
    table.run(f"""
        CREATE OR REPLACE TEMP TABLE {_BLANK} AS
        SELECT object_key, load_id, unnest(lines) AS line_number FROM {_OBJECTS}
    """)
    same_object = "old.object_key = new.object_key AND old.load_id = new.load_id"
    table.run(f"""
        DELETE FROM {_OBJECTS} AS old USING (
            SELECT object_key, load_id FROM {_BLANK} ANTI JOIN
            (FROM {quarantine} WHERE {of_dataset} AND lines_alike = 1)
            USING (object_key, load_id, line_number)
        ) AS new WHERE {same_object}
    """)
    table.note_loads(
        quarantine,
        f"DELETE FROM {quarantine} AS old USING (FROM {_BLANK} SEMI JOIN {_OBJECTS} "
        f"USING (object_key, load_id)) AS new WHERE old.{of_dataset} AND {same_object} "
        "AND old.line_number = new.line_number RETURNING old.load_id",
    )
    table.note_loads(
        ledger,
        f"UPDATE {ledger} AS old SET etag = new.etag, size_bytes = new.size_bytes, "
        "blank = blank + len(new.lines), quarantined = quarantined - len(new.lines) "
        f"FROM {_OBJECTS} AS new WHERE old.{of_dataset} AND {same_object} RETURNING old.load_id",
    )
    same_version = (
        "old.object_key = new.object_key AND old.etag = new.etag_before "
        "AND old.landed_at = new.landed_at"
    )
    for name in quarantine, table.rescued.table_name:
        table.note_loads(
            name,
            f"UPDATE {name} AS old SET etag = new.etag FROM {_OBJECTS} AS new "
            f"WHERE old.{of_dataset} AND {same_version} RETURNING old.load_id",
        )
    is_staged = "etag" in schema.CONTRACTS[f"stg_{table.dataset}"].columns
    version = table.warehouse.number if is_staged else "old.version"
    changed = table.note_loads(
        table.table_name,
        f"UPDATE {table.name} AS old SET etag = new.etag, version = {version} "
        f"FROM {_OBJECTS} AS new WHERE {same_version} RETURNING old.load_id",
    )
    table.note(changed, changed, 0.0)
    table.note_state()
