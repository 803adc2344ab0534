"""Carries a warehouse of the version before over, for ``rebuild=bronze``.

Bronze, quarantine and ledger stay, with their loads; what that version kept of what is due goes.
It can be deleted when no warehouse of that version is left.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.storage.duckdb.parsing import validate_texts
from lingokids.storage.duckdb.state import set_state
from lingokids.storage.duckdb.stored import StoredTable
from lingokids.storage.duckdb.warehouse import VERSION
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from lingokids.storage.duckdb.bronze import StoredBronze
    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)

_MARK = "staged_loads"
_GONE = (
    *("staged_loads", "enriched_loads", "enriched_days", "gold_days", "changed_user_days"),
    *("changed_users", "changed_activities", "superseded_deliveries", "replayed_lines"),
    *("past_unknown_keys", "run_days", "run_loads", "run_replays"),
)
_BRONZE = tuple(f"bronze_{dataset}" for dataset in schema.FIELDS)


def upgrade(tables: list[StoredBronze]) -> None:
    """Carry a warehouse of the version before over; do nothing with another."""
    warehouse = tables[0].warehouse
    quarantine = schema.QUARANTINED_LINES.table_name
    if "lines_alike" not in warehouse.columns.get(quarantine, "lines_alike"):
        counted = f"SELECT *, 1 AS lines_alike FROM past_{quarantine}"
        _rewrite(kept_table(warehouse, schema.QUARANTINED_LINES), counted)
    if _MARK not in warehouse.tables:
        return
    _upgrade_run_units(warehouse)
    warehouse.writer.con.execute("ALTER TABLE unknown_keys RENAME TO past_unknown_keys")
    _forget(warehouse, "unknown_keys")
    _upgrade_ledger(warehouse)
    _upgrade_rescued(tables)
    for bronze in tables:
        _upgrade_lines(bronze)
        set_state(warehouse, bronze.table_name, None, warehouse.number - 1)
    warehouse.writer.con.execute("DROP VIEW IF EXISTS stg_events")
    for name in _GONE:
        warehouse.writer.con.execute(f"DROP TABLE IF EXISTS {name}")
    _forget(warehouse, *_GONE, "stg_events")
    tables[0].ensure()
    LOGGER.info("%s is carried over from the version before.", warehouse.database.name)


def _forget(warehouse: Warehouse, *names: str) -> None:
    for name in names:
        warehouse.columns.pop(name, None)


def _rewrite(table: StoredTable, query: str) -> None:
    """Write a table again, as its contract has it now; the query reads the past one."""
    name = table.table_name
    table.run(f"ALTER TABLE {name} RENAME TO past_{name}")
    _forget(table.warehouse, name)
    StoredTable.ensure(table)
    table.run(f"INSERT INTO {name} BY NAME {query}")
    table.run(f"DROP TABLE past_{name}")


def _upgrade_ledger(warehouse: Warehouse) -> None:
    """The last version of an object that was taken in is the current one."""
    name = schema.INGESTED_OBJECTS.table_name
    last_of_key = "max(load_id) OVER (PARTITION BY dataset, object_key)"
    _rewrite(
        kept_table(warehouse, schema.INGESTED_OBJECTS),
        f"SELECT *, load_id = {last_of_key} AS is_current FROM past_{name}",
    )
    row = warehouse.writer.con.execute(
        f"SELECT max(load_id) FROM (SELECT load_id FROM {name} UNION ALL "
        "SELECT load_id FROM replayed_lines)"
    ).fetchone()
    warehouse.number = (row[0] if row and row[0] else 0) + 1


def _upgrade_rescued(tables: list[StoredBronze]) -> None:
    """Find the unknown keys of each line again: they are stored with their values now."""
    warehouse, rescued = tables[0].warehouse, tables[0].rescued
    past = warehouse.writer.table(rescued.table_name)
    for bronze in tables:
        texts = past.filter(past.dataset == bronze.dataset).rename(line_text="rescued")
        found = validate_texts(warehouse.writer, bronze.dataset, texts, lambda lines: lines)
        query = warehouse.writer.compile(found.select(*schema.LINE, "unknown_keys"))
        rescued.run(f"CREATE OR REPLACE TEMP TABLE keys_of_{bronze.dataset} AS {query}")
    keys = " UNION ALL BY NAME ".join(
        f"SELECT *, '{bronze.dataset}' AS dataset FROM keys_of_{bronze.dataset}"
        for bronze in tables
    )
    line = ", ".join(("dataset", *schema.LINE))
    _rewrite(rescued, f"FROM past_{rescued.table_name} JOIN ({keys}) USING ({line})")


def _upgrade_lines(bronze: StoredBronze) -> None:
    """Lines learn whether they are current, and why a replay had to take them in."""
    line, version = ("object_key", "etag", "line_number"), ("object_key", "etag")
    of_dataset = f"WHERE dataset = '{bronze.dataset}'"
    _rewrite(
        bronze,
        f"""
        SELECT past.*, is_current, past_reason, past.load_id AS {VERSION}
        FROM past_{bronze.table_name} AS past
        JOIN (SELECT object_key, etag, is_current FROM ingested_objects {of_dataset})
        USING ({", ".join(version)})
        LEFT JOIN (SELECT {", ".join(line)}, past_reason FROM replayed_lines {of_dataset})
        USING ({", ".join(line)})
        """,
    )


def _upgrade_run_units(warehouse: Warehouse) -> None:
    """The records of loads and days become one table."""
    kept_table(warehouse, schema.RUN_UNITS).ensure()
    run = warehouse.writer.con.execute
    for name in (*_BRONZE, "quarantined_lines", "ingested_objects", "rescued_values"):
        for record in "run_loads", "run_replays":
            run(
                "INSERT INTO run_units (run_id, table_name, load_id) "
                f"SELECT run_id, '{name}', load_id FROM {record}"
            )
    for name in "activity_engagement_metrics", "activity_popularity_daily", "user_activity_daily":
        run(
            "INSERT INTO run_units (run_id, table_name, date) "
            f"SELECT run_id, '{name}', date FROM run_days"
        )
