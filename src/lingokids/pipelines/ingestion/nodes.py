"""Ingestion: lines of new raw objects, validated."""

from __future__ import annotations

from collections.abc import Iterator

from lingokids.schema import Delivery, RawSource
from lingokids.schema.parameters import to_day
from lingokids.validation import quality


def ingest_events(raw_events: RawSource, listing_since: str | None) -> Iterator[Delivery]:
    """Validate the lines of new event objects.

    Yields:
        Batches of lines: see ``schema.Delivery``.
    """
    yield from raw_events.new(quality.validate_events, to_day(listing_since))


def ingest_users(raw_users: RawSource, listing_since: str | None) -> Iterator[Delivery]:
    """Validate the lines of new user objects; see ``ingest_events``."""
    yield from raw_users.new(quality.validate_users, to_day(listing_since))


def ingest_activities(raw_activities: RawSource, listing_since: str | None) -> Iterator[Delivery]:
    """Validate the lines of new activity objects; see ``ingest_events``."""
    yield from raw_activities.new(quality.validate_activities, to_day(listing_since))
