"""Units of a table that are due: found, and handed to the node that makes them.

The queries are SQL text: printing them from expressions would cost a run with nothing new as much
as all its other work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from lingokids.schema import GONE
from lingokids.storage.duckdb.state import are_as_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.types as ir

    from lingokids.incremental.links import Link, Step
    from lingokids.schema.parameters import Window
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.warehouse import Warehouse

#: DuckDB numbers rows that are not yet committed from here (MAX_ROW_ID in its source; nothing
#: public tells new rows apart). With another number a check would look at none of them.
FIRST_UNCOMMITTED_ROW = 36_028_797_018_960_000


@dataclass
class DueUnits:
    """The units of a table that a run makes.

    Attributes:
        step: How the table is kept.
        rules: What it is made by now.
        since: The last run that it reflects; None: all of it is due.
        relation: The run's table that lists the units; None: they are all, or there is none.
        count: How many are listed.
    """

    step: Step
    rules: str | None
    since: int | None
    relation: str | None = None
    count: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether no unit is due."""
        return self.since is not None and not self.count


def find_due(
    table: StoredTable,
    step: Step,
    rules: str | None,
    inputs: Mapping[str, StoredTable],
    window: Window,
) -> DueUnits:
    """Work out which units of a table may differ from what its inputs now give.

    Args:
        table: The table.
        step: How it is kept.
        rules: What it is made by now; made by others, all of it is due. None: all of it is.
        inputs: The tables that its node reads, by entry.
        window: The days an operator asks for besides what is due.
    """
    state = state_of(table.warehouse, table.table_name)
    if rules is None or state is None or state.rules != rules:
        due = DueUnits(step, rules, None)
        if table.kept.units_a_slice:
            table.warehouse.list_units(due, _all_units(step))
            if due.count <= table.kept.units_a_slice:
                due.relation = None  # one slice has them all: no need to list them
        return due
    due = DueUnits(step, rules, state.version)
    names = {link.table_name for link in step.links}
    if window.is_open and are_as_of(table.warehouse, names, state.version):
        return due
    table.warehouse.list_units(due, _changed_units(step, state.version, table, inputs, window))
    return due


def why_due(due: DueUnits, warehouse: Warehouse, window: Window) -> str:
    """Why units of a table are due."""
    if due.since is not None:
        links = due.step.links
        if changed := [
            link.entry for link in links if warehouse.has_changed_since(link.table_name, due.since)
        ]:
            return f"rows of {', '.join(changed)} changed since run {due.since:,}"
        return f"days of the window {window.start or '…'} to {window.end or '…'} are asked for"
    state = state_of(warehouse, due.step.table_name)
    if state is None:
        return "it was never made"
    if state.rules is None:
        return "all of it was made by rules that are not known, or from rows that are gone"
    is_same = state.rules == due.rules
    return "a rebuild is asked for" if is_same else "its node, its parameters or Ibis changed"


def _changed_units(
    step: Step,
    since: int,
    table: StoredTable,
    inputs: Mapping[str, StoredTable],
    window: Window,
) -> str:
    """The units whose inputs changed since, and those of the days that are asked for."""
    unit, own = columns_of(step.unit), f'main."{step.table_name}"'
    found = []
    for link in step.links:
        changed = _changed(link, since, inputs[link.entry])
        if not link.is_direct:
            by = columns_of(link.by)
            changed = f"SELECT {unit} FROM {own} SEMI JOIN ({changed}) USING ({by})"
        found.append(changed)
    if not window.is_open and "date" in table.columns:
        dayed = [inputs[link.entry] for link in step.links if link.is_direct]
        names = [step.table_name, *(each.table_name for each in dayed if "date" in each.columns)]
        found += [f'SELECT {unit} FROM main."{name}" WHERE {_covers(window)}' for name in names]
    query = f"SELECT DISTINCT {unit} FROM ({' UNION ALL '.join(found)})"
    if not window.lookback_days or "date" not in step.unit:
        return query
    return f"""
        WITH due AS ({query})
        FROM due UNION SELECT {columns_of(step.unit, "near.")} FROM {own} AS near
        JOIN (SELECT DISTINCT date FROM due) AS days
        ON near.date BETWEEN days.date - {window.lookback_days} AND days.date
    """


