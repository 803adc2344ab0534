"""Replaces the rows of due units; only rows that differ are written.

Readers of the table learn of a change by the rows' ``version`` and, where a row left a unit of
theirs, by a mark in ``gone``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError
from lingokids.schema import GONE, masked
from lingokids.storage.duckdb.slices import slices_of
from lingokids.storage.duckdb.state import set_state
from lingokids.storage.duckdb.units import FIRST_UNCOMMITTED_ROW, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.units import DueUnits


class Replacement:
    """One save of an incremental table."""

    def __init__(self, table: StoredTable, due: DueUnits, query: str) -> None:
        self._table = table
        self._due = due
        self._query = query
        self._name = f'main."{table.table_name}"'
        self._new = f'temp.main."new_{table.table_name}"'
        self._pairs = f'temp.main."pairs_{table.table_name}"'

    def make(self) -> tuple[int, int]:
        """Replace what is due and set the state; returns how many rows went and came."""
        if self._due.is_nothing:
            return 0, 0
        set_state(self._table.warehouse, self._table.table_name, self._due.rules)
        limit = self._table.kept.units_a_slice
        if self._due.relation is None:
            return self._replace()
        if limit and self._due.count > limit:
            done = self._replace_by_slices(self._due.relation, limit)
        else:
            done = self._replace()
        self._refuse_other_units(self._due.relation)
        return done

    def _refuse_other_units(self, relation: str) -> None:
        """Rows of units that are not due would stand beside those that are there."""
        unit = columns_of(self._due.step.unit)
        other = self._table.warehouse.writer.con.execute(f"""
            SELECT {unit} FROM {self._name} ANTI JOIN temp.main."{relation}" USING ({unit})
            WHERE rowid >= {FIRST_UNCOMMITTED_ROW} LIMIT 1
        """).fetchone()
        if other is not None:
            raise LingokidsError(
                f"{self._table.table_name}: the node makes rows of a unit ({unit}) that no changed "
                f"row of its inputs has, such as {_shown(self._due.step.unit, other)}. Work the "
                "unit out in a table before, or leave unit out of its catalog entry: it is then "
                "made as a whole."
            )

    def _refuse_repeated_keys(self) -> None:
        """Refuse two new rows of one key: one would take the old row's place, and hide the other.

        A first load inserts both, where the check of the key finds them.
        """
        grain = columns_of(self._table.contract.grain)
        repeated = self._table.warehouse.writer.con.execute(
            f"SELECT {grain} FROM {self._new} GROUP BY ALL HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if repeated is not None:
            raise LingokidsError(
                f"{self._table.table_name}: the node makes several rows of one key ({grain}), such "
                f"as {_shown(self._table.contract.grain, repeated)}. Change the node, or the grain "
                "in schema/ if the promise changed."
            )

    def _replace_by_slices(self, relation: str, units_a_slice: int) -> tuple[int, int]:
        """Replace a slice of units at a time: the relation that the query reads has one."""
        con, whole = self._table.warehouse.writer.con, f"all_{relation}"
        con.execute(f'CREATE OR REPLACE TEMP TABLE "{whole}" AS FROM temp.main."{relation}"')
        deleted = inserted = 0
        for condition in slices_of(con, whole, self._due.step.unit[0], units_a_slice):
            con.execute(f'DELETE FROM temp.main."{relation}"')
            con.execute(f'INSERT INTO temp.main."{relation}" FROM "{whole}" WHERE {condition}')
            went, came = self._replace()
            deleted, inserted = deleted + went, inserted + came
        con.execute(f'DROP TABLE temp.main."{relation}"')
        con.execute(f'ALTER TABLE "{whole}" RENAME TO "{relation}"')
        return deleted, inserted

    def _replace(self) -> tuple[int, int]:
        run = self._table.run
        listed = columns_of(self._table.columns)
        into = f"INSERT INTO {self._name} ({listed}, version)"
        if not run(f"SELECT count(*) FROM (FROM {self._name} {self._of_units} LIMIT 1)"):
            number = self._table.warehouse.number
            with self._table.counting():
                return 0, run(f"{into} SELECT {listed}, {number} FROM ({self._query})")
        with self._table.counting():
            run(f"CREATE OR REPLACE TEMP TABLE {self._new} AS {self._query}")
        self._refuse_repeated_keys()
        self._pair()
        self._mark()
        deleted = run(
            f"DELETE FROM {self._name} WHERE rowid IN "
            f"(SELECT old_row FROM {self._pairs} WHERE old_row IS NOT NULL)"
        )
        inserted = run(
            f"{into} SELECT {columns_of(self._table.columns, 'new.')}, pair.version "
            f"FROM {self._new} AS new JOIN {self._pairs} AS pair ON new.rowid = pair.new_row"
        )
        run(f"DROP TABLE {self._new}")
        run(f"DROP TABLE {self._pairs}")
        return deleted, inserted

    @property
    def _of_units(self) -> str:
        if self._due.relation is None:
            return ""
        return (
            f'SEMI JOIN temp.main."{self._due.relation}" USING ({columns_of(self._due.step.unit)})'
        )

    def _pair(self) -> None:
        """Pair old and new rows by grain, and keep pairs that differ or are half empty.

        A row that differs in silent columns alone keeps its version: it is no change to readers.
        """
        grain, silent = self._table.contract.grain, self._table.kept.silent
        rest = [name for name in self._table.columns if name not in grain]
        same_grain = " AND ".join(f'old."{name}" = new."{name}"' for name in grain)
        says_same = _equal(name for name in rest if name not in silent)
        self._table.run(f"""
            CREATE OR REPLACE TEMP TABLE {self._pairs} AS
            SELECT old_row, new.rowid AS new_row,
                old_row IS NULL OR new.rowid IS NULL OR NOT {says_same} AS is_change,
                CASE WHEN is_change THEN {self._table.warehouse.number} ELSE old.version END
                AS version
            FROM (SELECT rowid AS old_row, * FROM {self._name} {self._of_units}) AS old
            FULL JOIN {self._new} AS new ON {same_grain}
            WHERE is_change OR NOT {_equal(name for name in rest if name in silent)}
        """)

    def _mark(self) -> None:
        """Mark what rows left, by the columns that readers know them by."""
        by = sorted(self._due.step.read_by)
        if not by:
            return
        values = ", ".join(f'"{name}" := "{name}"' for name in by)
        listed = columns_of(by)
        self._table.run(f"""
            INSERT INTO {GONE.table_name} (table_name, unit, version)
            SELECT '{self._table.table_name}', to_json(struct_pack({values})),
                {self._table.warehouse.number}
            FROM (
                SELECT {listed} FROM {self._name} AS old
                JOIN {self._pairs} AS pair ON old.rowid = pair.old_row AND pair.is_change
                EXCEPT
                SELECT {listed} FROM {self._new} AS new
                JOIN {self._pairs} AS pair ON new.rowid = pair.new_row AND pair.is_change
            )
        """)


def _equal(names: Iterable[str]) -> str:
    """Whether the old row and the new one have the same values, as SQL."""
    same = " AND ".join(f'old."{name}" IS NOT DISTINCT FROM new."{name}"' for name in names)
    return f"({same})" if same else "true"


def _shown(columns: Sequence[str], values: Sequence[object]) -> str:
    """Values for a message: those of identifiers are masked."""
    return ", ".join(map(str, masked(dict(zip(columns, values, strict=True))).values()))
