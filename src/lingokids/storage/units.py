"""Units of a table: the statement that deletes those that are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


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