def _changed(link: Link, since: int, read: StoredTable) -> str:
    """What changed in an input since: rows, and marks of rows that left."""
    by = columns_of(link.by)
    marks = ", ".join(
        f"CAST(unit->>'$.{name}' AS {read.sql_type(name)}) AS \"{name}\"" for name in link.by
    )
    return (
        f'SELECT {by} FROM main."{link.table_name}" WHERE version > {since} UNION ALL '
        f"SELECT {marks} FROM {GONE.table_name} "
        f"WHERE table_name = '{link.table_name}' AND version > {since}"
    )


def _covers(window: Window) -> str:
    bounds = [f"date >= DATE '{window.start}'"] if window.start else []
    bounds += [f"date < DATE '{window.end}'"] if window.end else []
    return " AND ".join(bounds)


def _all_units(step: Step) -> str:
    """Every unit that the inputs can give, and every one that the table has."""
    names = [step.table_name, *(link.table_name for link in step.links if link.is_direct)]
    return " UNION ".join(f'SELECT {columns_of(step.unit)} FROM main."{name}"' for name in names)


def restricted(
    table: StoredTable, due: DueUnits, inputs: Mapping[str, StoredTable]
) -> dict[str, ir.Table]:
    """The inputs of a node, those with the unit's columns restricted to what is due.

    Where nothing is, they stay as they are: what the node makes of them is not worked out.
    """
    units = table.due_units
    if units is None or due.is_nothing:
        return {}
    return {
        link.entry: _rows_due(inputs[link.entry], table, due, units)
        for link in due.step.links
        if link.is_direct
    }


def _rows_due(read: StoredTable, table: StoredTable, due: DueUnits, units: ir.Table) -> ir.Table:
    """The rows of an input that belong to units that are due.

    Ids lie all over a table, so reading their rows reads all of it. Rows that changed since are
    found by their version; which ids older rows have is looked up in the column of ids alone, and
    the others are read for those few.
    """
    by, since = list(due.step.unit), due.since
    if since is None or "date" in by or table.kept.units_a_slice:
        return read.load().semi_join(units, by)
    older_due = f"{due.relation}_in_{read.table_name}"
    listed = columns_of(by)
    table.warehouse.writer.con.execute(
        f'CREATE OR REPLACE TEMP TABLE "{older_due}" AS '
        f'SELECT DISTINCT {listed} FROM main."{read.table_name}" '
        f'SEMI JOIN temp.main."{due.relation}" USING ({listed}) WHERE version <= {since}'
    )
    older = table.unit_table(older_due)
    stored = read.with_version
    newer_rows = stored.filter(stored.version > since)
    older_rows = stored.filter(stored.version <= since).semi_join(older, by)
    return ibis.union(*(rows.select(read.columns) for rows in (newer_rows, older_rows)))


def columns_of(names: Iterable[str], of: str = "") -> str:
    """Names of columns, as SQL."""
    return ", ".join(f'{of}"{name}"' for name in names)


def deletion(table: str, columns: Iterable[str], due: str) -> str:
    """The statement that deletes units from a table.

    It joins by column: the engine passes over what lies beyond the least and the greatest unit.

    Args:
        table: The table, as SQL.
        columns: The columns that name a unit; never NULL.
        due: Rows with these columns, as SQL; a unit may be in several.
    """
    names = [f'"{name}"' for name in columns]
    same_unit = " AND ".join(f"old.{name} = due.{name}" for name in names)
    units = f"SELECT DISTINCT {', '.join(names)} FROM {due}"
    return f"DELETE FROM {table} AS old USING ({units}) AS due WHERE {same_unit}"
