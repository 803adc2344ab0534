"""Restore: bronze from its published tables, when warehouse and raw are lost."""

from __future__ import annotations

import ibis.expr.types as ir


def restore_bronze(
    published_bronze_events: ir.Table,
    published_bronze_users: ir.Table,
    published_bronze_activities: ir.Table,
    published_quarantined_lines: ir.Table,
    published_ingested_objects: ir.Table,
    published_rescued_values: ir.Table,
) -> tuple[ir.Table, ...]:
    """Put every published line back, with its load and arrival.

    Returns:
        The bronze tables, the quarantine, the ledger and what no field reads, row for row as they
        were published. A run then makes silver and gold of them, and takes in only what the
        ledger has not got.
    """
    return (
        published_bronze_events,
        published_bronze_users,
        published_bronze_activities,
        published_quarantined_lines,
        published_ingested_objects,
        published_rescued_values,
    )
