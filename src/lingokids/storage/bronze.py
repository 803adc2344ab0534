"""A bronze table: validated lines are filed with what belongs to them, all in one save.

A line is in bronze or in quarantine, its object is in the ledger with counts of both, and what no
field reads is kept. One save writes all of it, so each dataset can be taken in alone.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ibis

from lingokids import schema
from lingokids.schema import Delivery
from lingokids.storage.records import kept_table
from lingokids.storage.replay import Replay
from lingokids.storage.state import set_state
from lingokids.storage.tables import TableDataset
from lingokids.validation import drift, filing

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.schema import Contract

_COUNTS = ("lines", "blank", "kept", "quarantined")


class BronzeDataset(TableDataset):
    """The lines of one raw dataset, as delivered.

    Saving takes a ``Delivery``: new lines are added, and lines of earlier versions of their
    objects are marked as no longer current; lines that were quarantined before are moved. Saving
    a table of the contract's columns restores it.

    Args:
        dataset: The raw dataset: events, users or activities.
        table: As of ``TableDataset``.
    """

    def __init__(self, *, dataset: str, **table: Any) -> None:
        super().__init__(**table)
        self.dataset = dataset
        self.has_versions = True

    # each keeps its compiled query from batch to batch

    @cached_property
    def ledger(self) -> TableDataset:
        """The ledger of objects."""
        return kept_table(self.warehouse, schema.INGESTED_OBJECTS)

    @cached_property
    def quarantine(self) -> TableDataset:
        """The unusable lines."""
        return kept_table(self.warehouse, schema.QUARANTINED_LINES)

    @cached_property
    def rescued(self) -> TableDataset:
        """What lines hold that no field reads."""
        return kept_table(self.warehouse, schema.RESCUED_VALUES)

    def save(self, data: Delivery | ir.Table) -> None:
        """File a batch of lines."""
        self.ensure()
        if not isinstance(data, Delivery):
            self._restore(data)
        elif "past_reason" in data.lines.columns:
            Replay(self).make(data)
        else:
            self._add(data)

    def ensure(self) -> None:
        """Make bronze, empty, where it is not there: its tables belong together."""
        super().ensure()
        for table in self.ledger, self.quarantine, self.rescued:
            table.ensure()
        if schema.UNKNOWN_KEYS.table_name not in self.warehouse.tables:
            self._count_unknown_keys()

    def clear(self) -> None:
        """Forget every line and object of the dataset, to take them in anew."""
        super().clear()
        for table in self.ledger, self.quarantine, self.rescued:
            of_dataset = f"dataset = '{self.dataset}'"
            name = table.table_name
            self.note_loads(name, f"SELECT DISTINCT load_id FROM {name} WHERE {of_dataset}")
            table.note(self.run(f"DELETE FROM {name} WHERE {of_dataset}"), 0, 0.0)

    def note_loads(self, table_name: str, sql: str) -> int:
        """Tell the run of which loads rows were written: a statement gives them, row by row."""
        loads = [load for (load,) in self.warehouse.writer.con.execute(sql).fetchall()]
        self.warehouse.rewritten_loads[table_name].update(loads)
        return len(loads)

    def note_load(self, table: TableDataset, inserted: int, started: float) -> None:
        """Tell the run that rows of its own load were added."""
        table.note(0, inserted, time.perf_counter() - started)
        if inserted:
            self.warehouse.rewritten_loads[table.table_name].add(self.warehouse.number)

    def _add(self, delivery: Delivery) -> None:
        self._supersede(delivery.objects)
        lines, dataset = delivery.lines, self.dataset
        for table, rows in (
            (self, filing.usable(lines, self.contract)),
            (self.quarantine, filing.unusable(lines, dataset)),
            (self.rescued, filing.rescued(lines, dataset)),
        ):
            started = time.perf_counter()
            self.note_load(table, table.insert(rows), started)
        self._enter(filing.counts(delivery, dataset))
        set_state(self.warehouse, self.table_name, None)

    def _supersede(self, objects: ir.Table) -> None:
        """Mark what came of earlier versions of these objects: each has another version now."""
        keys = self.warehouse.writer.compile(objects.select("object_key"))
        of_earlier = f"is_current AND load_id < {self.warehouse.number} AND object_key IN ({keys})"
        objects_marked = self.note_loads(
            self.ledger.table_name,
            f"UPDATE {self.ledger.table_name} SET is_current = false "
            f"WHERE dataset = '{self.dataset}' AND {of_earlier} RETURNING load_id",
        )
        if objects_marked:
            self.note_loads(
                self.table_name,
                f"UPDATE {self.table_name} SET is_current = false, "
                f"version = {self.warehouse.number} WHERE {of_earlier} RETURNING load_id",
            )

    def _enter(self, counts: ir.Table) -> None:
        """Enter the objects of a batch into the ledger; of an object in several, add them up."""
        started = time.perf_counter()
        ledger, rows = self.ledger.table_name, f"temp.main.counts_of_{self.dataset}"
        self.run(f"CREATE OR REPLACE TEMP TABLE {rows} AS {self.ledger.compile(counts)}")
        sums = ", ".join(f"{name} = old.{name} + new.{name}" for name in _COUNTS)
        key = ("dataset", "object_key", "load_id")
        same_object = " AND ".join(f"old.{name} = new.{name}" for name in key)
        self.run(f"UPDATE {ledger} AS old SET {sums} FROM {rows} AS new WHERE {same_object}")
        rows_new = f"(FROM {rows} ANTI JOIN {ledger} USING ({', '.join(key)}))"
        self.note_load(self.ledger, self.ledger.insert_from(rows_new), started)

    def _restore(self, rows: ir.Table) -> None:
        """Put rows back as they were, with their loads: later runs have greater numbers."""
        started = time.perf_counter()
        inserted = self.insert(rows)
        self.note(0, inserted, time.perf_counter() - started)
        last_load = self.run(f"SELECT coalesce(max(load_id), 0) FROM {self._name}")
        set_state(self.warehouse, self.table_name, None, max(last_load, self.warehouse.number))

    def _count_unknown_keys(self) -> None:
        """Make the view of unknown keys: they are counted when someone asks."""
        view = kept_table(self.warehouse, schema.UNKNOWN_KEYS)
        usable = ibis.union(*(self._usable_lines(dataset) for dataset in schema.FIELDS))
        query = view.compile(drift.count_unknown_keys(self.rescued.load(), usable))
        self.warehouse.writer.con.execute(f"CREATE VIEW {view.table_name} AS {query}")
        self.warehouse.tables.add(view.table_name)
        self.warehouse.columns[view.table_name] = view.stored_columns
        view.comment_on("VIEW")

    def _usable_lines(self, dataset: str) -> ir.Table:
        """How many lines of a dataset each load brought into bronze."""
        contract: Contract = schema.CONTRACTS[f"bronze_{dataset}"]
        bronze = self
        if contract.table_name != self.table_name:
            bronze = BronzeDataset(
                dataset=dataset,
                table_name=contract.table_name,
                warehouse={"database": str(self.warehouse.database), "published": ""},
            )
            TableDataset.ensure(bronze)  # not the others: they come next
        by_load = (
            bronze._in(self.warehouse.writer)
            .group_by("load_id")
            .aggregate(usable_lines=ibis._.count())
        )
        return by_load.mutate(dataset=ibis.literal(dataset))
