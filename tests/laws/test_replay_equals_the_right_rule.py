"""The replay's law: a rule mended late gives the tables that it would have given from the start.

A rule that was too strict is that of the project, made stricter while a part of the history is
taken in: a field that may be absent is demanded, an instant with an offset is not read, a line
that is not short is too long, bytes that are not ASCII are refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_user_record, an_activity_record, an_event_record, an_id
from conftest import A_LAW
from lingokids import schema
from lingokids.storage.raw import lines as line_cutting
from lingokids.validation import quality

hours = st.integers(0, 96)


def _instant(hour: int, offset: str = "") -> str:
    return f"2021-01-{4 + hour // 24:02} {hour % 24:02}:00:00.000{offset}"


events = st.builds(
    lambda number, name, hour, offset, user, source, title: an_event_record(
        number,
        name=name,
        occurred_at=_instant(hour, offset),
        user_id=an_id(900 + user),
        data={"activity_id": "fish", "duration": 1.5, "completed": True, "source": source},
        title=title,
    ),
    st.integers(1, 9),
    st.sampled_from(["activity_exit", "activity_exit", "activity_enter"]),
    hours,
    st.sampled_from(["", "+02:00"]),
    st.integers(0, 1),
    st.sampled_from([None, "home"]),
    st.sampled_from(["", "canción", "long" * 200]),
)
users = st.builds(
    lambda number, country, hour, offset: a_user_record(
        900 + number, country_code=country, trial_start_at=_instant(hour, offset)
    ),
    st.integers(0, 1),
    st.sampled_from([None, "es", "fr"]),
    hours,
    st.sampled_from(["", "+02:00"]),
)
activities = st.builds(
    lambda type_, title: an_activity_record(type=type_, name=title),
    st.sampled_from([None, "game"]),
    st.sampled_from(["Fish", "Canción"]),
)
broken = st.sampled_from([b"{", b"[1]", b"\xff\xfe", b"", b"  ", b'{"event_id": "x"}'])
deliveries = st.one_of(
    st.tuples(st.just("events"), st.lists(events | broken, min_size=1, max_size=6), hours),
    st.tuples(st.just("users"), st.lists(users | broken, min_size=1, max_size=3), hours),
    st.tuples(st.just("activities"), st.lists(activities, min_size=1, max_size=2), hours),
)

# what is done after each batch; under which rule, and whether it is replayed first
steps = st.tuples(
    st.lists(deliveries, min_size=1, max_size=3),
    st.sampled_from([(None,), (None,), ("ingestion",), ("ingestion", "staging"), ("replay",), ()]),
)
histories = st.lists(steps, min_size=1, max_size=3)

RULES = ("fields", "offsets", "length", "bytes")


@contextlib.contextmanager
def too_strict(rule: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if rule == "fields":
            for name, fields, demanded in (
                ("validate_events", schema.EVENT_FIELDS, "source"),
                ("validate_users", schema.USER_FIELDS, "country_code"),
                ("validate_activities", schema.ACTIVITY_FIELDS, "activity_type"),
            ):
                strict = tuple(
                    replace(field, required=field.required or field.column == demanded)
                    for field in fields
                )
                patch.setattr(quality, name, partial(quality.validate, fields=strict))
        elif rule == "offsets":
            plain = quality._PLAIN_INSTANT
            patch.setattr(
                quality,
                "_instant",
                lambda text: (text.length() <= plain).ifelse(text, None).try_cast(schema.INSTANT),
            )
        elif rule == "length":
            patch.setattr(line_cutting, "LONGEST_LINE", 500)
            patch.setattr(line_cutting, "KEPT_OF_LONGER", 100)
        elif rule == "bytes":
            patch.setattr(line_cutting, "_is_utf8", lambda data: data.isascii())
        yield


def _bytes(records) -> bytes:
    lines = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in records
    ]
    return b"".join(line + b"\n" for line in lines)


def _follow(project, history, first: int) -> None:
    for number, (batch, pipelines) in enumerate(history, start=first):
        for place, (dataset, records, hour) in enumerate(batch):
            key = f"{9 - number}-{place}.jsonl"  # later objects sort first where times tie
            project.deliver(dataset, key, _bytes(records), _instant(hour)[:-4])
        for pipeline in pipelines:
            project.run(pipeline)


def _check(before, after, rule, new_project):
    """A history begun under a wrong rule, and one that was never under it."""
    right = new_project()
    _follow(right, before, 0)
    right.run()
    _follow(right, after, len(before))
    right.run()
    expected = right.snapshot(without_loads=True)

    mended = new_project()
    with too_strict(rule):
        _follow(mended, before, 0)
        mended.run()
    mended.run("replay")
    _follow(mended, after, len(before))
    mended.run()
    assert mended.snapshot(without_loads=True) == expected
    return mended


def _check_that_it_stays(mended) -> None:
    expected, grown = mended.snapshot(without_loads=True), mended.snapshot()
    mended.run("replay")
    assert mended.snapshot() == grown
    mended.run(rebuild="bronze")
    assert mended.snapshot() == grown
    mended.run(rebuild="raw")
    assert mended.snapshot(without_loads=True) == expected


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=4, **A_LAW)
@given(before=histories, after=histories)
def test_each_rule_mended_late_gives_what_it_would_have_given(before, after, rule, new_project):
    _check_that_it_stays(_check(before, after, rule, new_project))
