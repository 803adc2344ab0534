"""Replay: quarantined lines are validated again, and usable ones enter bronze."""

from __future__ import annotations

from collections.abc import Iterator

from lingokids.schema import Delivery, RawSource
from lingokids.validation import quality


def replay_events(raw_events: RawSource) -> Iterator[Delivery]:
    """Validate the quarantined lines of the events again.

    Yields:
        Batches of lines with past_reason: see ``schema.Delivery``.
    """
    yield from raw_events.quarantined(quality.validate_events)


def replay_users(raw_users: RawSource) -> Iterator[Delivery]:
    """Validate the quarantined lines of the users again; see ``replay_events``."""
    yield from raw_users.quarantined(quality.validate_users)


def replay_activities(raw_activities: RawSource) -> Iterator[Delivery]:
    """Validate the quarantined lines of the activities again; see ``replay_events``."""
    yield from raw_activities.quarantined(quality.validate_activities)
