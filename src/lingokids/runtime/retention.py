"""What a run lets go, because it is older than it may be: lines, the text of some, pages."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lingokids.schema.parameters import Retention
    from lingokids.storage import BronzeDataset, ObjectsDataset


def oldest_lines(retention: Retention, now: datetime) -> dict[str, datetime]:
    """By dataset whose lines are not kept for good, when the oldest that are kept landed."""
    today = datetime.combine(now.date(), time.min)
    return {
        dataset: today - timedelta(days=days)
        for dataset, days in dict(retention.lines_days).items()
        if days is not None
    }


def pass_over_older(retention: Retention, now: datetime, sources: Iterable[ObjectsDataset]) -> None:
    """Have sources list no object whose lines would not be kept."""
    oldest = oldest_lines(retention, now)
    for source in sources:
        source.since = oldest.get(source.dataset)


def forget_lines(
    retention: Retention,
    now: datetime,
    sources: Iterable[ObjectsDataset],
    tables: Iterable[BronzeDataset],
) -> None:
    """Make tables what they would be if older objects had never been delivered.

    Days are whole, UTC, so that runs of one day agree.
    """
    oldest = oldest_lines(retention, now)
    pass_over_older(retention, now, sources)
    for table in tables:
        if table.dataset in oldest:
            table.stored.forget(oldest[table.dataset])


def expire(
    retention: Retention, now: datetime, tables: Iterable[BronzeDataset], reports: Path | None
) -> None:
    """Empty delivered text of loads that are older, and remove older check reports."""
    days = retention.texts_days
    for table in tables:
        table.stored.expire_texts(now, None if days is None else timedelta(days=days))
    for page in old_pages(retention, now, reports):
        page.unlink(missing_ok=True)


def old_pages(retention: Retention, now: datetime, reports: Path | None) -> list[Path]:
    """The check reports that are older than they may be: they are named after their runs."""
    from lingokids.checks.evidence import page_of

    if retention.pages_days is None or reports is None:
        return []
    before = now - timedelta(days=retention.pages_days)
    oldest = page_of(reports, f"{before:%Y-%m-%dT%H.%M.%S}")
    return [page for page in oldest.parent.glob("*.html") if page.name < oldest.name]
