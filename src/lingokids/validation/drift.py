"""Schema drift: keys of delivered lines that no field reads, counted."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema


def usable_lines(bronze: Mapping[str, ir.Table]) -> ir.Table:
    """Count the usable lines of each load.

    Grain: one row per dataset and load.

    Args:
        bronze: The bronze tables, by dataset.
    """
    return ibis.union(
        *(
            lines.group_by("load_id")
            .aggregate(usable_lines=_.count())
            .mutate(dataset=ibis.literal(dataset))
            for dataset, lines in bronze.items()
        )
    )


def count_unknown_keys(rescued_values: ir.Table, usable: ir.Table) -> ir.Table:
    """Count the lines of each key that no field reads, and find the first of them.

    Grain: one row per dataset, key, JSON type and load.

    Args:
        rescued_values: Lines with such keys.
        usable: ``usable_lines``.

    Returns:
        ``UNKNOWN_KEYS``. The first line is the first in order of arrival.
    """
    keys = rescued_values.select(
        "dataset", *schema.DELIVERY, *schema.ARRIVAL, found=_.unknown_keys.unnest()
    )
    keys = keys.mutate(unknown_key=_.found["key"], json_type=_.found["json_type"])
    kind = ("dataset", "unknown_key", "json_type", "load_id")
    arrival = [ibis.asc(name) for name in ("landed_at", "object_key", "line_number")]
    placed = keys.mutate(
        lines_before=ibis.row_number().over(group_by=kind, order_by=arrival),
        lines_with_key=_.count().over(group_by=kind),
    )
    first = placed.filter(_.lines_before == 0)
    counted = first.inner_join(usable, ["dataset", "load_id"])
    share = counted.lines_with_key.cast("float64") / counted.usable_lines
    return counted.mutate(share_of_lines=share).select(schema.UNKNOWN_KEYS.columns)
