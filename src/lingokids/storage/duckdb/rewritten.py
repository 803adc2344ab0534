"""Raw objects that were written again without someone's lines: known, so that none is read twice.

An object keeps its load and its landing; the lines taken out of it are blank now.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pyarrow as pa

from lingokids import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.storage.duckdb.bronze import StoredBronze
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.erasures import RewrittenObject

_GIVEN, _LINES, _KNOWN = "rewritten_objects", "rewritten_lines", "known_objects"
_OBJECTS, _BLANK = "refiled_objects", "blank_lines"
_GIVEN_COLUMNS = pa.schema(
    {
        "object_key": pa.string(),
        "etag_before": pa.string(),
        "etag": pa.string(),
        "size_bytes": pa.int64(),
        "blank": pa.int32(),
    }
)
_LINE_COLUMNS = pa.schema({"object_key": pa.string(), "line_number": pa.int32()})


def file_rewritten(bronze: Iterable[StoredBronze]) -> None:
    """Give stored lines and the ledger the new versions of rewritten objects.

    One that is not as it was left, or of which quarantine counts several lines in one row, is left
    alone: the run reads it as any new version.
    """
    for table in bronze:
        rewritten = table.warehouse.erasing.rewritten
        if objects := [each for each in rewritten if each.dataset == table.dataset]:
            _list_objects(table, objects)
            _file(table)


def _list_objects(table: StoredBronze, objects: list[RewrittenObject]) -> None:
    """List those that are as the ledger and quarantine know them, and their blank lines."""
    ledger, quarantine = table.ledger, table.quarantine
    given = [{**each._asdict(), "blank": len(each.lines)} for each in objects]
    lines = [
        {"object_key": each.object_key, "line_number": number}
        for each in objects
        for number in each.lines
    ]
    table.give(_GIVEN, pa.Table.from_pylist(given, _GIVEN_COLUMNS))
    table.give(_LINES, pa.Table.from_pylist(lines, _LINE_COLUMNS))
    table.hold(
        _KNOWN,
        f"""
        SELECT given.*, object.load_id, object.landed_at FROM {_GIVEN} AS given
        JOIN {ledger.place} AS object ON object.dataset = '{table.dataset}' AND object.is_current
            AND object.object_key = given.object_key AND object.etag = given.etag_before
        """,
    )
    lines_of = "SELECT object_key, load_id, line_number FROM {} JOIN {} USING (object_key)".format
    table.hold(
        _OBJECTS,
        f"""
        SELECT * FROM {_KNOWN} ANTI JOIN (
            SELECT object_key, load_id FROM ({lines_of(_LINES, _KNOWN)}) AS line ANTI JOIN (
                SELECT object_key, load_id, line_number FROM {quarantine.place}
                WHERE dataset = '{table.dataset}' AND lines_alike = 1
            ) AS alone USING (object_key, load_id, line_number)
        ) AS other USING (object_key, load_id)
        """,
    )
    table.hold(_BLANK, lines_of(_LINES, _OBJECTS))


def _file(table: StoredBronze) -> None:
    started = time.perf_counter()
    ledger, quarantine, line = table.ledger, table.quarantine, ", ".join(schema.LINE)
    table.change(
        quarantine,
        f"DELETE FROM {quarantine.place}",
        f"dataset = '{table.dataset}' AND ({line}) IN (SELECT {line} FROM {_BLANK})",
    )
    table.execute(f"""
        MERGE INTO {ledger.place} AS old USING {_OBJECTS} AS new
        ON old.dataset = '{table.dataset}' AND old.object_key = new.object_key
            AND old.load_id = new.load_id
        WHEN MATCHED THEN UPDATE SET etag = new.etag, size_bytes = new.size_bytes,
            blank = old.blank + new.blank, quarantined = old.quarantined - new.blank
    """)
    table.note_loads(ledger.table_name, f"SELECT DISTINCT load_id FROM {_OBJECTS}")
    for each in quarantine, table.rescued:
        _give_etag(table, each, f"old.dataset = '{table.dataset}'", "etag = new.etag")
    is_staged = "etag" in schema.CONTRACTS[f"stg_{table.dataset}"].columns
    version = f", version = {table.warehouse.number}" if is_staged else ""
    changed = _give_etag(table, table, "true", f"etag = new.etag{version}")
    table.note(changed, changed, time.perf_counter() - started)
    table.note_state()


def _give_etag(table: StoredBronze, stored: StoredTable, which: str, assignments: str) -> int:
    """Give rows of the versions before the new one; returns how many."""
    same_version = (
        f"{which} AND old.object_key = new.object_key AND old.etag = new.etag_before "
        "AND old.landed_at = new.landed_at"
    )
    of_old = f"SELECT old.load_id FROM {stored.place} AS old JOIN {_OBJECTS} AS new"
    if changed := table.hold("refiled_loads", f"{of_old} ON {same_version}"):
        table.note_loads(stored.table_name, "SELECT DISTINCT load_id FROM refiled_loads")
        table.execute(
            f"MERGE INTO {stored.place} AS old USING {_OBJECTS} AS new ON {same_version} "
            f"WHEN MATCHED THEN UPDATE SET {assignments}"
        )
    return changed
