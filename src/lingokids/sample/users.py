"""The users: their records as they grow, and who plays on which device."""

import json
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple

from lingokids.sample.breaks import BREAKS
from lingokids.sample.plan import (
    LATEST_AFTER_DAYS,
    Plan,
    instant,
    pick,
    portion,
    stream,
    uuid_text,
)

ACTIVE_DAYS = 30  # a user plays for this long, so a day's players do not grow with history
RECORD_DAYS = 14  # all deliveries of a user's record fall within this time

COUNTRIES = ("es", "mx", "br", "fr", "us", "it", "de", "jp", "pl", "gb", "in", "cl")
DEVICES = (  # brand, model, os name, os version; the first are the most frequent
    ("Pomelo", "P3 mini", "iOS", "14.6"),
    ("Kestrel", "K7", "Android", "11.0"),
    ("Pomelo", "P2", "iOS", "13.9"),
    ("Tamarin", "Tablet Größe 8", "Android", "8.0"),
    ("Tamarin", "T40 \\u00e9", "Android", "9.1"),
    ("Pomelo", "P1", "iPhone OS", "12.1"),
)


class User(NamedTuple):
    """One user: the record as it grows, its deliveries, and the players."""

    registered: str  # the record at registration, as JSON text without its last brace
    milestones: list[tuple[int, str]]  # the day one is reached, what it adds to the record
    delivered_on: set[int]  # arrival days; none for a user whose record never arrives
    players: list[tuple[str, str]]  # user_id and child_id; device and os: JSON text


def user_records(plan: Plan, n: int) -> list[str]:
    """The records delivered on day ``n``, as full as then; some days a broken one."""
    records = [
        user.registered + "".join(text for day, text in user.milestones if day <= n) + "}"
        for registration_day in range(max(0, n - RECORD_DAYS), n + 1)
        for user in _cohort(plan, registration_day)
        if n in user.delivered_on
    ]
    if n % 5 == 2 and records:
        breaks = tuple(BREAKS["users"].values())
        records.append(breaks[n // 5 % len(breaks)](records[0]))
    return records


@lru_cache(maxsize=ACTIVE_DAYS + LATEST_AFTER_DAYS)
def _cohort(plan: Plan, n: int) -> list[User]:
    """The users who register on day ``n``."""
    rng = stream(plan, "cohort", n)
    return [_user(plan, n, rng) for _ in range(max(1, portion(plan.users, plan.days, n)))]


def _user(plan: Plan, n: int, rng: Random) -> User:
    """One user who registers on day ``n``; some records are late, a few never come."""
    registration_at = datetime.combine(plan.day(n), time()) + timedelta(hours=24 * rng.random())
    user_id = uuid_text(rng)
    children = [uuid_text(rng) for _ in range(pick(rng, (0, 1, 1, 1, 1, 1, 1, 1, 2, 3)))]
    ids = [f'"user_id":"{user_id}","child_id":"{child}"' for child in children]
    milestones = [
        ((at.date() - plan.first_day).days, text) for at, text in _milestones(registration_at, rng)
    ]
    roll = rng.random()
    first = n + 1 + int(rng.random() * 4) if roll < 0.06 else n
    delivered_on = {first, *(max(first, day) for day, _ in milestones)}
    if rng.random() < 0.15:  # again, though unchanged
        delivered_on.add(first + 1 + int(rng.random() * 8))
    return User(
        f'{{"user_id": "{user_id}", "children_ids": {json.dumps(children)}, '
        f'"country_code": "{COUNTRIES[int(rng.random() ** 2 * len(COUNTRIES))]}", '
        f'"registration_at": "{instant(registration_at)}"',
        milestones,
        delivered_on if roll > 0.008 else set(),
        [(who, _device(rng)) for who in ids or [f'"user_id":"{user_id}"']],
    )


def _milestones(registration_at: datetime, rng: Random) -> Iterator[tuple[datetime, str]]:
    """When a user reaches trial and subscription, if ever, and what the record gains."""
    if rng.random() > 0.45:
        return
    start_at = registration_at + timedelta(hours=24 * rng.random() ** 3)
    end_at = start_at + timedelta(days=7)
    yield (
        start_at,
        f', "trial_start_at": "{instant(start_at)}", "trial_end_at": "{instant(end_at)}"',
    )
    if rng.random() > 0.6:
        return
    paid_at = end_at + timedelta(hours=pick(rng, (0, 0, 0, 5, 30)))
    gained = f', "subscription_start_at": "{instant(paid_at)}"'
    if paid_days := pick(rng, (7, 30, 30, 30, 365, 0)):  # without an expiry it is open-ended
        expire_at = paid_at + timedelta(days=paid_days)
        gained += f', "subscription_expire_at": "{instant(expire_at)}"'
    yield paid_at, gained


def _device(rng: Random) -> str:
    """A player's device and os, as JSON text; device_id, model and os may lack."""
    brand, model, os_name, os_version = DEVICES[int(rng.random() ** 1.5 * len(DEVICES))]
    device_id = f'"device_id":"{uuid_text(rng)}",' if rng.random() < 0.6 else ""
    model = f',"model":"{model}"' if rng.random() < 0.7 else ""
    os_ = f',"os":{{"name":"{os_name}","version":"{os_version}"}}' if rng.random() < 0.98 else ""
    return f'"device":{{{device_id}"brand":"{brand}"{model}}}{os_}'


@lru_cache(maxsize=LATEST_AFTER_DAYS + 1)
def players_on(plan: Plan, n: int) -> list[tuple[str, str]]:
    """Who plays on day ``n``; on the day of registration, a child may play before it."""
    cohorts = (_cohort(plan, day) for day in range(max(0, n - ACTIVE_DAYS), n + 1))
    return [player for cohort in cohorts for user in cohort for player in user.players]
