"""Files quarantined lines whose validation gives another result now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.storage.duckdb.expressions import compiled

if TYPE_CHECKING:
    from lingokids.schema import Delivery
    from lingokids.storage.duckdb.bronze import StoredBronze

_LINES, _CHANGED = "validated_lines", "changed_lines"
_USABLE = "reason IS NULL AND NOT is_blank"


class Replay:
    """Moves lines from quarantine to bronze, as a load of this run.

    All else of a line is as delivered, so arrival order is as if it had been usable from the
    start. What remains in quarantine is known by its reason of now.
    """

    def __init__(self, bronze: StoredBronze) -> None:
        self._bronze = bronze
        self._hold = bronze.hold
        self._number = bronze.warehouse.number

    def make(self, delivery: Delivery) -> None:
        """File the lines of a batch; nothing is written if no result changed."""
        started = time.perf_counter()
        backend = self._bronze.warehouse.backend
        self._hold(_LINES, compiled(backend, delivery.lines))
        self._hold(
            _CHANGED,
            f"SELECT * FROM {_LINES} "
            "WHERE past_reason IS NULL OR past_reason IS DISTINCT FROM reason",
        )
        usable = self._to_bronze()
        self._bronze.note_load(self._bronze, usable, started)
        if usable:
            self._rescue()
            self._bronze.note_state()
        if self._requarantine(compiled(backend, delivery.objects)):
            self._recount()

    def _to_bronze(self) -> int:
        others = {"is_current": "object.is_current", "load_id": str(self._number)}
        values = ", ".join(
            f"{others.get(name, f'line.{name}')} AS {name}" for name in self._bronze.columns
        )
        return self._bronze.insert_from(f"""(
            SELECT {values} FROM {_CHANGED} AS line
            JOIN {self._bronze.ledger.place} AS object
            ON object.dataset = '{self._bronze.dataset}'
                AND line.object_key = object.object_key AND line.load_id = object.load_id
            WHERE {_USABLE}
        )""")

    def _rescue(self) -> None:
        started = time.perf_counter()
        others = {"load_id": self._number, "dataset": f"'{self._bronze.dataset}'"}
        values = (f"{others.get(name, name)} AS {name}" for name in self._bronze.rescued.columns)
        inserted = self._bronze.rescued.insert_from(
            f"(SELECT {', '.join(values)} FROM {_CHANGED} WHERE {_USABLE} AND rescued IS NOT NULL)"
        )
        self._bronze.note_load(self._bronze.rescued, inserted, started)

    def _requarantine(self, objects_read: str) -> int:
        """Take out what is usable, blank or gone, put the rest back; return how many.

        A line is gone if quarantine has not its whole text and its object, read again, lacks it.
        """
        started = time.perf_counter()
        quarantine = self._bronze.quarantine
        line = ", ".join(schema.LINE)
        partial = ", ".join(f"'{reason}'" for reason in schema.TEXT_IS_NOT_WHOLE)
        self._hold(
            "moved_lines",
            f"""
            SELECT {line} FROM {_CHANGED} WHERE past_reason IS NOT NULL
            UNION
            SELECT {line} FROM {quarantine.place}
            SEMI JOIN ({objects_read}) AS objects USING (object_key, load_id)
            ANTI JOIN {_LINES} USING ({line})
            WHERE dataset = '{self._bronze.dataset}' AND lines_alike = 1
                AND (reason IN ({partial}) OR line_text = '') AND reason <> '{schema.ERASED}'
            """,
        )
        deleted = self._bronze.change(
            quarantine,
            f"DELETE FROM {quarantine.place}",
            f"dataset = '{self._bronze.dataset}' AND ({line}) IN (SELECT {line} FROM moved_lines)",
        )
        inserted = quarantine.insert_from(
            f"(SELECT *, '{self._bronze.dataset}' AS dataset, 1 AS lines_alike FROM {_CHANGED} "
            "WHERE reason IS NOT NULL)"
        )
        quarantine.note(deleted, inserted, time.perf_counter() - started)
        moved = self._hold(
            "moved_objects",
            f"SELECT DISTINCT object_key, load_id FROM (SELECT {line} FROM moved_lines "
            f"UNION ALL SELECT {line} FROM {_CHANGED})",
        )
        self._bronze.note_loads(quarantine.table_name, "SELECT DISTINCT load_id FROM moved_objects")
        return deleted + inserted + moved

    def _recount(self) -> None:
        """Count the lines of the objects again, each line where it is now."""
        started = time.perf_counter()
        ledger, quarantine = self._bronze.ledger, self._bronze.quarantine
        of_dataset = f"dataset = '{self._bronze.dataset}'"
        recounted = self._hold(
            "recounted_objects",
            f"""
            SELECT object_key, load_id,
                (SELECT count(*) FROM {_CHANGED} AS line WHERE {_USABLE}
                    AND line.object_key = moved.object_key AND line.load_id = moved.load_id)
                AS newly_kept,
                (SELECT count(*) FROM {_CHANGED} AS line WHERE is_blank
                    AND line.object_key = moved.object_key AND line.load_id = moved.load_id)
                AS newly_blank,
                (SELECT coalesce(sum(lines_alike), 0) FROM {quarantine.place} AS line
                    WHERE {of_dataset} AND line.object_key = moved.object_key
                    AND line.load_id = moved.load_id)
                AS quarantined
            FROM moved_objects AS moved
            """,
        )
        self._bronze.execute(f"""
            MERGE INTO {ledger.place} AS old USING recounted_objects AS new
            ON old.{of_dataset} AND old.object_key = new.object_key AND old.load_id = new.load_id
            WHEN MATCHED THEN UPDATE SET
                kept = old.kept + new.newly_kept,
                blank = old.blank + new.newly_blank,
                quarantined = new.quarantined,
                lines = old.kept + new.newly_kept + old.blank + new.newly_blank + new.quarantined
        """)
        ledger.note(recounted, recounted, time.perf_counter() - started)
        self._bronze.note_loads(ledger.table_name, "SELECT DISTINCT load_id FROM recounted_objects")
