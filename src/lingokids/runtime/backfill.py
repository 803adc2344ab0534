"""A new field of raw records takes over what was delivered for it before it was a field.

Here: bronze gets the columns it has not got yet, filled from ``rescued_values``, before
``rebuild=bronze`` makes silver and gold of it. Elsewhere: what is rescued (``rescue``), typing the
values (``quality``), the fields (``schema.raw``), when this is done (``hooks``).

The values go the way that they would have gone had there been a field: through the same parser and
the same judge. So every table is what it would be if the field had been there from the start; where
that cannot be, because a past line would be unusable by it, nothing is changed.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.records import kept_table
from lingokids.storage.warehouse import Change
from lingokids.validation import drift, quality

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir

    from lingokids.schema import Contract, Field
    from lingokids.storage import ObjectsDataset
    from lingokids.storage.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)


def fill_new_fields(warehouse: Warehouse, sources: Iterable[ObjectsDataset]) -> None:
    """Give bronze the columns of fields that are new, with the values delivered before.

    Raises:
        LingokidsError: A new field is required, a field is gone, or a past value has not the type
            of its field.
    """
    for source in sources:
        contract = schema.CONTRACTS[f"bronze_{source.dataset}"]
        if contract.table_name not in warehouse.tables:
            continue
        stored = set(warehouse.writer.get_schema(contract.table_name))
        new = tuple(field for field in source.fields if field.column not in stored)
        if new:
            _refuse_what_the_past_has_not(contract, new, stored)
            _Backfill(warehouse, source, contract, new).make()


def _refuse_what_the_past_has_not(
    contract: Contract, new: tuple[Field, ...], stored: set[str]
) -> None:
    if required := [field.path for field in new if field.required]:
        raise LingokidsError(
            f"{contract.table_name}: {', '.join(required)} is required, and lines of before may "
            "be without it: leave required out in schema/raw.py, or take everything in anew "
            "with rebuild=raw."
        )
    if gone := sorted(stored - set(contract.columns)):
        raise LingokidsError(
            f"{contract.table_name} has {', '.join(gone)}, which is no field any more, and its "
            "values would be lost: keep the field in schema/raw.py, or take everything in "
            "anew with rebuild=raw."
        )


class _Backfill:
    """The back-fill of one dataset."""

    def __init__(
        self,
        warehouse: Warehouse,
        source: ObjectsDataset,
        contract: Contract,
        new: tuple[Field, ...],
    ) -> None:
        self._warehouse = warehouse
        self._source = source
        self._contract = contract
        self._new = new
        self._judged = f"rejudged_rescued_{source.dataset}"

    def make(self) -> None:
        """Judge what was rescued by the fields there are now, and move what has a field."""
        started = time.perf_counter()
        rescued = kept_table(self._warehouse, schema.RESCUED_VALUES)
        unknown = kept_table(self._warehouse, schema.UNKNOWN_KEYS)
        rescued.ensure()
        unknown.ensure()
        texts = rescued.load().rename(line_text="rescued")
        judged = self._source.judge_texts(texts, partial(quality.judge, fields=self._new))
        query = self._warehouse.writer.compile(judged)
        self._run(f"CREATE TEMP TABLE {self._judged} AS {query}")
        self._refuse_misfits()
        rows = self._fill_bronze()
        still_unread = drift.unread_lines(
            self._warehouse.writer.table(self._judged), self._source.dataset
        )
        usable = unknown.load().select("dataset", "load_id", "usable_lines").distinct()
        counted = drift.count_unknown_keys(still_unread, usable)
        self._replace("rescued_values", still_unread.select(schema.RESCUED_VALUES.columns))
        self._replace("unknown_keys", counted)
        self._note_loads()
        any_value = " OR ".join(f'"{field.column}" IS NOT NULL' for field in self._new)
        filled = self._run(f"SELECT count(*) FROM {self._judged} WHERE {any_value}")
        self._run(f"DROP TABLE {self._judged}")
        seconds = time.perf_counter() - started
        self._warehouse.changes.append(Change(self._contract.table_name, True, rows, rows, seconds))
        LOGGER.info(
            "%s has the new columns %s now: %s of its %s rows have a value, from rescued_values.",
            self._contract.table_name,
            ", ".join(field.column for field in self._new),
            f"{filled:,}",
            f"{rows:,}",
        )

    def _refuse_misfits(self) -> None:
        misfits = self._warehouse.writer.con.execute(
            f"SELECT reason, object_key, line_number, count(*) OVER () FROM {self._judged} "
            "WHERE reason IS NOT NULL ORDER BY landed_at, object_key, line_number LIMIT 1"
        ).fetchone()
        if misfits is not None:
            reason, object_key, line_number, count = misfits
            raise LingokidsError(
                f"rescued_values has {count:,} lines of {self._source.dataset} that the new field "
                f"makes unusable, the first in {object_key}, line {line_number:,}: {reason}. Give "
                "the column a type that its past values have (string has room for all), or take "
                "everything in anew with rebuild=raw, which quarantines those lines."
            )

    def _fill_bronze(self) -> int:
        """Write the table anew, in the order of columns and with the comments of its contract."""
        name, past = self._contract.table_name, f"past_{self._contract.table_name}"
        table = kept_table(self._warehouse, self._contract)
        self._run(f"ALTER TABLE {name} RENAME TO {past}")
        self._warehouse.tables.discard(name)
        table.ensure()
        new = {field.column for field in self._new}
        values = ", ".join(
            f'{"judged" if column in new else "past"}."{column}"'
            for column in self._contract.columns
        )
        same_line = " AND ".join(f"past.{key} = judged.{key}" for key in schema.DELIVERY)
        rows = self._run(
            f"INSERT INTO {name} SELECT {values} FROM {past} AS past "
            f"LEFT JOIN {self._judged} AS judged ON {same_line}"
        )
        self._run(f"DROP TABLE {past}")
        return rows

    def _replace(self, table_name: str, rows: ir.Table) -> None:
        """Put rows in the place of the dataset's; both are worked out before they are touched."""
        columns = ", ".join(schema.CONTRACTS[table_name].columns)
        query = self._warehouse.writer.compile(rows)
        self._run(f"CREATE TEMP TABLE backfilling AS {query}")
        deleted = self._run(f"DELETE FROM {table_name} WHERE dataset = '{self._source.dataset}'")
        inserted = self._run(f"INSERT INTO {table_name} SELECT {columns} FROM backfilling")
        self._run("DROP TABLE backfilling")
        self._warehouse.changes.append(Change(table_name, True, deleted, inserted, 0.0))

    def _note_loads(self) -> None:
        """Name the loads that had rescued values: a lake owes them anew.

        A key that had null or '' everywhere gives no value to bronze, and is rescued no more.
        """
        loads = f"SELECT DISTINCT load_id FROM {self._judged}"
        if "backfilled_loads" in self._warehouse.run_tables:
            self._run(f"INSERT INTO temp.main.backfilled_loads {loads}")
            return
        self._run(f"CREATE TEMP TABLE backfilled_loads AS {loads}")
        self._warehouse.run_tables.add("backfilled_loads")

    def _run(self, sql: str) -> int:
        row = self._warehouse.writer.con.execute(sql).fetchone()
        return int(row[0]) if row and isinstance(row[0], int) else 0
