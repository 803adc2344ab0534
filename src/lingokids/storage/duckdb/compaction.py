"""The warehouse file written again, so that no block of it holds what was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lingokids.errors import LingokidsError
from lingokids.schema import GONE
from lingokids.storage.duckdb.erased import NOTED_ERASURES
from lingokids.storage.duckdb.expressions import text
from lingokids.storage.duckdb.state import note, noted

if TYPE_CHECKING:
    from lingokids.storage.duckdb.warehouse import Warehouse


#: Noted among the erasures until no file holds what was deleted: the run that was to see to it
#: may be killed before.
_TRACES = "traces-left"
_GONE = GONE.table_name


def has_traces(warehouse: Warehouse) -> bool:
    """Whether files still hold what runs before deleted for good."""
    return _TRACES in _noted(warehouse)


def note_traces(warehouse: Warehouse, *, are_left: bool, place: str = "main") -> None:
    """Note whether they do."""
    others = {*_noted(warehouse)} - {_TRACES}
    value = " ".join(sorted(others | ({_TRACES} if are_left else set())))
    note(warehouse, _GONE, NOTED_ERASURES, value, place)


def _noted(warehouse: Warehouse) -> list[str]:
    return noted(warehouse, _GONE, NOTED_ERASURES).split()


def compact(warehouse: Warehouse) -> None:
    """Copy the tables into a new file, after a commit, and put it in the old one's place.

    The old file is open, and locked, until it is replaced: no other process writes it meanwhile.

    Raises:
        LingokidsError: The new file cannot be written; the old one is as it was.
    """
    con, file = warehouse.writer.con, warehouse.database
    aside = file.with_name(f".{file.name}.part")
    aside.unlink(missing_ok=True)  # of a run that was killed here
    try:
        con.execute("CHECKPOINT; SET preserve_insertion_order = true")
        con.execute(f"ATTACH {text(str(aside))} AS compacted (STORAGE_VERSION 'latest')")
        row = con.execute("SELECT current_database()").fetchone()
        con.execute(f'COPY FROM DATABASE "{row[0] if row else file.stem}" TO compacted')
        note_traces(warehouse, are_left=False, place="compacted.main")
        con.execute("CHECKPOINT compacted; DETACH compacted")
        aside.chmod(file.stat().st_mode)
        aside.replace(file)
    except (OSError, duckdb.Error) as error:
        aside.unlink(missing_ok=True)
        raise LingokidsError(
            f"Nothing of the erased is in a table any more, but {file.name} could not be written "
            f"again, and its free blocks hold it ({str(error).splitlines()[0]}): make room for a "
            "second file of its size and run again."
        ) from error
