"""A large change is worked out a slice at a time, so that sorting and grouping it fit into memory.

Here: which values of a column make a slice. Elsewhere: writing each (``tables``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def slices_of(
    connection: duckdb.DuckDBPyConnection, units: str, column: str, units_a_slice: int
) -> list[str]:
    """Conditions on a column, each true for some of the units due: for each unit, one is.

    Args:
        connection: The run's.
        units: The table that names the units due.
        column: One of the columns that name a unit, by which the rows are told apart.
        units_a_slice: About how many units a slice has; those of one value stay together.
    """
    spans = connection.execute(
        f"""
        SELECT min(value)::VARCHAR, max(value)::VARCHAR
        FROM (
            SELECT value, (sum(held) OVER (ORDER BY value) - held) // {units_a_slice} AS slice
            FROM (SELECT "{column}" AS value, count(*) AS held FROM "{units}" GROUP BY ALL)
        )
        GROUP BY slice ORDER BY slice
        """
    ).fetchall()
    return [f"\"{column}\" BETWEEN '{first}' AND '{last}'" for first, last in spans]
