"""Files quarantined lines whose validation gives another result now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lingokids import schema

if TYPE_CHECKING:
    from lingokids.schema import Delivery
    from lingokids.storage.duckdb.bronze import StoredBronze

_LINES = "temp.main.validated_lines"
_CHANGED = "temp.main.changed_lines"
_USABLE = "reason IS NULL AND NOT is_blank"


class Replay:
    """Moves lines from quarantine to bronze, as a load of this run.

    All else of a line is as delivered, so arrival order is as if it had been usable from the
    start. What remains in quarantine is known by its reason of now.
    """

    def __init__(self, bronze: StoredBronze) -> None:
        self._bronze = bronze
        self._run = bronze.run
        self._number = bronze.warehouse.number

    def make(self, delivery: Delivery) -> None:
        """File the lines of a batch; nothing is written if no result changed."""
        started = time.perf_counter()
        self._run(f"CREATE OR REPLACE TEMP TABLE {_LINES} AS {self._compile(delivery.lines)}")
        self._run(
            f"CREATE OR REPLACE TEMP TABLE {_CHANGED} AS FROM {_LINES} "
            "WHERE past_reason IS NULL OR past_reason IS DISTINCT FROM reason"
        )
        usable = self._to_bronze()
        self._bronze.note_load(self._bronze, usable, started)
        if usable:
            self._rescue()
            self._bronze.note_state()
        if self._requarantine(self._compile(delivery.objects)):
            self._recount()

    def _compile(self, rows: object) -> str:
        return self._bronze.warehouse.writer.compile(rows)

    def _to_bronze(self) -> int:
        others = {"is_current": "object.is_current", "load_id": str(self._number)}
        values = ", ".join(
            f'{others.get(name, f"line.{chr(34)}{name}{chr(34)}")} AS "{name}"'
            for name in self._bronze.columns
        )
        return self._bronze.insert_from(f"""(
            SELECT {values} FROM {_CHANGED} AS line
            JOIN {self._bronze.ledger.table_name} AS object
            ON object.dataset = '{self._bronze.dataset}'
                AND line.object_key = object.object_key AND line.load_id = object.load_id
            WHERE {_USABLE}
        )""")

    def _rescue(self) -> None:
        started = time.perf_counter()
        inserted = self._bronze.rescued.insert_from(f"""(
            SELECT * REPLACE ({self._number} AS load_id), '{self._bronze.dataset}' AS dataset
            FROM {_CHANGED} WHERE {_USABLE} AND rescued IS NOT NULL
        )""")
        self._bronze.note_load(self._bronze.rescued, inserted, started)

    def _requarantine(self, objects_read: str) -> int:
        """Take out what is usable, blank or gone, put the rest back; return how many.

        A line is gone if quarantine has not its whole text and its object, read again, lacks it.
        """
        started = time.perf_counter()
        quarantine = self._bronze.quarantine
        line = ", ".join(schema.LINE)
        partial = ", ".join(f"'{reason}'" for reason in schema.TEXT_IS_NOT_WHOLE)
        self._run(f"""
            CREATE OR REPLACE TEMP TABLE moved_lines AS
            SELECT {line} FROM {_CHANGED} WHERE past_reason IS NOT NULL
            UNION
            SELECT {line} FROM {quarantine.table_name}
            SEMI JOIN ({objects_read}) USING (object_key, load_id)
            ANTI JOIN {_LINES} USING ({line})
            WHERE dataset = '{self._bronze.dataset}' AND lines_alike = 1
                AND (reason IN ({partial}) OR line_text = '') AND reason <> '{schema.ERASED}'
        """)
        same_line = " AND ".join(f"old.{name} = new.{name}" for name in schema.LINE)
        deleted = self._run(
            f"DELETE FROM {quarantine.table_name} AS old USING moved_lines AS new "
            f"WHERE old.dataset = '{self._bronze.dataset}' AND {same_line}"
        )
        inserted = quarantine.insert_from(
            f"(SELECT *, '{self._bronze.dataset}' AS dataset, 1 AS lines_alike FROM {_CHANGED} "
            "WHERE reason IS NOT NULL)"
        )
        quarantine.note(deleted, inserted, time.perf_counter() - started)
        self._run(
            "CREATE OR REPLACE TEMP TABLE moved_objects AS SELECT DISTINCT object_key, load_id "
            f"FROM (FROM moved_lines UNION ALL SELECT {line} FROM {_CHANGED})"
        )
        self._bronze.note_loads(quarantine.table_name, "SELECT DISTINCT load_id FROM moved_objects")
        return deleted + inserted + self._run("SELECT count(*) FROM moved_objects")

    def _recount(self) -> None:
        """Count the lines of the objects again, each line where it is now."""
        started = time.perf_counter()
        ledger, quarantine = self._bronze.ledger, self._bronze.quarantine
        of_dataset = f"dataset = '{self._bronze.dataset}'"
        self._run(f"""
            CREATE OR REPLACE TEMP TABLE recounted_objects AS
            SELECT object_key, load_id,
                (SELECT count(*) FROM {_CHANGED} AS line WHERE {_USABLE}
                    AND line.object_key = moved.object_key AND line.load_id = moved.load_id)
                AS newly_kept,
                (SELECT count(*) FROM {_CHANGED} AS line WHERE is_blank
                    AND line.object_key = moved.object_key AND line.load_id = moved.load_id)
                AS newly_blank,
                (SELECT coalesce(sum(lines_alike), 0) FROM {quarantine.table_name} AS line
                    WHERE {of_dataset} AND line.object_key = moved.object_key
                    AND line.load_id = moved.load_id)
                AS quarantined
            FROM moved_objects AS moved
        """)
        updated = self._run(f"""
            UPDATE {ledger.table_name} AS old SET
                kept = old.kept + new.newly_kept,
                blank = old.blank + new.newly_blank,
                quarantined = new.quarantined,
                lines = old.kept + new.newly_kept + old.blank + new.newly_blank + new.quarantined
            FROM recounted_objects AS new
            WHERE {of_dataset} AND old.object_key = new.object_key AND old.load_id = new.load_id
        """)
        ledger.note(updated, updated, time.perf_counter() - started)
        self._bronze.note_loads(ledger.table_name, "SELECT DISTINCT load_id FROM recounted_objects")
