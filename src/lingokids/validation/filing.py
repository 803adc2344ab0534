"""Where each validated line goes: to bronze, to quarantine, or into a count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
from ibis import _

from lingokids import schema

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.schema import Contract, Delivery


def usable(lines: ir.Table, bronze: Contract) -> ir.Table:
    """The lines that enter bronze.

    Grain: one row per line.
    """
    found = lines.filter(_.reason.isnull() & ~_.is_blank)
    return found.mutate(past_reason=ibis.null("string"), is_current=True).select(bronze.columns)


def unusable(lines: ir.Table, dataset: str, earlier: ir.Table) -> ir.Table:
    """The lines that go into quarantine, with text and reason.

    Of lines alike in one object ``MOST_ALIKE`` are kept; the others of a batch become one row,
    which counts them.

    Grain: one row per line that is kept.

    Args:
        lines: The validated lines of a batch.
        dataset: The raw dataset they are of.
        earlier: Quarantined lines of the same objects in earlier batches of the load.
    """
    alike = ["object_key", "reason", "line_text"]
    before = earlier.group_by(alike).aggregate(alike_before=_.lines_alike.sum())
    found = lines.filter(_.reason.notnull()).left_join(before, alike)
    place = ibis.row_number().over(group_by=alike, order_by="line_number")
    placed = found.mutate(is_kept=place + _.alike_before.fill_null(0) < schema.MOST_ALIKE)
    group = [*alike, "is_kept"]
    counted = placed.mutate(
        place=ibis.row_number().over(group_by=group, order_by="line_number"),
        lines_alike=ibis.cases((_.is_kept, 1), else_=_.count().over(group_by=group)).cast("int64"),
        dataset=ibis.literal(dataset),
    )
    kept = counted.filter(_.is_kept | (_.place == 0))
    return kept.select(schema.QUARANTINED_LINES.columns)


def rescued(lines: ir.Table, dataset: str) -> ir.Table:
    """What usable lines hold under keys that no field reads.

    Grain: one row per line that has any. An unusable line is kept whole, in quarantine.
    """
    found = lines.filter(_.reason.isnull() & _.rescued.notnull())
    return found.mutate(dataset=ibis.literal(dataset)).select(schema.RESCUED_VALUES.columns)


def counts(delivery: Delivery, dataset: str) -> ir.Table:
    """Count the lines of each object of a batch.

    Grain: one row per object; one without lines counts 0.
    """
    objects = delivery.objects
    counted = delivery.lines.group_by("object_key").aggregate(
        lines=_.count(), blank=_.is_blank.sum().cast("int64"), quarantined=_.reason.count()
    )
    both = objects.left_join(counted, "object_key")
    return both.select(
        *("object_key", "etag", "size_bytes", "landed_at", "load_id"),
        dataset=ibis.literal(dataset),
        is_current=ibis.literal(True),
        lines=both.lines.fill_null(0),
        blank=both.blank.fill_null(0),
        kept=(both.lines - both.blank - both.quarantined).fill_null(0),
        quarantined=both.quarantined.fill_null(0),
    ).select(schema.INGESTED_OBJECTS.columns)
