"""Replay: quarantined lines are judged again, and those that are usable now enter bronze.

Here: which lines are judged again, and what changes with a verdict. Elsewhere: the verdict itself
(``quality``), parsing a line and reading an object again (``storage.raw``), what bronze's new
lines change in silver (the staging pipeline).

A line is judged by its text, which is kept whole; where it is not (``TEXT_IS_NOT_WHOLE``), by the
object it came in, if that is still there in that version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
from ibis import _

from lingokids import schema
from lingokids.incremental import windows
from lingokids.schema import Contract, RawSource
from lingokids.validation import drift, quality

OBJECT = ("dataset", "object_key", "etag")
LINE = ("dataset", *schema.DELIVERY)
_IF_GONE = "its lines of which quarantine has not the whole text stay there"


def find_objects_to_reread(known_quarantined_lines: ir.Table, known_objects: ir.Table) -> ir.Table:
    """Find the objects with quarantined lines that cannot be judged by their text.

    Grain: one row per object version.

    Args:
        known_quarantined_lines: ``QUARANTINED_LINES`` before this run.
        known_objects: ``INGESTED_OBJECTS`` before this run.

    Returns:
        Their rows of the ledger.
    """
    return known_objects.semi_join(_not_whole(known_quarantined_lines), OBJECT)


def rejudge_events(
    raw_events: RawSource, known_quarantined_lines: ir.Table, objects_to_reread: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Judge the quarantined lines of the events again; and name the objects read for it."""
    dataset = _Dataset("events", raw_events, quality.judge_events, schema.REJUDGED_EVENTS)
    yield from _rejudge(dataset, known_quarantined_lines, objects_to_reread)


