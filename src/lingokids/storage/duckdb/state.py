"""The state of tables: which runs they reflect, and what left them.

``table_state`` has a row per table: the last run whose writes to its inputs it reflects, and the
rules it is made by. ``gone`` has the units that rows left, which no row can tell. Rows themselves
have a ``version``: the run that last changed what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lingokids.incremental.links import readers_of
from lingokids.schema import GONE, TABLE_STATE
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.incremental.links import Step
    from lingokids.storage.duckdb.warehouse import Warehouse

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
    """Make the tables of state, if they are not there."""
    for contract in TABLE_STATE, GONE:
        kept_table(warehouse, contract).ensure()


def state_of(warehouse: Warehouse, table_name: str) -> State | None:
    """What a table reflects; None if that is not known."""
    row = warehouse.writer.con.execute(
        f"SELECT version, rules FROM {_STATE} WHERE table_name = ?", [table_name]
    ).fetchone()
    return State(*row) if row else None


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
    for step in steps:
        readers = readers_of(step.table_name, steps)
        states = [state for name in readers if (state := state_of(warehouse, name))]
        least = min((state.version for state in states), default=None)
        bound = "" if least is None else f"AND version <= {least}"
        con.execute(f"DELETE FROM {_GONE} WHERE table_name = ? {bound}", [step.table_name])
