"""Ingestion: new raw objects become bronze rows, quarantined lines and ledger entries.

Here: which objects are new, and where each line goes. Elsewhere: what makes a line unusable
(``quality``), how objects are listed and read (``storage.raw``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema
from lingokids.incremental import windows
from lingokids.schema import Contract, RawSource, parameters
from lingokids.validation import drift, quality


def find_new_objects(
    raw_events: RawSource,
    raw_users: RawSource,
    raw_activities: RawSource,
    known_objects: ir.Table,
    known_replayed_lines: ir.Table,
    listing: dict[str, Any],
) -> ir.Table:
    """List the raw objects and keep those that the ledger has not got.

    Grain: one row per new object version, (dataset, object_key, etag).

    Args:
        raw_events: Source of the events.
        raw_users: Source of the users.
        raw_activities: Source of the activities.
        known_objects: ``INGESTED_OBJECTS``, the ledger before this run. A re-sent object has
            the same key and a new etag, and is new.
        known_replayed_lines: ``REPLAYED_LINES``: replays are loads too.
        listing: ``since``, the first arrival day whose folders are listed, if not all are.

    Returns:
        ``NEW_OBJECTS``; all of them carry the number of this load, one more than the last.
    """
    since = parameters.parse_since(listing)
    listed = ibis.union(
        raw_events.listing(since).mutate(dataset=ibis.literal("events")),
        raw_users.listing(since).mutate(dataset=ibis.literal("users")),
        raw_activities.listing(since).mutate(dataset=ibis.literal("activities")),
    )
    new = listed.anti_join(known_objects, ["dataset", "object_key", "etag"])
    next_load = windows.find_next_load(known_objects, known_replayed_lines)
    return new.cross_join(next_load).select(schema.NEW_OBJECTS.columns)


def ingest_events(
    raw_events: RawSource, new_objects: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table, ir.Table, ir.Table]]:
    """Read the new event objects into bronze rows, unusable and unread lines, and counts."""
    for lines, objects in raw_events.read(new_objects, quality.judge_events):
        yield (
            _usable(lines, schema.BRONZE_EVENTS),
            _unusable(lines, "events"),
            drift.unread_lines(lines, "events"),
            _counts(lines, objects),
        )


def ingest_users(
    raw_users: RawSource, new_objects: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table, ir.Table, ir.Table]]:
    """Read the new user objects into bronze rows, unusable and unread lines, and counts."""
    for lines, objects in raw_users.read(new_objects, quality.judge_users):
        yield (
            _usable(lines, schema.BRONZE_USERS),
            _unusable(lines, "users"),
            drift.unread_lines(lines, "users"),
            _counts(lines, objects),
        )


def ingest_activities(
    raw_activities: RawSource, new_objects: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table, ir.Table, ir.Table]]:
    """Read the new activity objects into bronze rows, unusable and unread lines, and counts."""
    for lines, objects in raw_activities.read(new_objects, quality.judge_activities):
        yield (
            _usable(lines, schema.BRONZE_ACTIVITIES),
            _unusable(lines, "activities"),
            drift.unread_lines(lines, "activities"),
            _counts(lines, objects),
        )


def quarantine_lines(
    unusable_events: ir.Table, unusable_users: ir.Table, unusable_activities: ir.Table
) -> ir.Table:
    """Keep every unusable line of the load in one place, with its text and reason.

    Grain: one row per unusable line.
    """
    return ibis.union(unusable_events, unusable_users, unusable_activities)


def rescue_values(
    unread_events: ir.Table, unread_users: ir.Table, unread_activities: ir.Table
) -> ir.Table:
    """Keep what the usable lines of the load hold under keys that no field reads.

    Grain: one row per line that has any.
    """
    unread = ibis.union(unread_events, unread_users, unread_activities)
    return unread.select(schema.RESCUED_VALUES.columns)


def find_unknown_keys(
    unread_events: ir.Table,
    unread_users: ir.Table,
    unread_activities: ir.Table,
    ingested_objects: ir.Table,
) -> ir.Table:
    """Count the keys of the load that no field reads.

    Grain: one row per dataset, key and JSON type.

    Args:
        unread_events: Lines of the events with such keys.
        unread_users: Lines of the users with such keys.
        unread_activities: Lines of the activities with such keys.
        ingested_objects: The ledger with this load: a share is of its usable lines.
    """
    unread = ibis.union(unread_events, unread_users, unread_activities)
    usable = (
        ingested_objects.semi_join(unread, "load_id")
        .group_by("dataset", "load_id")
        .aggregate(usable_lines=_.kept.sum().cast("int64"))
    )
    return drift.count_unknown_keys(unread, usable)


def record_objects(
    new_objects: ir.Table,
    event_line_counts: ir.Table,
    user_line_counts: ir.Table,
    activity_line_counts: ir.Table,
) -> ir.Table:
    """Enter the objects that were read into the ledger.

    Grain: one row per object version. An object that vanished or changed before it was read has
    no counts and is not entered: the next run lists it anew.
    """
    counts = ibis.union(
        event_line_counts.mutate(dataset=ibis.literal("events")),
        user_line_counts.mutate(dataset=ibis.literal("users")),
        activity_line_counts.mutate(dataset=ibis.literal("activities")),
    )
    by_object = counts.group_by("dataset", "object_key", "etag").aggregate(
        lines=_.lines.sum().cast("int64"),
        blank=_.blank.sum().cast("int64"),
        kept=_.kept.sum().cast("int64"),
        quarantined=_.quarantined.sum().cast("int64"),
    )
    return new_objects.inner_join(by_object, ["dataset", "object_key", "etag"]).select(
        schema.INGESTED_OBJECTS.columns
    )


def _usable(lines: ir.Table, bronze: Contract) -> ir.Table:
    return lines.filter(_.reason.isnull() & ~_.is_blank).select(bronze.columns)


def _unusable(lines: ir.Table, dataset: str) -> ir.Table:
    return (
        lines.filter(_.reason.notnull())
        .mutate(dataset=ibis.literal(dataset))
        .select(schema.QUARANTINED_LINES.columns)
    )


def _counts(lines: ir.Table, objects: ir.Table) -> ir.Table:
    """Count the lines of each object of the batch; an object without lines counts 0."""
    counted = lines.group_by("object_key", "etag").aggregate(
        lines=_.count(),
        blank=_.is_blank.sum().cast("int64"),
        quarantined=_.reason.count(),
    )
    counts = objects.select("object_key", "etag").left_join(counted, ["object_key", "etag"])
    return counts.select(
        object_key=objects.object_key,
        etag=objects.etag,
        lines=counts.lines.fill_null(0),
        blank=counts.blank.fill_null(0),
        kept=(counts.lines - counts.blank - counts.quarantined).fill_null(0),
        quarantined=counts.quarantined.fill_null(0),
    )
