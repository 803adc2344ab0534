"""Backfill: a new field of raw records gets the values delivered before it.

Bronze gets the columns that it lacks, filled from ``rescued_values``, before ``rebuild=bronze``
makes silver and gold of it. The values pass the same parser and the same validation as new lines,
so every table is what it would be if the field had been there from the start. Where a past line
would be unusable by it, nothing is changed.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.parsing import validate_texts
from lingokids.storage.duckdb.warehouse import VERSION
from lingokids.validation import filing, quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lingokids.schema import Field
    from lingokids.schema.parameters import Instants
    from lingokids.storage.duckdb.bronze import StoredBronze

LOGGER = logging.getLogger(__name__)


def bring_up_to_date(tables: Iterable[StoredBronze], instants: Instants) -> None:
    """Add the columns of new fields to bronze, with the values delivered before.

    What is not kept of persons is taken out.

    Raises:
        LingokidsError: A new field is required, a field is gone, or a past value has not the type
            of its field.
    """
    for bronze in tables:
        stored = bronze.warehouse.columns.get(bronze.table_name)
        if stored is None:
            continue
        fields = schema.FIELDS[bronze.dataset]
        if new := tuple(field for field in fields if field.column not in stored):
            _refuse_what_the_past_lacks(bronze, new, stored)
            _Backfill(bronze, new).make(instants)
        bronze.minimise()


def _refuse_what_the_past_lacks(
    bronze: StoredBronze, new: tuple[Field, ...], stored: Mapping[str, Any]
) -> None:
    if required := [field.path for field in new if field.required]:
        raise LingokidsError(
            f"{bronze.table_name}: {', '.join(required)} is required, and lines of before may "
            "be without it: leave required out in schema/raw.py, or take everything in again "
            "with rebuild=raw."
        )
    if gone := sorted(stored.keys() - bronze.stored_columns):
        raise LingokidsError(
            f"{bronze.table_name} has {', '.join(gone)}, which is no field any more, and its "
            "values would be lost: keep the field in schema/raw.py, or take everything in "
            "again with rebuild=raw."
        )


class _Backfill:
    """The backfill of one bronze table."""

    def __init__(self, bronze: StoredBronze, new: tuple[Field, ...]) -> None:
        self._bronze = bronze
        self._new = new
        self._run = bronze.run
        self._validated = f"temp.main.rescued_{bronze.dataset}"

    def make(self, instants: Instants) -> None:
        """Validate rescued values by the new fields, and move those that have one."""
        started = time.perf_counter()
        bronze = self._bronze
        rescued = bronze.rescued.load()
        texts = rescued.filter(rescued.dataset == bronze.dataset).drop("unknown_keys")
        validated = validate_texts(
            bronze.warehouse.writer,
            bronze.dataset,
            texts.rename(line_text="rescued"),
            partial(quality.validate, instants=instants, fields=self._new),
        )
        self._run(f"CREATE TEMP TABLE {self._validated} AS {bronze.compile(validated)}")
        self._refuse_misfits()
        rows = self._fill()
        self._rescue_the_rest()
        any_value = " OR ".join(f'"{field.column}" IS NOT NULL' for field in self._new)
        filled = self._run(f"SELECT count(*) FROM {self._validated} WHERE {any_value}")
        self._run(f"DROP TABLE {self._validated}")
        bronze.note(rows, rows, time.perf_counter() - started)
        LOGGER.info(
            "%s has the new columns %s now: %s of its %s rows have a value, from rescued_values.",
            bronze.table_name,
            ", ".join(field.column for field in self._new),
            f"{filled:,}",
            f"{rows:,}",
        )

    def _refuse_misfits(self) -> None:
        misfits = self._bronze.warehouse.writer.con.execute(
            f"SELECT reason, object_key, line_number, count(*) OVER () FROM {self._validated} "
            "WHERE reason IS NOT NULL ORDER BY landed_at, object_key, line_number LIMIT 1"
        ).fetchone()
        if misfits is not None:
            reason, object_key, line_number, count = misfits
            raise LingokidsError(
                f"rescued_values has {count:,} lines of {self._bronze.dataset} that the new field "
                f"makes unusable, the first in {object_key}, line {line_number:,}: {reason}. Give "
                "the column a type that its past values have (string has room for all), or take "
                "everything in again with rebuild=raw, which quarantines those lines."
            )

    def _fill(self) -> int:
        """Write the table again, with the columns and comments of its contract."""
        name, past = self._bronze.table_name, f"past_{self._bronze.table_name}"
        self._run(f"ALTER TABLE {name} RENAME TO {past}")
        del self._bronze.warehouse.columns[name]
        self._bronze.ensure()
        new = {field.column for field in self._new}
        columns = [*self._bronze.columns, VERSION]
        values = ", ".join(
            f'{"validated" if column in new else "past"}."{column}"' for column in columns
        )
        same_line = " AND ".join(f"past.{key} = validated.{key}" for key in schema.LINE)
        rows = self._run(
            f"INSERT INTO {name} ({', '.join(columns)}) SELECT {values} FROM {past} AS past "
            f"LEFT JOIN {self._validated} AS validated ON {same_line}"
        )
        self._run(f"DROP TABLE {past}")
        return rows

    def _rescue_the_rest(self) -> None:
        """Keep what still no field reads; a lake lacks the loads whose values moved.

        A key that had null or '' everywhere gives no value to bronze, and is rescued no more.
        """
        started = time.perf_counter()
        bronze, rescued = self._bronze, self._bronze.rescued
        rest = filing.rescued(bronze.warehouse.writer.table(self._table), bronze.dataset)
        self._run(f"CREATE TEMP TABLE backfilling AS {bronze.compile(rest)}")
        deleted = self._run(f"DELETE FROM {rescued.table_name} WHERE dataset = '{bronze.dataset}'")
        inserted = rescued.insert_from("backfilling")
        self._run("DROP TABLE backfilling")
        rescued.note(deleted, inserted, time.perf_counter() - started)
        for table in bronze, rescued:
            bronze.note_loads(table.table_name, f"SELECT DISTINCT load_id FROM {self._validated}")

    @property
    def _table(self) -> str:
        return self._validated.rpartition(".")[2]
