"""The project's own raw data: a deterministic generator of the objects that the app would deliver.

Here: the shape of raw JSON lines and exercise CSVs, and every oddity of delivery that the pipelines
promise to survive. Elsewhere: what makes a line unusable (``quality.py``), how objects are read
(``datasets/``). All names and values are invented; no person or product stands behind them.

It serves the sample committed in ``data/01_raw`` and benchmarks of up to 100 million events:

- ``arrival_day(plan, n)`` is a pure function: a day has the same bytes whichever days were made
  before it, because each object draws from random streams named by (seed, purpose, day, object).
- A delivery that revisits an earlier one (repeated, corrected) takes the first events of an earlier
  object's stream, so nothing is remembered from day to day; one object is in memory at a time.
- Only ``random()`` and ``getrandbits()`` are drawn, whose sequences do not vary between Pythons.

Words: ``n`` counts arrival days from 0, ``j`` the event objects of one day from 0. Lines are text;
a byte that is not UTF-8 stands in them as a lone surrogate (Python's ``surrogateescape``).
"""

import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")

LATEST_AFTER_DAYS = 10  # a late event lands 1 to this many days after it happened
REVISITED_WITHIN_DAYS = 6  # a repeat or a correction follows within this many days
ACTIVE_DAYS = 30  # a user plays for this long, so a day's players do not grow with history
RECORD_DAYS = 14  # all deliveries of a user's record fall within this time
CATALOGUE_EVERY_DAYS = 12
UNUSUAL_SHARE = 0.035  # share of usable event lines that have a rare trait (see `_unusual`)
BLANK_SHARE, UNENDED_SHARE = 0.05, 0.05  # of objects: with a blank line; without a last line end

# Each of these befalls one object, known by its place among all event objects of the plan.
MARKED_OBJECT, CRLF_OBJECT, EMPTY_OBJECT, ODDLY_NAMED_OBJECT = 41, 97, 143, 211

OTHER_NAMES = ("activity_enter", "activity_pause", "app_open")
COLLECTIONS = ("river_walk", "bedtime_box", "kitchen_lab", "snow_week", "first_numbers")
SOURCES = ("home", "home", "search", "suggestion", "collection")
COUNTRIES = ("es", "mx", "br", "fr", "us", "it", "de", "jp", "pl", "gb", "in", "cl")
OFFSETS = ((120, "+02:00"), (-300, "-05:00"), (330, "+05:30"))  # minutes ahead of UTC, as text
DEVICES = (  # brand, model, os name, os version; the first are the most frequent
    ("Pomelo", "P3 mini", "iOS", "14.6"),
    ("Kestrel", "K7", "Android", "11.0"),
    ("Pomelo", "P2", "iOS", "13.9"),
    ("Tamarin", "Tablet Größe 8", "Android", "8.0"),
    ("Tamarin", "T40 \\u00e9", "Android", "9.1"),
    ("Pomelo", "P1", "iPhone OS", "12.1"),
)
DEEDS = {  # what the child does with an animal: type and subtype of the activity
    **dict.fromkeys(("sing", "hum", "dance"), ("song", "rhyme")),
    **dict.fromkeys(("hide", "race", "match"), ("play", None)),
    **dict.fromkeys(("paint", "trace", "build"), ("craft", "paper")),
    **dict.fromkeys(("meet", "follow", "wake"), ("story", "")),
}
ANIMALS = ("otter", "puffin", "lynx", "heron", "badger", "gecko", "walrus", "stork", "yak", "newt")


@dataclass(frozen=True)
class Plan:
    """How much is delivered, and how oddly.

    Totals are spread evenly over ``days``, and later days go on at the same pace. ``late`` to
    ``broken`` are shares, 0 to 1, of event lines; ``gzip_share`` is a share of event objects.
    """

    seed: int
    first_day: date
    days: int
    events: int  # lines, of every kind but blank
    event_objects: int
    users: int
    activities: int
    late: float = 0.03
    repeated: float = 0.015
    corrected: float = 0.012
    other_name: float = 0.03
    broken: float = 0.01
    gzip_share: float = 0.03

    def day(self, n: int) -> date:
        """The calendar day of arrival day ``n``."""
        return self.first_day + timedelta(days=n)

    def objects_on(self, n: int) -> int:
        """How many event objects arrive on day ``n``, the empty one aside."""
        return max(1, _portion(self.event_objects, self.days, n))

    def place(self, n: int, j: int) -> int:
        """The place of an object among all event objects, from 0."""
        return n * self.event_objects // self.days + j

    def key(self, n: int, j: int, name: str) -> str:
        """The object key: arrival day, and hour in which the ``j``-th span of the day ends."""
        return f"{self.day(n)}/{min(23, (j + 1) * 24 // self.objects_on(n)):02d}/{name}"


