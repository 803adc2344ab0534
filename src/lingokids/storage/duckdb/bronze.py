"""Bronze in the warehouse: lines, their objects, quarantine, unknown keys."""

from __future__ import annotations

import contextlib
import json
import time
from functools import cached_property
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.storage.duckdb.expressions import compiled
from lingokids.storage.duckdb.minimising import Minimisation
from lingokids.storage.duckdb.replay import Replay
from lingokids.storage.duckdb.state import note, noted, set_state, state_of
from lingokids.storage.duckdb.stored import StoredTable
from lingokids.storage.engine import StoredLines
from lingokids.storage.records import kept_table
from lingokids.validation import drift, filing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    import ibis.expr.types as ir
    import pyarrow as pa

    from lingokids.schema import Contract, Delivery
    from lingokids.storage.bronze import BronzeDataset
    from lingokids.storage.duckdb.warehouse import Warehouse

#: What the warehouse notes beside the loads written: by dataset, after how many days their texts
#: expired when that was last seen to.
_AGE_OF_TEXTS = " Texts: "
_COUNTS = ("lines", "blank", "kept", "quarantined")


class StoredBronze(StoredTable, StoredLines):
    """See ``engine.StoredLines``."""

    def __init__(self, warehouse: Warehouse, table: BronzeDataset) -> None:
        super().__init__(warehouse, table)
        self.dataset = table.dataset
        self.keeps_children = table.keeps_children
        self.minimisation = Minimisation(schema.FIELDS[table.dataset], table.not_kept, table.key)

    @cached_property
    def ledger(self) -> StoredTable:
        """The ledger of objects."""
        return self._beside(schema.INGESTED_OBJECTS)

    @cached_property
    def quarantine(self) -> StoredTable:
        """The unusable lines."""
        return self._beside(schema.QUARANTINED_LINES)

    @cached_property
    def rescued(self) -> StoredTable:
        """What lines hold that no field reads."""
        return self._beside(schema.RESCUED_VALUES)

    def _beside(self, contract: Contract) -> StoredTable:
        return kept_table(self.warehouse, contract)

    @property
    def faults(self) -> list[str]:
        """See ``engine.Stored``; also that it keeps of persons what other settings say."""
        state = state_of(self.warehouse, self.table_name) if self.warehouse.in_run else None
        if state is None or state.rules == self.minimisation.rules:
            return super().faults
        return [
            *super().faults,
            "keeps of persons what other settings say (privacy.not_kept, LINGOKIDS_PSEUDONYM_KEY)",
        ]

    def ensure(self) -> None:
        """Make bronze, empty, where it is not there: its tables belong together."""
        super().ensure()
        for table in self.ledger, self.quarantine, self.rescued:
            table.ensure()
        if schema.UNKNOWN_KEYS.table_name not in self.warehouse.tables:
            self._count_unknown_keys()

    def clear(self) -> None:
        """Forget every line and object of the dataset, to take them in again."""
        self.ensure()
        self.note_state()
        self.note_loads(self.table_name, f"SELECT DISTINCT load_id FROM {self.place}")
        super().clear()
        for table in self.ledger, self.quarantine, self.rescued:
            of_dataset = f"dataset = '{self.dataset}'"
            table.note(self.change(table, f"DELETE FROM {table.place}", of_dataset), 0, 0.0)

    def note_loads(self, table_name: str, sql: str) -> int:
        """Note the loads whose rows were written: a statement gives them, row by row."""
        loads = self.warehouse.writer.con.execute(sql).to_arrow_table()[0]
        self.warehouse.rewritten_loads[table_name].update(loads.unique().to_pylist())
        return len(loads)

    def change(self, table: StoredTable, statement: str, where: str) -> int:
        """Update or delete rows of a table, and note their loads; returns how many."""
        return self.note_loads(table.table_name, f"{statement} WHERE {where} RETURNING load_id")

    def note_load(self, table: StoredTable, inserted: int, started: float) -> None:
        """Tell the run that rows of its own load were added."""
        table.note(0, inserted, time.perf_counter() - started)
        if inserted:
            self.warehouse.rewritten_loads[table.table_name].add(self.warehouse.number)

    def file(self, delivery: Delivery) -> None:
        """See ``engine.StoredLines``."""
        self.ensure()
        self._supersede(delivery.objects)
        lines, dataset = delivery.lines, self.dataset
        for table, rows in (
            (self, self._side_by_side(filing.usable(lines, self.contract))),
            (self.quarantine, filing.unusable(lines, dataset, self._earlier(delivery.objects))),
            (self.rescued, filing.rescued(lines, dataset)),
        ):
            started = time.perf_counter()
            self.note_load(table, table.append(rows), started)
        self._enter(filing.counts(delivery, dataset))
        self.note_state()

    def hold(self, name: str, query: str) -> int:
        """Work rows out once, for several statements, and give them a name; returns how many."""
        return self.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")

    def give(self, name: str, rows: pa.Table) -> None:
        """Give rows a name, by which statements read them."""
        self.warehouse.writer.con.register(name, rows)

    def execute(self, statement: str) -> None:
        """Run a statement on tables that belong to bronze."""
        self.run(statement)

    def _side_by_side(self, rows: ir.Table) -> ir.Table:
        """The rows of a batch, those of a user beside each other.

        Then the engine stores what is alike of a user (ids above all) once for all of them, in
        silver too, which is made in this order: three tenths of the file.
        """
        return rows.order_by("user_id") if "user_id" in self.columns else rows

    def note_state(self, last_load: int = 0) -> None:
        """Note what is not kept, and the number that the next run counts on from."""
        number = max(last_load, self.warehouse.number)
        set_state(self.warehouse, self.table_name, self.minimisation.rules, number)

    def insert_from(self, rows: str) -> int:
        """Add the rows of a relation, without what is not kept."""
        self.minimisation.give_key(self.warehouse.writer.con)
        return super().insert_from(self.minimisation.of(rows))

    @contextlib.contextmanager
    def within_reach(self) -> Iterator[StoredBronze]:
        """Have the lines of erased people where this engine changes them: here they are."""
        yield self

    def minimise(self) -> None:
        """Take what is not kept out of the rows that are there."""
        state = state_of(self.warehouse, self.table_name)
        if state is None:
            return
        started = time.perf_counter()
        self.minimisation.give_key(self.warehouse.writer.con)
        if changes := self.minimisation.changes(state.rules):
            assignments, needed = changes
            number = f"version = {self.warehouse.number}"
            updated = self.change(self, f"UPDATE {self.place} SET {assignments}, {number}", needed)
            self.note(updated, updated, time.perf_counter() - started)
            self.warehouse.erasing.leaves_no_trace |= updated > 0
        self.note_state(state.version)

    def expire_texts(self, now: datetime, age: timedelta | None) -> None:
        """See ``engine.StoredLines``."""
        needed = {schema.RUNS.table_name, schema.RUN_UNITS.table_name}
        needed |= {self.quarantine.table_name, self.rescued.table_name}
        if not needed <= self.warehouse.tables:
            return
        is_sooner = self._note_age_of_texts(age)
        if age is None:
            return
        texts = (self.quarantine, "line_text", "''"), (self.rescued, "rescued", "'{}'")
        for table, column, nothing in texts:
            started = time.perf_counter()
            if not (loads := self._loads_to_empty(table.table_name, now, age, is_sooner)):
                continue
            emptied = self.change(
                table,
                f"UPDATE {table.place} SET {column} = {nothing}",
                f"dataset = '{self.dataset}' AND load_id IN ({', '.join(map(str, loads))}) "
                f"AND {column} <> {nothing}",
            )
            if emptied:
                table.note(emptied, emptied, time.perf_counter() - started)

    def _note_age_of_texts(self, age: timedelta | None) -> bool:
        """Note when texts expire from now on; returns whether they did later before, or never."""
        place = self.warehouse, schema.RUN_UNITS.table_name, _AGE_OF_TEXTS
        applied = dict(json.loads(noted(*place) or "{}"))
        before = applied.pop(self.dataset, None)
        days = {self.dataset: age.days} if age is not None else {}
        # a run that changes no row writes none of these texts either
        if self.warehouse.has_changed and days.get(self.dataset) != before:
            note(*place, json.dumps(applied | days))
        return age is not None and (before is None or age.days < before)

    def _loads_to_empty(
        self, table_name: str, now: datetime, age: timedelta, is_sooner: bool
    ) -> list[int]:
        """The old loads that no run wrote since they were so old: that one emptied them.

        Where texts did not expire as soon before, they are all old loads.
        """
        rows = self.warehouse.writer.con.execute(
            f"""
            SELECT load_id, max(started_at) FILTER (table_name = $table) AS last_written
            FROM {schema.RUN_UNITS.table_name} JOIN {schema.RUNS.table_name} USING (run_id)
            WHERE load_id IS NOT NULL GROUP BY load_id
            HAVING last_written IS NOT NULL AND min(started_at) < $before AND ($is_sooner
                OR last_written <= min(started_at) + $age OR list_contains($rewritten, load_id))
            ORDER BY load_id
            """,
            {
                "table": table_name,
                "before": now - age,
                "age": age,
                "is_sooner": is_sooner,
                "rewritten": [*self.warehouse.rewritten_loads[table_name]],
            },
        ).fetchall()
        return [load for load, _ in rows]

    def forget(self, before: datetime) -> None:
        """See ``engine.StoredLines``; readers learn of it by marks, as no row is left to tell."""
        if self.table_name not in self.warehouse.tables:
            return
        started = time.perf_counter()
        state = state_of(self.warehouse, self.table_name)
        rules = state.rules if state else self.minimisation.rules  # what is kept is as it was
        (key,) = schema.CONTRACTS[f"stg_{self.dataset}"].grain
        landed_before = f"landed_at < '{before}'"
        self._mark_gone(key, landed_before)
        for table in self, self.ledger, self.quarantine, self.rescued:
            of_dataset = "" if table is self else f"dataset = '{self.dataset}' AND "
            deleted = self.change(
                table, f"DELETE FROM {table.place}", f"{of_dataset}{landed_before}"
            )
            if deleted:
                set_state(self.warehouse, self.table_name, rules)
                table.note(deleted, 0, time.perf_counter() - started)

    def _mark_gone(self, key: str, where: str) -> None:
        """Mark what rows will leave, by the column that readers know them by."""
        self.run(
            f"INSERT INTO {schema.GONE.table_name} SELECT DISTINCT '{self.table_name}', "
            f'to_json(struct_pack("{key}" := "{key}")), {self.warehouse.number} '
            f"FROM {self.place} WHERE {where}"
        )

    def _earlier(self, objects: ir.Table) -> ir.Table:
        """The quarantined lines of those of the objects that a batch of this load began."""
        begun, unusable = (
            rows.filter((rows.dataset == self.dataset) & (rows.load_id == self.warehouse.number))
            for rows in (self.ledger.load(), self.quarantine.load())
        )
        return unusable.semi_join(begun.semi_join(objects, "object_key"), "object_key")

    def _supersede(self, objects: ir.Table) -> None:
        """Mark earlier versions of these objects, and their lines, as not current."""
        keys, number = (
            compiled(self.warehouse.backend, objects.select("object_key")),
            self.warehouse.number,
        )
        of_earlier = f"is_current AND load_id < {number} AND object_key IN ({keys})"
        objects_marked = self.change(
            self.ledger,
            f"UPDATE {self.ledger.place} SET is_current = false",
            f"dataset = '{self.dataset}' AND {of_earlier}",
        )
        if objects_marked:
            self.change(
                self,
                f"UPDATE {self.place} SET is_current = false, version = {number}",
                of_earlier,
            )

    def _enter(self, counts: ir.Table) -> None:
        """Add the objects of a batch to the ledger; counts of one in several are summed."""
        started = time.perf_counter()
        ledger, rows = self.ledger.table_name, f"temp.main.counts_of_{self.dataset}"
        self.run(f"CREATE OR REPLACE TEMP TABLE {rows} AS {self.ledger.compile(counts)}")
        sums = ", ".join(f"{name} = old.{name} + new.{name}" for name in _COUNTS)
        key = ("dataset", "object_key", "load_id")
        same_object = " AND ".join(f"old.{name} = new.{name}" for name in key)
        self.run(f"UPDATE {ledger} AS old SET {sums} FROM {rows} AS new WHERE {same_object}")
        rows_new = f"(FROM {rows} ANTI JOIN {ledger} USING ({', '.join(key)}))"
        self.note_load(self.ledger, self.ledger.insert_from(rows_new), started)

    def move(self, delivery: Delivery) -> None:
        """See ``engine.StoredLines``."""
        self.ensure()
        Replay(self).make(delivery)

    def restore(self, rows: ir.Table) -> None:
        """See ``engine.StoredLines``; later runs have greater numbers."""
        started = time.perf_counter()
        inserted = self.append(rows)
        self.note(0, inserted, time.perf_counter() - started)
        of_all = f'SELECT coalesce(max(load_id), 0) FROM main."{self.table_name}"'
        (last_load,) = self.warehouse.first_of(of_all)
        self.note_state(last_load)

    def _count_unknown_keys(self) -> None:
        """Make the view of unknown keys: they are counted when someone asks."""
        view = self._beside(schema.UNKNOWN_KEYS)
        query = view.compile(unknown_keys(self.warehouse))
        self.warehouse.writer.con.execute(f"CREATE VIEW {view.table_name} AS {query}")
        view.comment_on("VIEW")


def unknown_keys(warehouse: Warehouse) -> ir.Table:
    """The keys of lines in bronze that no field reads, counted."""
    usable = drift.usable_lines({name: _lines_of(warehouse, name) for name in schema.FIELDS})
    return drift.count_unknown_keys(kept_table(warehouse, schema.RESCUED_VALUES).load(), usable)


def _lines_of(warehouse: Warehouse, dataset: str) -> ir.Table:
    bronze = kept_table(warehouse, schema.CONTRACTS[f"bronze_{dataset}"])
    bronze.kept.has_versions = True  # kept_table cannot tell before the table is made
    return bronze.load()
