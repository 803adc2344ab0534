"""The state of tables: which runs they reflect, what left them, and what the run in hand wrote.

``table_state`` has a row per table: the last run whose writes to its inputs it reflects, so no
later one wrote to it, and the rules it is made by; its comment notes the warehouse's origin.
``gone`` has the units that rows left, which no row can tell. Rows themselves have a ``version``:
the run that last changed what they say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from lingokids.incremental.links import readers_of
from lingokids.schema import GONE, RUN_STEPS, RUN_UNITS, RUNS, TABLE_STATE
from lingokids.storage.duckdb.expressions import text
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from duckdb import DuckDBPyConnection

    from lingokids.incremental.links import Step
    from lingokids.storage.duckdb.units import DueUnits
    from lingokids.storage.duckdb.warehouse import Warehouse

ORIGIN = " Origin: "
_STATE, _GONE = TABLE_STATE.table_name, GONE.table_name


class State(NamedTuple):
    """What a table reflects.

    Attributes:
        version: The last run whose writes to its inputs it reflects.
        rules: What it was made by; None: not known, so all of it is due.
    """

    version: int
    rules: str | None


def ensure_state(warehouse: Warehouse) -> None:
    """Make the tables of state, if they are not there; records get the columns that they lack."""
    for contract in TABLE_STATE, GONE:
        kept_table(warehouse, contract).ensure()
    for contract in RUNS, RUN_STEPS:
        kept_table(warehouse, contract).widen()


def next_number(warehouse: Warehouse) -> int:
    """The number of the run in hand: greater than that of any run or load before."""
    if _STATE not in warehouse.tables:
        return 1
    row = warehouse.writer.con.execute(f"SELECT max(version) FROM {_STATE}").fetchone()
    return max(row[0] if row and row[0] else 0, warehouse.last_load() or 0) + 1


def origin_of(warehouse: Warehouse) -> dict[str, str]:
    """What ``note_origin`` noted; nothing in a warehouse of the version before."""
    return dict(json.loads(noted(warehouse, _STATE, ORIGIN) or "{}"))


def note_origin(warehouse: Warehouse, origin: dict[str, str]) -> None:
    """Note which environment and raw places the warehouse is of."""
    note(warehouse, _STATE, ORIGIN, json.dumps(origin))


def noted(warehouse: Warehouse, table_name: str, label: str) -> str:
    """What is noted beside a table; nothing if nothing is."""
    return warehouse.comments.get(table_name, "").partition(label)[2]


def note(
    warehouse: Warehouse, table_name: str, label: str, value: str, place: str = "main"
) -> None:
    """Note something beside a table, after its comment."""
    comment = warehouse.comments.get(table_name, "").partition(label)[0] + label + value
    warehouse.comments[table_name] = comment
    warehouse.writer.con.execute(f"COMMENT ON TABLE {place}.{table_name} IS {text(comment)}")


def state_of(warehouse: Warehouse, table_name: str) -> State | None:
    """What a table reflects; None if that is not known."""
    row = warehouse.writer.con.execute(
        f"SELECT version, rules FROM {_STATE} WHERE table_name = ?", [table_name]
    ).fetchone()
    return State(*row) if row else None


def are_as_of(warehouse: Warehouse, table_names: Iterable[str], version: int) -> bool:
    """Whether no later run wrote to tables: each notes its writes here, if any does."""
    query = f"SELECT table_name, version FROM {_STATE}"
    states = dict(warehouse.writer.con.execute(query).fetchall())
    return all(
        states[name] <= version if name in states else "version" in warehouse.columns.get(name, ())
        for name in table_names
    )


def changed_inputs(con: DuckDBPyConnection, step: Step) -> list[str] | None:
    """The inputs with rows that changed or left since a table was made; None: it never was."""
    state = con.execute(
        f"SELECT version FROM {_STATE} WHERE table_name = '{step.table_name}'"
    ).fetchone()
    if state is None:
        return None
    return [link.entry for link in step.links if has_changed(con, link.table_name, state[0])]


def has_changed(con: DuckDBPyConnection, table_name: str, since: int) -> bool:
    """Whether rows of a table changed or left it since a run."""
    query = (
        f'SELECT EXISTS (FROM main."{table_name}" WHERE version > {since}) OR EXISTS '
        f"(FROM {_GONE} WHERE table_name = '{table_name}' AND version > {since})"
    )
    return bool((con.execute(query).fetchone() or (False,))[0])


def set_state(
    warehouse: Warehouse, table_name: str, rules: str | None, version: int | None = None
) -> None:
    """Note that a table reflects what runs up to this one wrote to its inputs."""
    con = warehouse.writer.con
    con.execute(f"DELETE FROM {_STATE} WHERE table_name = ?", [table_name])
    con.execute(
        f"INSERT INTO {_STATE} (table_name, version, rules) VALUES (?, ?, ?)",
        [table_name, version or warehouse.number, rules],
    )


def forget_rules(warehouse: Warehouse, table_names: Iterable[str]) -> None:
    """Make tables due as a whole, because rows left their inputs without a mark.

    Their number stays: run numbers never go back.
    """
    for name in table_names:
        warehouse.writer.con.execute(
            f"UPDATE {_STATE} SET rules = NULL WHERE table_name = ?", [name]
        )


def prune_marks(warehouse: Warehouse, steps: Iterable[Step]) -> None:
    """Forget marks that every reader reflects; one without state reads all units."""
    con, steps = warehouse.writer.con, list(steps)
    read = {link.table_name for step in steps for link in step.links}
    for table_name in sorted({step.table_name for step in steps} | read):
        readers = readers_of(table_name, steps)
        states = [state for name in readers if (state := state_of(warehouse, name))]
        least = min((state.version for state in states), default=None)
        bound = "" if least is None else f"AND version <= {least}"
        con.execute(f"DELETE FROM {_GONE} WHERE table_name = ? {bound}", [table_name])


def last_load(warehouse: Warehouse) -> int | None:
    """The number of the last load in the ledger; None if there is none."""
    if "ingested_objects" not in warehouse.tables:
        return None
    row = warehouse.writer.con.execute("SELECT max(load_id) FROM ingested_objects").fetchone()
    return row[0] if row else None


def runs_since(warehouse: Warehouse, run_id: str | None) -> list[str] | None:
    """See ``engine.Engine``: in the order in which they were recorded."""
    runs: list[str] = []
    if RUNS.table_name in warehouse.tables:
        query = "SELECT run_id FROM main.runs WHERE status = 'succeeded' ORDER BY rowid"
        runs = [run for (run,) in warehouse.writer.con.execute(query).fetchall()]
    if run_id is None:
        return runs
    return runs[runs.index(run_id) + 1 :] if run_id in runs else None


def last_run(warehouse: Warehouse) -> str | None:
    """The greatest id of a recorded run; None if there is none."""
    if RUNS.table_name not in warehouse.tables:
        return None
    row = warehouse.writer.con.execute("SELECT max(run_id) FROM main.runs").fetchone()
    return row[0] if row else None


def failed_before(warehouse: Warehouse) -> str | None:
    """See ``engine.Engine``."""
    if RUNS.table_name not in warehouse.tables:
        return None
    row = warehouse.writer.con.execute(
        "SELECT CASE status WHEN 'failed' THEN pipelines END FROM main.runs ORDER BY run_id DESC"
    ).fetchone()
    return row[0] if row else None


def units_written(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The loads and days of tables that the run wrote: ``RUN_UNITS`` without its run."""
    loads = [
        {"table_name": name, "load_id": load_id}
        for name, written in warehouse.rewritten_loads.items()
        for load_id in sorted(written)
    ]
    days = [
        {"table_name": name, "date": day}
        for name, due in warehouse.due.items()
        if "date" in due.step.unit and name in warehouse.changed_tables
        for day in _days_of(warehouse, name, due)
    ]
    return loads + days


def _days_of(warehouse: Warehouse, table_name: str, due: DueUnits) -> list[date]:
    relation = f'temp.main."{due.relation}"' if due.relation else f'main."{table_name}"'
    days = {*warehouse.first_of(f"SELECT DISTINCT date FROM {relation}")}
    if not due.relation and RUN_UNITS.table_name in warehouse.tables:
        # all days were made: those of past runs too, which may have no row any more
        past = (
            f"SELECT date FROM {RUN_UNITS.table_name} "
            f"WHERE table_name = '{table_name}' AND date IS NOT NULL"
        )
        days |= {day for (day,) in warehouse.writer.con.execute(past).fetchall()}
    return sorted(days)
