"""Replay: quarantined lines are validated again, and usable ones enter bronze."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lingokids.schema import Delivery, RawSource
from lingokids.schema.parameters import Instants
from lingokids.validation import quality


def replay_events(raw_events: RawSource, instants: Instants) -> Iterator[Delivery]:
    """Validate the quarantined lines of the events again.

    Yields:
        Batches of lines with past_reason: see ``schema.Delivery``.
    """
    yield from raw_events.quarantined(partial(quality.validate_events, instants=instants))


def replay_users(raw_users: RawSource, instants: Instants) -> Iterator[Delivery]:
    """Validate the quarantined lines of the users again; see ``replay_events``."""
    yield from raw_users.quarantined(partial(quality.validate_users, instants=instants))


def replay_activities(raw_activities: RawSource, instants: Instants) -> Iterator[Delivery]:
    """Validate the quarantined lines of the activities again; see ``replay_events``."""
    yield from raw_activities.quarantined(partial(quality.validate_activities, instants=instants))
