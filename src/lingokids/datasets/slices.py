"""A large change is worked out a slice at a time, so that sorting and grouping it fit into memory.

Here: which values of a column make a slice. Elsewhere: writing each (``tables``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

#: Units that are worked out together: days of users, with some million events.
_UNITS_A_SLICE = 300_000


def slices_of(connection: duckdb.DuckDBPyConnection, units: str, column: str) -> list[str]:
    """Conditions on a column, each true for some of the units due: for each unit, one is.

    Args:
        connection: The run's.
        units: The table that names the units due.
        column: One of the columns that name a unit, by which the rows are told apart.
    """
    counted = connection.execute(
        f'SELECT "{column}"::VARCHAR, count(*) FROM "{units}" GROUP BY ALL ORDER BY ALL'
    ).fetchall()
    spans: list[list[str]] = []
    held = _UNITS_A_SLICE
    for value, count in counted:
        if held >= _UNITS_A_SLICE:
            spans.append([])
            held = 0
        spans[-1].append(value)
        held += count
    return [f"\"{column}\" BETWEEN '{span[0]}' AND '{span[-1]}'" for span in spans]
