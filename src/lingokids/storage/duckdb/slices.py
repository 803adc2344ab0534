"""Splits due units into slices, so that sorting and grouping fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def slices_of(
    connection: duckdb.DuckDBPyConnection, units: str, column: str, units_a_slice: int
) -> list[str]:
    """Conditions on a column that split the units due: one holds for each unit.

    Args:
        connection: The run's.
        units: The table that names the units due.
        column: One of the columns that name a unit, by which the rows are split.
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
