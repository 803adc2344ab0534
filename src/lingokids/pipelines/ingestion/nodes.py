"""Ingestion: lines of new raw objects, validated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lingokids.schema import Delivery, RawSource
from lingokids.schema.parameters import Instants, to_day
from lingokids.validation import quality


def ingest_events(
    raw_events: RawSource, listing_since: str | None, instants: Instants
) -> Iterator[Delivery]:
    """Validate the lines of new event objects.

    Yields:
        Batches of lines: see ``schema.Delivery``.
    """
    validate = partial(quality.validate_events, instants=instants)
    yield from raw_events.new(validate, to_day(listing_since))


def ingest_users(
    raw_users: RawSource, listing_since: str | None, instants: Instants
) -> Iterator[Delivery]:
    """Validate the lines of new user objects; see ``ingest_events``."""
    validate = partial(quality.validate_users, instants=instants)
    yield from raw_users.new(validate, to_day(listing_since))


def ingest_activities(
    raw_activities: RawSource, listing_since: str | None, instants: Instants
) -> Iterator[Delivery]:
    """Validate the lines of new activity objects; see ``ingest_events``."""
    validate = partial(quality.validate_activities, instants=instants)
    yield from raw_activities.new(validate, to_day(listing_since))
