"""Deliveries of the sample, read: what the tests of its rooms share."""

import gzip
import json
from collections import Counter
from datetime import date, datetime, timedelta

import pytest

from lingokids.sample import SAMPLE, arrival_day, deliveries


@pytest.fixture(scope="session")
def delivered():
    """Every event line of the sample: day, object, kind, line."""
    return [
        (n, j, kind, line)
        for n in range(SAMPLE.days)
        for j in range(SAMPLE.objects_on(n))
        for kind, line in deliveries(SAMPLE, n, j)
    ]


@pytest.fixture(scope="session")
def kinds(delivered):
    return Counter(kind for *_, kind, _ in delivered)


@pytest.fixture(scope="session")
def good(delivered):
    """The usable event lines, parsed: day, kind, event."""
    return [
        (n, kind, json.loads(line))
        for n, _, kind, line in delivered
        if kind != "blank" and not kind.startswith("broken")
    ]


@pytest.fixture(scope="session")
def objects():
    return [found for n in range(SAMPLE.days) for found in arrival_day(SAMPLE, n)]


def unzipped(name, content):
    """Other Pythons' zlib may pack the same bytes otherwise."""
    return gzip.decompress(content) if name.endswith(".gz") else content


def utc(occurred_at):
    at = datetime.fromisoformat(occurred_at)
    return at.replace(tzinfo=None) - (at.utcoffset() or timedelta())


def day_of(event):
    return (utc(event["occurred_at"]).date() - SAMPLE.first_day).days


def parsed(objects, dataset):
    """Day and record of each usable line of users or activities."""
    for found, key, content in objects:
        for line in content.splitlines() if found == dataset else ():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield date.fromisoformat(key[:10]), record