SAMPLE = Plan(
    seed=2021,
    first_day=date(2021, 1, 1),
    days=31,
    events=8_000,
    event_objects=300,
    users=400,
    activities=120,
)


def arrival_day(plan: Plan, n: int) -> Iterator[tuple[str, str, bytes]]:
    """Make the objects that arrive on day ``n``, in the order in which they land.

    ``n`` may lie past ``plan.days``: deliveries go on.

    Yields:
        Dataset (``events``, ``users``, ``activities``), object key
        (``<day>/<hour>/<dataset>-<number>.jsonl[.gz]``), content.
    """
    objects = plan.objects_on(n)
    if n % CATALOGUE_EVERY_DAYS == 0:
        catalogue = _catalogue(plan, edition=n // CATALOGUE_EVERY_DAYS)
        yield "activities", plan.key(n, -1, "activities-0000.jsonl"), _content(catalogue)
    for j in range(objects):
        yield "events", *_event_object(plan, n, j)
        if plan.place(n, j) == EMPTY_OBJECT:
            yield "events", plan.key(n, j, f"events-{objects:04d}.jsonl"), b""
    if records := _user_records(plan, n):
        yield "users", plan.key(n, objects - 1, "users-0000.jsonl"), _content(records)


def write_sample(root: Path, plan: Plan = SAMPLE) -> None:
    """Write all objects of ``plan`` and the exercise CSVs below ``root``; leave other files alone.

    Objects are written in the order in which they land, so that their last-modified times agree.
    """
    for n in range(plan.days):
        for dataset, key, content in arrival_day(plan, n):
            _write(root, f"{dataset}/{key}", content)
    for name, lines in exercise_tables(plan.seed).items():
        _write(root, f"exercises/{name}.csv", _content(lines))


def add_next_day(root: Path, plan: Plan = SAMPLE) -> date:
    """Write the objects of the day after the last arrival day found below ``root/events``.

    Returns:
        The day added; the first day of ``plan`` if nothing has arrived yet.
    """
    arrived = [date.fromisoformat(folder.name) for folder in root.glob("events/????-??-??")]
    n = (max(arrived) - plan.first_day).days + 1 if arrived else 0
    for dataset, key, content in arrival_day(plan, n):
        _write(root, f"{dataset}/{key}", content)
    return plan.day(n)


# --- events


def deliveries(plan: Plan, n: int, j: int) -> list[tuple[str, str]]:
    """Make event object ``j`` of day ``n``, line by line, with what the generator knows of each.

    Returns:
        Pairs of kind and line; the kinds are ``fresh``, ``late``, ``repeated``,
        ``corrected: …`` (see `_corrected`), ``broken: …`` (see `BREAKS`) and ``blank``.
    """
    counts = _counts(plan, n, j)
    rng = _stream(plan, "other lines", n, j)
    lines = [("fresh", line) for line in islice(_fresh(plan, n, j), counts["fresh"])]
    for other in (
        *_late(plan, n, rng, counts["late"]),
        *_repeated(plan, n, j, rng, counts["repeated"]),
        *_corrected(plan, n, j, rng, counts["corrected"]),
        *_broken(plan, n, j, rng, counts["broken"]),
        *((("blank", _pick(rng, ("", "  "))),) if rng.random() < BLANK_SHARE else ()),
    ):
        lines.insert(int(rng.random() * (len(lines) + 1)), other)
    return lines


def _event_object(plan: Plan, n: int, j: int) -> tuple[str, bytes]:
    """Make the key and content of one event object, with the oddities due to its place."""
    rng = _stream(plan, "object", n, j)
    is_ended = rng.random() >= UNENDED_SHARE
    place, name = plan.place(n, j), f"events-{j:04d}.jsonl"
    line_end = "\r\n" if place == CRLF_OBJECT else "\n"
    content = _content([line for _, line in deliveries(plan, n, j)], line_end, is_ended)
    if place == MARKED_OBJECT:
        content = b"\xef\xbb\xbf" + content
    elif place == ODDLY_NAMED_OBJECT:
        name = f"events-{j:04d} sent%20again.jsonl"  # a space, and a % that must not be decoded
    elif place != CRLF_OBJECT and rng.random() < plan.gzip_share:
        name, content = f"{name}.gz", _gzipped(content)
    return plan.key(n, j, name), content


@lru_cache(maxsize=1024)
def _counts(plan: Plan, n: int, j: int) -> dict[str, int]:
    """How many lines of each kind an object has; the first has nothing earlier to revisit."""
    rng = _stream(plan, "counts", n, j)
    lines = left = _portion(_portion(plan.events, plan.days, n), plan.objects_on(n), j)
    shares = {
        "late": plan.late if n else 0,
        "repeated": plan.repeated if n or j else 0,
        "corrected": plan.corrected if n else 0,
        "broken": plan.broken,
    }
    counts = {}
    for kind, share in shares.items():
        counts[kind] = min(left, int(share * lines + rng.random()))
        left -= counts[kind]
    return counts | {"fresh": left}


def _fresh(plan: Plan, n: int, j: int) -> Iterator[str]:
    """The stream of events that happened shortly before object ``j`` landed on the same day."""
    span = 24 * 60 / plan.objects_on(n)
    return _events(plan, n, _stream(plan, "fresh", n, j), j * span, span)


def _first_delivered(plan: Plan, n: int, j: int, count: int) -> Iterator[str]:
    """The first events that an earlier object delivered; ``j`` wraps round on a smaller day."""
    j %= plan.objects_on(n)
    return islice(_fresh(plan, n, j), min(count, _counts(plan, n, j)["fresh"]))


def _late(plan: Plan, n: int, rng: Random, count: int) -> Iterator[tuple[str, str]]:
    """Events of earlier days that no object has delivered before."""
    for _ in range(count):
        days_ago = 1 + int(rng.random() * min(LATEST_AFTER_DAYS, n))
        yield "late", next(_events(plan, n - days_ago, rng))


def _repeated(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[tuple[str, str]]:
    """Lines that an earlier object, of this day or of the days before, has delivered."""
    days_ago = int(rng.random() * (min(REVISITED_WITHIN_DAYS, n) + 1))
    if days_ago == 0 and j == 0:
        days_ago = 1
    earlier = j if days_ago else int(rng.random() * j)
    for line in _first_delivered(plan, n - days_ago, earlier, count) if count else ():
        yield "repeated", line


def _corrected(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[tuple[str, str]]:
    """Events of earlier days again, with one thing changed: day, name, duration or completed."""
    days_ago = 1 + int(rng.random() * min(REVISITED_WITHIN_DAYS, n))
    for line in _first_delivered(plan, n - days_ago, j, count) if count else ():
        roll = rng.random()
        if roll < 0.12 or '"completed"' not in line:
            yield "corrected: day", _shift(line, minutes=24 * 60)
        elif roll < 0.18:  # no longer an activity_exit: it vanishes from what counts
            yield "corrected: name", _put(line, "name", f'"{OTHER_NAMES[0]}"')
        elif roll < 0.6:
            yield "corrected: duration", _put(line, "duration", f"{rng.random() * 300:.3f}")
        else:
            was, now = ("true", "false") if '"completed":true' in line else ("false", "true")
            yield "corrected: completed", line.replace(f":{was}", f":{now}", 1)


def _broken(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[tuple[str, str]]:
    """Unusable lines, each made from an event of its own; the kinds take turns."""
    kinds = tuple(BREAKS["events"].items())
    turn = plan.place(n, j) * 7  # by sevens, so that neighbouring objects differ
    for kind, break_line in (kinds[(turn + i) % len(kinds)] for i in range(count)):
        exits = (line for line in _events(plan, n, rng) if '"completed"' in line)
        yield f"broken: {kind}", break_line(next(exits))


def _events(
    plan: Plan, n: int, rng: Random, start: float = 0, span: float = 24 * 60
) -> Iterator[str]:
    """An endless stream of events of day ``n`` in a span of it (minutes): the inner loop of all."""
    day = plan.day(n).isoformat()
    players, releases = _players(plan, n), _releases(n)
    clock, seconds, activities, measures = _pools(plan)
    unusual_share = plan.other_name + UNUSUAL_SHARE
    random, bits = rng.random, rng.getrandbits
    while True:
        x = bits(128).to_bytes(16, "big").hex()
        who, device = players[int(random() * len(players))]
        line = (
            f'{{"event_id":"{x[:8]}-{x[8:12]}-4{x[13:16]}-a{x[17:20]}-{x[20:]}"'
            f',"name":"activity_exit","occurred_at":"{day} {clock[int(start + random() * span)]}'
            f'{seconds[bits(12)]}",{who},"data":{{{activities[bits(12)]}{measures[bits(14)]}}}'
            f',"context":{{{device}{releases[bits(5)]}}}}}'
        )
        yield _unusual(line, plan, rng) if random() < unusual_share else line


def _unusual(line: str, plan: Plan, rng: Random) -> str:
    """Give a usable event another name, or one rare trait."""
    roll = rng.random() * (plan.other_name + UNUSUAL_SHARE)
    if roll < plan.other_name:
        named = line.replace("activity_exit", _pick(rng, OTHER_NAMES), 1)
        return re.sub(r',"duration":[^}]*', "", named)
    trait = (roll - plan.other_name) / UNUSUAL_SHARE
    if trait < 0.3:
        return _shift(line, *_pick(rng, OFFSETS))
    if trait < 0.7:  # a long session
        return _put(line, "duration", str(int(rng.random() * 3600)))
    if trait < 0.75:  # the app was left in the background
        return _put(line, "duration", f"{100_000 + int(rng.random() * 90_000)}.5")
    if trait < 0.87:
        return re.sub(r',"context":.*', "}", line)
    return f'{line[:-1]},"experiment":{{"arm":2,"tags":["a","b"]}}}}'


def _shift(line: str, minutes: int, offset: str = "") -> str:
    """Move an event's clock time, and write the clock's offset from UTC behind it."""
    start = line.index("occurred_at") + len('occurred_at":"')
    end = start + len("YYYY-MM-DD HH:MM:SS.mmm")
    shifted = datetime.fromisoformat(line[start:end]) + timedelta(minutes=minutes)
    return f"{line[:start]}{shifted.isoformat(' ', 'milliseconds')}{offset}{line[end:]}"


@lru_cache(maxsize=4)
def _pools(plan: Plan) -> tuple[list[str], list[str], list[str], list[str]]:
    """JSON text to draw from, in powers of two: clock minutes, seconds, activities, measures.

    Measures are duration (s; most are short), completed, collection_id ('' for most) and
    loading_time (s; often null or absent). A few activities are played most.
    """
    rng = _stream(plan, "pools")
    clock = [f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60)]
    seconds = [f"{rng.random() * 59.999:06.3f}" for _ in range(2**12)]
    activities = [
        f'"activity_id":"{_activity_id(int(rng.random() ** 2 * plan.activities))}"'
        f',"source":"{_pick(rng, SOURCES)}"'
        for _ in range(2**12)
    ]
    measures = [
        f',"duration":{900 * rng.random() ** 4:.3f}'
        f',"completed":{"true" if rng.random() < 0.7 else "false"}'
        f',"collection_id":"{_pick(rng, COLLECTIONS) if rng.random() < 0.12 else ""}"'
        + _pick(rng, (',"loading_time":null',) * 6 + ("", f',"loading_time":{rng.random():.2f}'))
        for _ in range(2**14)
    ]
    return clock, seconds, activities, measures


@lru_cache(maxsize=64)
def _releases(n: int) -> list[str]:
    """32 texts of app versions in use on day ``n``: the newest most; build or all may lack."""
    newest = 10 + n // 10
    built = [f',"app":{{"version":"5.{r}.0","build":"{r}00"}}' for r in (newest, newest - 1)]
    unbuilt = [f',"app":{{"version":"5.{newest - back}.{back}"}}' for back in range(3)]
    return [*built * 6, *built[:1] * 6, *unbuilt * 4, ',"app":{}', ""]


# --- broken lines


@lru_cache
def _field(name: str) -> re.Pattern[str]:
    return re.compile(rf'("{name}": ?)("[^"]*"|[^,}}]+)(, ?)?')


def _put(line: str, field: str, value: str) -> str:
    """Put other JSON text in the place of a field's value."""
    return _field(field).sub(lambda found: f"{found[1]}{value}{found[3] or ''}", line, count=1)


def _drop(line: str, field: str) -> str:
    """Drop a field that is not the last one of its object."""
    return _field(field).sub("", line, count=1)


# For each dataset, the kinds of broken line and how a good line becomes one.
BREAKS: dict[str, dict[str, Callable[[str], str]]] = {
    "events": {
        "cut JSON": lambda line: line[: len(line) * 2 // 3],
        "array": lambda line: f"[{line}]",
        "number": lambda line: str(len(line)),
        "not UTF-8": partial(_put, field="source", value='"ho\udcffme"'),
        **{
            f"no {field}": partial(_drop, field=field)
            for field in ("event_id", "name", "occurred_at", "user_id", "activity_id")
        },
        **{
            f"{field} {value}": partial(_put, field=field, value=value)
            for field, value in (
                ("event_id", '"4711"'),
                ("user_id", '"guest"'),
                ("occurred_at", '"2021-02-30 10:00:00.000"'),
                ("occurred_at", '"this morning"'),
                ("duration", "-12.5"),
                ("duration", '"two minutes"'),
                ("duration", "1e400"),
                ("completed", '"perhaps"'),
            )
        },
    },
    "users": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no user_id": partial(_drop, field="user_id"),
        "wrong user_id": partial(_put, field="user_id", value='"guest"'),
        "wrong registration_at": partial(_put, field="registration_at", value='"last winter"'),
        "not UTF-8": partial(_put, field="country_code", value='"\udce9s"'),
    },
    "activities": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no activity_id": partial(_drop, field="activity_id"),
        "number": lambda line: str(len(line)),
    },
}


# --- users


class User(NamedTuple):
    """One user: the record as it grows, when it is delivered, and who plays on which device."""

    registered: str  # the record at registration, as JSON text without its last brace
    milestones: list[tuple[int, str]]  # the day one is reached, what it adds to the record
    delivered_on: set[int]  # arrival days; none for a user whose record never arrives
    players: list[tuple[str, str]]  # user_id and child_id; device and os: JSON text


def _user_records(plan: Plan, n: int) -> list[str]:
    """The users' records due on day ``n``, as full as they are then; now and then a broken one."""
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
    rng = _stream(plan, "cohort", n)
    return [_user(plan, n, rng) for _ in range(max(1, _portion(plan.users, plan.days, n)))]


def _user(plan: Plan, n: int, rng: Random) -> User:
    """One user who registers on day ``n``; the record is late for some, never arrives for a few."""
    registration_at = datetime.combine(plan.day(n), time()) + timedelta(hours=24 * rng.random())
    user_id = _uuid(rng)
    children = [_uuid(rng) for _ in range(_pick(rng, (0, 1, 1, 1, 1, 1, 1, 1, 2, 3)))]
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
        f'"registration_at": "{_instant(registration_at)}"',
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
        f', "trial_start_at": "{_instant(start_at)}", "trial_end_at": "{_instant(end_at)}"',
    )
    if rng.random() > 0.6:
        return
    paid_at = end_at + timedelta(hours=_pick(rng, (0, 0, 0, 5, 30)))
    gained = f', "subscription_start_at": "{_instant(paid_at)}"'
    if paid_days := _pick(rng, (7, 30, 30, 30, 365, 0)):  # without an expiry it is open-ended
        expire_at = paid_at + timedelta(days=paid_days)
        gained += f', "subscription_expire_at": "{_instant(expire_at)}"'
    yield paid_at, gained


def _device(rng: Random) -> str:
    """A player's device and os, as JSON text; device_id, model and os may lack."""
    brand, model, os_name, os_version = DEVICES[int(rng.random() ** 1.5 * len(DEVICES))]
    device_id = f'"device_id":"{_uuid(rng)}",' if rng.random() < 0.6 else ""
    model = f',"model":"{model}"' if rng.random() < 0.7 else ""
    os_ = f',"os":{{"name":"{os_name}","version":"{os_version}"}}' if rng.random() < 0.98 else ""
    return f'"device":{{{device_id}"brand":"{brand}"{model}}}{os_}'


@lru_cache(maxsize=LATEST_AFTER_DAYS + 1)
def _players(plan: Plan, n: int) -> list[tuple[str, str]]:
    """Who plays on day ``n``; on the day of registration, a child may play before it."""
    cohorts = (_cohort(plan, day) for day in range(max(0, n - ACTIVE_DAYS), n + 1))
    return [player for cohort in cohorts for user in cohort for player in user.players]


# --- activities and exercises


def _catalogue(plan: Plan, edition: int) -> list[str]:
    """One edition of the catalogue: later ones know more activities and rename a few.

    Every 60th activity is in none, so that there are events of unlisted activities.
    """
    listed = [
        json.dumps(_activity(k, edition), ensure_ascii=False)
        for k in range(plan.activities)
        if k % 60 != 59 and not (edition == 0 and k % 30 == 13)
    ]
    breaks = tuple(BREAKS["activities"].values())
    return [*listed, breaks[edition % len(breaks)](listed[0])]


def _activity(k: int, edition: int) -> dict[str, str | None]:
    """Activity ``k`` as an edition knows it: half the names are null until first revised."""
    revisions = sum((k + 7 * past) % 25 == 0 for past in range(1, edition + 1))
    activity_id = _activity_id(k)
    title = activity_id.replace("_", " the ", 1).capitalize() + " ¡más!" * revisions
    type_, subtype = DEEDS[activity_id.split("_")[0]]
    name = title if k % 2 == 0 or revisions else None
    return {"activity_id": activity_id, "name": name, "type": type_, "subtype": subtype}


def _activity_id(k: int) -> str:
    """What is done with which animal; from the 121st activity on, a number too."""
    level, animal = divmod(k // len(DEEDS), len(ANIMALS))
    return f"{tuple(DEEDS)[k % len(DEEDS)]}_{ANIMALS[animal]}" + (f"_{level}" if level else "")


def exercise_tables(seed: int) -> dict[str, list[str]]:
    """Make the three CSVs of the analytics questions: table name to lines, header first.

    Grain: one activity; one event of January 2025 (exits have seconds and completed), a few of an
    unlisted activity; one subscription (USD), a few outside that January or of an idle user.
    """
    rng = Random(f"{seed}/exercises")
    new_year = datetime(2025, 1, 1)
    activities = ["activity_id,activity_name,theme,price_tier"]
    events = ["event_id,user_id,activity_id,event_type,created_at,duration_seconds,completed"]
    subscriptions = ["user_id,subscription_date,platform,price_usd"]
    for k in range(12):
        theme, tier = ("Nature", "Numbers", "Songs", "Stories")[k % 4], ("basic", "plus")[k % 5 % 2]
        activities.append(f"deed-{k},Hello {ANIMALS[k % 10]} {k},{theme},{tier}")
    for k in range(160):
        user_id, activity = 70_000 + int(rng.random() * 28), int(rng.random() * 12.3)
        at = new_year + timedelta(seconds=int(rng.random() * 31 * 86_400))
        exit_ = f"{int(rng.random() ** 2 * 600)},{_pick(rng, ('true', 'true', 'false'))}"
        type_, measures = ("exit", exit_) if rng.random() < 0.75 else ("enter", ",")
        events.append(f"play-{k:04d},{user_id},deed-{activity},activity_{type_},{at},{measures}")
    for k in range(20):
        user_id, day = 70_012 + k * 7 % 20, new_year.date() + timedelta(days=2 * k - 4)
        platform, price = _pick(
            rng, (("ios", 5.49), ("ios", 44.90), ("droid", 5.49), ("web", 4.25))
        )
        subscriptions.append(f"{user_id},{day},{platform},{price:.2f}")
    return {"activities": activities, "activity_events": events, "subscriptions": subscriptions}


# --- chance, text and bytes


def _stream(plan: Plan, *name: object) -> Random:
    """A random stream of its own for each name: nothing depends on what was drawn elsewhere."""
    return Random("/".join(map(str, (plan.seed, *name))))


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def _uuid(rng: Random) -> str:
    x = f"{rng.getrandbits(128):032x}"
    return f"{x[:8]}-{x[8:12]}-4{x[13:16]}-a{x[17:20]}-{x[20:]}"


def _instant(at: datetime) -> str:
    return at.isoformat(" ", "microseconds")


def _portion(total: int, parts: int, k: int) -> int:
    """The ``k``-th of nearly equal whole parts of ``total``; goes on past the last part."""
    return (k + 1) * total // parts - k * total // parts


def _content(lines: Sequence[str], line_end: str = "\n", is_ended: bool = True) -> bytes:
    # line by line: one letter outside ASCII would slow the encoding of a joined text fivefold
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    return line_end.encode().join(encoded if not is_ended else [*encoded, b""])


def _gzipped(content: bytes) -> bytes:
    """Compress with neither time nor name in the header (``gzip.compress`` varies by Python)."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def _write(root: Path, name: str, content: bytes) -> None:
    """Write aside, out of any dataset's sight, then rename: a reader never meets half an object."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = root / f".arriving-{os.getpid()}"
    aside.write_bytes(content)
    aside.replace(path)