def rejudge_users(
    raw_users: RawSource, known_quarantined_lines: ir.Table, objects_to_reread: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Judge the quarantined lines of the users again; and name the objects read for it."""
    dataset = _Dataset("users", raw_users, quality.judge_users, schema.REJUDGED_USERS)
    yield from _rejudge(dataset, known_quarantined_lines, objects_to_reread)


def rejudge_activities(
    raw_activities: RawSource, known_quarantined_lines: ir.Table, objects_to_reread: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Judge the quarantined lines of the activities again; and name the objects read for it."""
    yield from _rejudge(
        _Dataset(
            "activities", raw_activities, quality.judge_activities, schema.REJUDGED_ACTIVITIES
        ),
        known_quarantined_lines,
        objects_to_reread,
    )


def find_changed_lines(
    rejudged_events: ir.Table,
    rejudged_users: ir.Table,
    rejudged_activities: ir.Table,
    reread_events: ir.Table,
    reread_users: ir.Table,
    reread_activities: ir.Table,
    known_quarantined_lines: ir.Table,
) -> ir.Table:
    """Find the lines of which the verdict is another one now, and say what became of them.

    Grain: one row per line. A line is ``gone`` if its object, read again, has not got it: the
    rest of a damaged gzip, say, that can be decompressed now.
    """
    columns = (*schema.DELIVERY, "is_blank", "line_text", "reason", "past_reason")
    judged = ibis.union(
        *(
            lines.select(*columns, *schema.ARRIVAL).mutate(dataset=ibis.literal(dataset))
            for dataset, lines in (
                ("events", rejudged_events),
                ("users", rejudged_users),
                ("activities", rejudged_activities),
            )
        )
    )
    reread = ibis.union(
        reread_events.mutate(dataset=ibis.literal("events")),
        reread_users.mutate(dataset=ibis.literal("users")),
        reread_activities.mutate(dataset=ibis.literal("activities")),
    )
    changed = judged.filter(_.past_reason.isnull() | ~_.past_reason.identical_to(_.reason)).mutate(
        outcome=ibis.cases((_.is_blank, "blank"), (_.reason.isnull(), "usable"), else_="unusable")
    )
    gone = (
        _not_whole(known_quarantined_lines)
        .semi_join(reread, OBJECT)
        .anti_join(judged, LINE)
        .mutate(outcome=ibis.literal("gone"), past_reason=_.reason)
    )
    return ibis.union(
        changed.select(schema.CHANGED_LINES.columns),
        gone.select(schema.CHANGED_LINES.columns),
    )


def number_replay(
    changed_lines: ir.Table, known_objects: ir.Table, known_replayed_lines: ir.Table
) -> ir.Table:
    """Number the load that the replay makes: one more than the last.

    Grain: one row, or none if no line is usable now.
    """
    next_load = windows.find_next_load(known_objects, known_replayed_lines)
    usable = changed_lines.filter(_.outcome == "usable").aggregate(lines=_.count())
    return usable.filter(_.lines > 0).cross_join(next_load).select("load_id")


def replay_bronze(
    rejudged_events: ir.Table,
    rejudged_users: ir.Table,
    rejudged_activities: ir.Table,
    replay_load: ir.Table,
) -> tuple[ir.Table, ir.Table, ir.Table]:
    """Take the lines that are usable now into bronze, each with its arrival, as a new load.

    Returns:
        Rows of the bronze tables: object, line and time of landing are those of the delivery, so
        that arrival order is as if the line had been usable from the start.
    """
    return (
        _usable(rejudged_events, replay_load, schema.BRONZE_EVENTS),
        _usable(rejudged_users, replay_load, schema.BRONZE_USERS),
        _usable(rejudged_activities, replay_load, schema.BRONZE_ACTIVITIES),
    )


def rescue_replayed_values(
    rejudged_events: ir.Table,
    rejudged_users: ir.Table,
    rejudged_activities: ir.Table,
    replay_load: ir.Table,
) -> tuple[ir.Table, ir.Table]:
    """Keep what the lines that are usable now hold under keys that no field reads.

    Returns:
        ``RESCUED_VALUES``, one row per line that has any, and ``UNKNOWN_KEYS``, one row per
        dataset, key and JSON type, both of the load that the replay makes.
    """
    judged = [
        (dataset, _in_load(lines, replay_load))
        for dataset, lines in (
            ("events", rejudged_events),
            ("users", rejudged_users),
            ("activities", rejudged_activities),
        )
    ]
    unread = ibis.union(*(drift.unread_lines(lines, dataset) for dataset, lines in judged))
    usable = ibis.union(
        *(
            lines.group_by("load_id")
            .aggregate(usable_lines=_.count())
            .mutate(dataset=ibis.literal(dataset))
            for dataset, lines in judged
        )
    )
    return (
        unread.select(schema.RESCUED_VALUES.columns),
        drift.count_unknown_keys(unread, usable),
    )


def record_replayed_lines(changed_lines: ir.Table, replay_load: ir.Table) -> ir.Table:
    """Note which lines the replay took into bronze, why they were not there, and since when.

    Grain: one row per line.
    """
    usable = changed_lines.filter(_.outcome == "usable").rename(quarantined_by_load="load_id")
    return usable.cross_join(replay_load).select(schema.REPLAYED_LINES.columns)


def requarantine_lines(changed_lines: ir.Table) -> ir.Table:
    """Keep the lines that are unusable for another reason than before, under that reason.

    Grain: one row per line. They replace the quarantined lines of all that changed, so a line
    that is usable now, blank or gone is in quarantine no more.
    """
    unusable = changed_lines.filter(_.outcome == "unusable")
    return unusable.select(schema.QUARANTINED_LINES.columns)


def recount_objects(changed_lines: ir.Table, known_objects: ir.Table) -> ir.Table:
    """Count the lines of the objects anew in the ledger, each line where it is now.

    Grain: one row per object version whose counts change.
    """
    changes = changed_lines.group_by(OBJECT).aggregate(
        newly_blank=(_.outcome == "blank").sum(),
        newly_kept=(_.outcome == "usable").sum(),
        newly_quarantined=(_.outcome == "unusable").sum() - _.past_reason.count(),
    )
    recounted = known_objects.inner_join(changes, OBJECT).mutate(
        blank=(_.blank + _.newly_blank).cast("int64"),
        kept=(_.kept + _.newly_kept).cast("int64"),
        quarantined=(_.quarantined + _.newly_quarantined).cast("int64"),
    )
    is_other = (_.newly_blank != 0) | (_.newly_kept != 0) | (_.newly_quarantined != 0)
    return (
        recounted.filter(is_other)
        .mutate(lines=_.blank + _.kept + _.quarantined)
        .select(schema.INGESTED_OBJECTS.columns)
    )


def _not_whole(quarantined: ir.Table) -> ir.Table:
    return quarantined.filter(_.reason.isin(schema.TEXT_IS_NOT_WHOLE))


class _Dataset(NamedTuple):
    """A raw dataset, how its lines are judged, and what they then are."""

    name: str
    source: RawSource
    judge: Callable[[ir.Table], ir.Table]
    rejudged: Contract


def _rejudge(
    dataset: _Dataset, known_quarantined_lines: ir.Table, objects_to_reread: ir.Table
) -> Iterator[tuple[ir.Table, ir.Table]]:
    """Judge the lines by their texts, then those without whole texts by reading their objects.

    Of an object that is read again only the lines count that quarantine has without their whole
    text, and those it seemed to end before: the others were judged by their text, or are usable.
    """
    quarantined = known_quarantined_lines.filter(_.dataset == dataset.name)
    objects = objects_to_reread.filter(_.dataset == dataset.name)
    past = quarantined.select(*schema.DELIVERY, past_reason=_.reason)
    is_whole = quarantined.reason.notin(schema.TEXT_IS_NOT_WHOLE)
    by_text = dataset.source.judge_texts(quarantined.filter(is_whole), dataset.judge)
    yield (
        by_text.inner_join(past, schema.DELIVERY).select(dataset.rejudged.columns),
        objects.select("object_key", "etag").limit(0),
    )
    ends = objects.select("object_key", "etag", lines_before=_.lines)
    for lines, read in dataset.source.read(objects, dataset.judge, if_gone=_IF_GONE):
        known = (
            lines.left_join(past, schema.DELIVERY)
            .drop(*(f"{column}_right" for column in schema.DELIVERY))
            .inner_join(ends, ["object_key", "etag"])
        )
        is_open = known.past_reason.isin(schema.TEXT_IS_NOT_WHOLE)
        is_beyond = known.line_number > known.lines_before
        yield (
            known.filter(is_open | is_beyond).select(dataset.rejudged.columns),
            read.select("object_key", "etag"),
        )


def _usable(rejudged: ir.Table, replay_load: ir.Table, bronze: Contract) -> ir.Table:
    return _in_load(rejudged, replay_load).select(bronze.columns)


def _in_load(rejudged: ir.Table, replay_load: ir.Table) -> ir.Table:
    """The lines that are usable now, as those of the load that the replay makes."""
    usable = rejudged.filter(_.reason.isnull() & ~_.is_blank)
    return usable.drop("load_id").cross_join(replay_load)
