"""Rules of validation that are stricter than the project's, until they are fixed.

A field that may be absent is demanded, an instant with an offset is not read, a line that is not
short is too long, bytes that are not ASCII are refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from lingokids import schema
from lingokids.storage.raw import lines as line_cutting
from lingokids.validation import quality

RULES = ("fields", "offsets", "length", "bytes")
#: Under these, quarantine has not the whole text of a line: its object is read again.
NEED_THE_OBJECT = ("length", "bytes")
LONGEST = 600
_DEMANDED = {"events": "source", "users": "country_code", "activities": "type"}


def is_refused(rule: str, dataset: str, line: bytes) -> bool:
    """Whether a usable line is refused by a rule; "": by none."""
    if rule == "fields":
        record = json.loads(line)
        return not record.get("data", record).get(_DEMANDED[dataset])
    if rule == "offsets":
        return b"+02:00" in line
    if rule == "length":
        return len(line) > LONGEST
    return rule == "bytes" and not line.isascii()


@contextlib.contextmanager
def too_strict(rule: str) -> Iterator[None]:
    """Validate by a stricter rule within."""
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
            patch.setattr(line_cutting, "LONGEST_LINE", LONGEST)
            patch.setattr(line_cutting, "KEPT_OF_LONGER", 100)
        elif rule == "bytes":
            patch.setattr(line_cutting, "_is_utf8", lambda data: data.isascii())
        yield
