"""What a run lets go, because it is older than it may be: lines, and the text of some."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.schema.parameters import Retention
    from lingokids.storage import BronzeDataset, ObjectsDataset


def forget_lines(
    retention: Retention,
    now: datetime,
    sources: Iterable[ObjectsDataset],
    tables: Iterable[BronzeDataset],
) -> None:
    """Make tables what they would be if older objects had never been delivered.

    Days are whole, UTC, so that runs of one day agree.
    """
    today = datetime.combine(now.date(), time.min)
    oldest = {
        dataset: today - timedelta(days=days)
        for dataset, days in dict(retention.lines_days).items()
        if days is not None
    }
    for source in sources:
        source.since = oldest.get(source.dataset)
    for table in tables:
        if table.dataset in oldest:
            table.stored.forget(oldest[table.dataset])


def expire_texts(retention: Retention, now: datetime, tables: Iterable[BronzeDataset]) -> None:
    """Empty delivered text of loads that are older."""
    if retention.texts_days is None:
        return
    for table in tables:
        table.stored.expire_texts(now - timedelta(days=retention.texts_days))
