"""The project's own raw data: a deterministic generator of the objects that the app would deliver.

Belongs here: the shape of the raw JSON lines and exercise CSVs, and every oddity of delivery that
the pipelines promise to survive (late, repeated, corrected and broken lines, gzip, a byte order
mark, …). Belongs elsewhere: what makes a line unusable (``quality.py``), and how objects are read
(``datasets/``). All names and values are invented; no person or product stands behind them.

Two users: the small sample committed in ``data/01_raw`` (``SAMPLE``), and benchmarks, with plans of
up to 100 million events. Three laws serve both:

- ``arrival_day(plan, n)`` is a pure function: a day has the same bytes whichever days were made
  before it, because each object draws from random streams named by (seed, purpose, day, object).
- A delivery that revisits an earlier one (repeated, corrected) takes the first events of an earlier
  object's stream, so nothing is remembered from day to day; one object is in memory at a time.
- Only ``random()`` and ``getrandbits()`` are drawn, whose sequences do not vary between Pythons.

Words: ``n`` counts arrival days from 0, ``j`` the event objects of one day from 0.
"""

import gzip
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")


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

    def lines_in(self, n: int, j: int) -> int:
        """How many event lines object ``j`` of day ``n`` has, blank lines aside."""
        return _portion(_portion(self.events, self.days, n), self.objects_on(n), j)


SAMPLE = Plan(
    seed=2021,
    first_day=date(2021, 1, 1),
    days=31,
    events=8_000,
    event_objects=300,
    users=400,
    activities=120,
)

LATEST_AFTER_DAYS = 10  # a late event lands 1 to this many days after it happened
REVISITED_WITHIN_DAYS = 6  # a repeat or a correction follows within this many days
ACTIVE_DAYS = 30  # a user plays for this long, so a day's players do not grow with history
RECORD_DAYS = 14  # all deliveries of a user's record fall within this time
CATALOGUE_EVERY_DAYS = 12
UNUSUAL_SHARE = 0.035  # usable event lines with a rare trait (see `_unusual`)
BLANK_SHARE, UNENDED_SHARE = 0.05, 0.05  # objects with a blank line; without a last line end
DAY_MS = 24 * 60 * 60 * 1000

# Each of these befalls one object, known by its place among all event objects of the plan.
MARKED_OBJECT, CRLF_OBJECT, EMPTY_OBJECT, ODDLY_NAMED_OBJECT = 41, 97, 143, 211

OTHER_NAMES = ("activity_enter", "activity_pause", "app_open")
COLLECTIONS = ("river_walk", "bedtime_box", "kitchen_lab", "snow_week", "first_numbers")
SOURCES = ("home", "home", "search", "suggestion", "collection")
COUNTRIES = ("es", "mx", "br", "fr", "us", "it", "de", "jp", "pl", "gb", "in", "cl")
OFFSETS = {"+02:00": 120, "-05:00": -300, "+05:30": 330}  # text, minutes ahead of UTC
DEVICES = (  # brand, model, os name, os versions, most frequent first
    ("Pomelo", "P3 mini", "iOS", ("14.1", "13.4", "14.5")),
    ("Kestrel", "K7", "Android", ("11", "8.0", "9.1")),
    ("Pomelo", "P2", "iOS", ("13.4", "12.1")),
    ("Tamarin", "Tablet Größe 8", "Android", ("7.1", "11")),
    ("Tamarin", "T40 \\u00e9", "Android", ("8.0",)),
    ("Pomelo", "P1", "iPhone OS", ("12.1",)),
)
ACTIVITY_KINDS = {  # what the child does: type and subtype of the activity
    **dict.fromkeys(("sing", "hum", "dance"), ("song", "rhyme")),
    **dict.fromkeys(("hide", "race", "match"), ("play", None)),
    **dict.fromkeys(("paint", "trace", "build"), ("craft", "paper")),
    **dict.fromkeys(("meet", "follow", "wake"), ("story", "")),
}
ANIMALS = "otter puffin lynx heron badger gecko walrus stork marmot newt".split()
CLOCK = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(24 * 60))


def arrival_day(plan: Plan, n: int) -> Iterator[tuple[str, str, bytes]]:
    """Make the objects that arrive on day ``n``, in the order in which they land.

    ``n`` may lie past ``plan.days``: deliveries go on.

    Yields:
        Dataset (``events``, ``users``, ``activities``), object key
        (``<day>/<hour>/<dataset>-<number>.jsonl[.gz]``), content.
    """
    if n % CATALOGUE_EVERY_DAYS == 0:
        edition = n // CATALOGUE_EVERY_DAYS
        yield "activities", _key(plan, n, 0, "activities-0000.jsonl"), _catalogue(plan, edition)
    for j in range(plan.objects_on(n)):
        yield "events", *_event_object(plan, n, j)
        if _ordinal(plan, n, j) == EMPTY_OBJECT:
            empty = f"events-{plan.objects_on(n):04d}.jsonl"
            yield "events", _key(plan, n, _hour(plan, n, j), empty), b""
    if records := _user_records(plan, n):
        yield "users", _key(plan, n, 23, "users-0000.jsonl"), _content(records)


def write_sample(root: Path, plan: Plan = SAMPLE) -> None:
    """Write all objects of ``plan`` and the exercise CSVs below ``root``; leave other files alone.

    Objects are written in the order in which they land, so that their last-modified times agree.
    """
    for n in range(plan.days):
        for dataset, key, content in arrival_day(plan, n):
            _write(root, f"{dataset}/{key}", content)
    for name, text in exercise_tables(plan.seed).items():
        _write(root, f"exercises/{name}.csv", text.encode())


def add_next_day(root: Path, plan: Plan = SAMPLE) -> date:
    """Write the objects of the day after the last arrival day found below ``root/events``.

    Returns:
        The day added; the first day of ``plan`` if nothing has arrived yet.
    """
    arrived = [_as_day(folder.name) for folder in root.glob("events/*/")]
    last = max((day for day in arrived if day), default=plan.day(-1))
    n = (last - plan.first_day).days + 1
    for dataset, key, content in arrival_day(plan, n):
        _write(root, f"{dataset}/{key}", content)
    return plan.day(n)


# Events


class Delivery(NamedTuple):
    """One line of an event object, and what the generator knows about it.

    ``kind`` is ``fresh``, ``late``, ``repeated``, ``corrected: …`` (see `_corrected`),
    ``broken: …`` (see `BREAKS`) or ``blank``.
    """

    kind: str
    line: str


class Event(NamedTuple):
    """The parts of an event's line, in order, as JSON text ready to be joined by `EVENT_LINE`."""

    event_id: str
    name: str
    occurred_at: str
    who: str  # user_id and, if known, child_id
    activity: str  # activity_id and source
    duration: str  # '' for events of another name
    outcome: str  # completed, collection_id, loading_time; '' for events of another name
    context: str


EVENT_LINE = '{"event_id":"%s","name":"%s","occurred_at":"%s",%s,"data":{%s%s%s}%s}'


class Mix(NamedTuple):
    """How many lines of each kind an object has."""

    late: int
    repeated: int
    corrected: int
    broken: int
    fresh: int


def deliveries(plan: Plan, n: int, j: int) -> list[Delivery]:
    """Make the lines of event object ``j`` of day ``n``, each with its kind.

    A non-UTF-8 byte is written as a lone surrogate (Python's ``surrogateescape``).
    """
    mix = _mix(plan, n, j)
    rng = _stream(plan, "unfresh", n, j)
    lines = [
        Delivery("fresh", EVENT_LINE % event) for event in islice(_fresh(plan, n, j), mix.fresh)
    ]
    for delivery in (
        *_late(plan, n, rng, mix.late),
        *_repeated(plan, n, j, rng, mix.repeated),
        *_corrected(plan, n, j, rng, mix.corrected),
        *_broken(plan, n, j, rng, mix.broken),
        *([Delivery("blank", _pick(rng, ("", "  ")))] if rng.random() < BLANK_SHARE else []),
    ):
        lines.insert(int(rng.random() * (len(lines) + 1)), delivery)
    return lines


def _event_object(plan: Plan, n: int, j: int) -> tuple[str, bytes]:
    """Make the key and the content of one event object, with the oddities due to its place."""
    rng = _stream(plan, "object", n, j)
    ordinal = _ordinal(plan, n, j)
    content = _content(
        [delivery.line for delivery in deliveries(plan, n, j)],
        line_end="\r\n" if ordinal == CRLF_OBJECT else "\n",
        is_ended=rng.random() >= UNENDED_SHARE,
    )
    name = f"events-{j:04d}.jsonl"
    if ordinal == MARKED_OBJECT:
        content = b"\xef\xbb\xbf" + content
    elif ordinal == ODDLY_NAMED_OBJECT:
        name = f"events-{j:04d} sent%20again.jsonl"  # a space, and a % that must not be decoded
    elif ordinal != CRLF_OBJECT and rng.random() < plan.gzip_share:
        name, content = f"{name}.gz", _gzipped(content)
    return _key(plan, n, _hour(plan, n, j), name), content


@lru_cache(maxsize=1024)
def _mix(plan: Plan, n: int, j: int) -> Mix:
    """Share out an object's lines. The first day has nothing earlier to revisit."""
    rng = _stream(plan, "mix", n, j)
    shares = (
        plan.late if n else 0,
        plan.repeated if n or j else 0,
        plan.corrected if n else 0,
        plan.broken,
    )
    lines = left = plan.lines_in(n, j)
    counts = []
    for share in shares:
        counts.append(min(left, int(share * lines + rng.random())))
        left -= counts[-1]
    return Mix(*counts, fresh=left)


def _fresh(plan: Plan, n: int, j: int) -> Iterator[Event]:
    """The stream of events that happened shortly before object ``j`` landed on the same day."""
    span = DAY_MS // plan.objects_on(n)
    return _events(plan, n, _stream(plan, "fresh", n, j), j * span, span)


def _late(plan: Plan, n: int, rng: Random, count: int) -> Iterator[Delivery]:
    """Events of earlier days that no object has delivered before."""
    for _ in range(count):
        days_ago = 1 + int(rng.random() * min(LATEST_AFTER_DAYS, n))
        yield Delivery("late", EVENT_LINE % next(_events(plan, n - days_ago, rng, 0, DAY_MS)))


def _repeated(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[Delivery]:
    """Lines that an earlier object of this day or of the days before has delivered."""
    days_ago = int(rng.random() * min(REVISITED_WITHIN_DAYS + 1, n + 1))
    if days_ago == 0 and j:
        earlier = int(rng.random() * j)
    else:
        days_ago = max(1, days_ago)
        earlier = j
    for event in _delivered(plan, n - days_ago, earlier, count):
        yield Delivery("repeated", EVENT_LINE % event)


def _corrected(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[Delivery]:
    """Events of earlier days again, with one thing changed: duration, completed, day or name."""
    days_ago = 1 + int(rng.random() * min(REVISITED_WITHIN_DAYS, n))
    for event in _delivered(plan, n - days_ago, j, count):
        roll = rng.random()
        if roll < 0.12 or not event.outcome:
            day = date.fromisoformat(event.occurred_at[:10]) + timedelta(days=1)
            what, now = "day", event._replace(occurred_at=f"{day}{event.occurred_at[10:]}")
        elif roll < 0.18:  # no longer an activity_exit: it vanishes from what counts
            what, now = "name", event._replace(name=OTHER_NAMES[0])
        elif roll < 0.6:
            what, now = "duration", event._replace(duration=_duration(rng, 600_000))
        else:
            was, is_now = ("true", "false") if ":true" in event.outcome else ("false", "true")
            what = "completed"
            now = event._replace(outcome=event.outcome.replace(was, is_now))
        yield Delivery(f"corrected: {what}", EVENT_LINE % now)


def _broken(plan: Plan, n: int, j: int, rng: Random, count: int) -> Iterator[Delivery]:
    """Unusable lines, each made from an event of its own; the kinds take turns."""
    kinds = tuple(BREAKS["events"].items())
    turn = _ordinal(plan, n, j) * 7  # by sevens, so that neighbouring objects differ
    for kind, break_line in (kinds[(turn + i) % len(kinds)] for i in range(count)):
        exits = (event for event in _events(plan, n, rng, 0, DAY_MS) if event.outcome)
        yield Delivery(f"broken: {kind}", break_line(EVENT_LINE % next(exits)))


def _delivered(plan: Plan, n: int, j: int, count: int) -> Iterator[Event]:
    """The first events that an earlier object delivered; ``j`` wraps round on a smaller day."""
    j %= plan.objects_on(n)
    return islice(_fresh(plan, n, j), min(count, _mix(plan, n, j).fresh)) if count else iter(())


def _events(plan: Plan, n: int, rng: Random, start_ms: int, span_ms: int) -> Iterator[Event]:
    """An endless stream of events of day ``n`` within a span of it: the inner loop of all."""
    day = plan.day(n).isoformat()
    players, releases = _players(plan, n), _releases(n)
    activities, outcomes = _pools(plan)
    unusual_share = plan.other_name + UNUSUAL_SHARE
    random = rng.random
    while True:
        who, device = players[int(random() * len(players))]
        minute, ms = divmod(start_ms + int(random() * span_ms), 60_000)
        event = Event(
            _uuid(rng),
            "activity_exit",
            f"{day} {CLOCK[minute]}:{ms // 1000:02d}.{ms % 1000:03d}",
            who,
            activities[int(random() * len(activities))],
            _duration(rng, 900_000),
            outcomes[int(random() * len(outcomes))],
            f',"context":{{{device}{releases[int(random() * len(releases))]}}}',
        )
        yield _unusual(event, plan, rng) if random() < unusual_share else event


def _unusual(event: Event, plan: Plan, rng: Random) -> Event:
    """Give a usable event another name, or one rare trait."""
    roll = rng.random() * (plan.other_name + UNUSUAL_SHARE)
    if roll < plan.other_name:
        return event._replace(name=_pick(rng, OTHER_NAMES), duration="", outcome="")
    trait = (roll - plan.other_name) / UNUSUAL_SHARE
    if trait < 0.3:
        offset, minutes = _pick(rng, tuple(OFFSETS.items()))
        local = datetime.fromisoformat(event.occurred_at) + timedelta(minutes=minutes)
        return event._replace(occurred_at=local.isoformat(" ", "milliseconds") + offset)
    if trait < 0.7:  # a long session
        return event._replace(duration=f',"duration":{int(rng.random() * 3600)}')
    if trait < 0.74:  # the app was left in the background
        return event._replace(duration=f',"duration":{100_000 + int(rng.random() * 90_000)}.5')
    if trait < 0.85:
        return event._replace(context="")
    return event._replace(context=f'{event.context},"experiment":{{"arm":2,"tags":["a","b"]}}')


def _duration(rng: Random, below_ms: int) -> str:
    """A duration in seconds; most are short."""
    ms = int(below_ms * rng.random() ** 4)
    return f',"duration":{ms // 1000}.{ms % 1000:03d}'


@lru_cache(maxsize=4)
def _pools(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts to draw from: activities (a few are played most) and outcomes of an event."""
    rng = _stream(plan, "pools")
    activities = tuple(
        f'"activity_id":"{_activity_id(int(rng.random() ** 2 * plan.activities))}"'
        f',"source":"{_pick(rng, SOURCES)}"'
        for _ in range(8 * plan.activities)
    )
    return activities, tuple(_outcome(rng) for _ in range(2048))


def _outcome(rng: Random) -> str:
    """Completed, collection ('' for most) and loading time in seconds (often null or absent)."""
    completed = "true" if rng.random() < 0.7 else "false"
    collection = _pick(rng, COLLECTIONS) if rng.random() < 0.12 else ""
    loading = _pick(rng, (',"loading_time":null',) * 6 + ("", "timed", "timed"))
    if loading == "timed":
        loading = f',"loading_time":{rng.random() * 5:.2f}'
    return f',"completed":{completed},"collection_id":"{collection}"{loading}'


@lru_cache(maxsize=64)
def _releases(n: int) -> tuple[str, ...]:
    """App versions in use on day ``n``: the newest most; build, or the whole part, may lack."""
    release = 10 + n // 10
    texts = [',"app":{"version":"5.%d.0","build":"%d00"}' % (r, r) for r in (release, release - 1)]
    unbuilt = [',"app":{"version":"5.%d.%d"}' % (release - back, 2 * back) for back in (0, 1, 2)]
    return (*texts[:1] * 12, *texts * 4, *unbuilt * 3, ',"app":{}', "")


# Broken lines


def _without(field: str) -> Callable[[str], str]:
    """Drop a text field from a line."""
    pattern = re.compile(rf'"{field}": ?"[^"]*",? ?')
    return lambda line: pattern.sub("", line, count=1)


def _with(field: str, value: str) -> Callable[[str], str]:
    """Put other JSON text in the place of a field's value."""
    pattern = re.compile(rf'("{field}": ?)("[^"]*"|[^,}}]+)')
    return lambda line: pattern.sub(rf"\g<1>{value}", line, count=1)


# For each dataset, the kinds of broken line and how a good line becomes one.
BREAKS: dict[str, dict[str, Callable[[str], str]]] = {
    "events": {
        "cut JSON": lambda line: line[: len(line) * 2 // 3],
        "an array": lambda line: f"[{line}]",
        "a number": lambda line: str(len(line)),
        "not UTF-8": _with("source", '"ho\udcffme"'),
        "no event_id": _without("event_id"),
        "no name": _without("name"),
        "no occurred_at": _without("occurred_at"),
        "no user_id": _without("user_id"),
        "no activity_id": _without("activity_id"),
        "event_id no uuid": _with("event_id", '"4711"'),
        "user_id no uuid": _with("user_id", '"guest"'),
        "occurred_at no day": _with("occurred_at", '"2021-02-30 10:00:00.000"'),
        "occurred_at no instant": _with("occurred_at", '"this morning"'),
        "duration negative": _with("duration", "-12.5"),
        "duration a text": _with("duration", '"two minutes"'),
        "duration not finite": _with("duration", "1e400"),
        "completed no boolean": _with("completed", '"perhaps"'),
    },
    "users": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no user_id": _without("user_id"),
        "user_id no uuid": _with("user_id", '"guest"'),
        "registration_at no instant": _with("registration_at", '"last winter"'),
        "not UTF-8": _with("country_code", '"\udce9s"'),
    },
    "activities": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no activity_id": _without("activity_id"),
        "a number": lambda line: str(len(line)),
    },
}


# Users


class User(NamedTuple):
    """One user: the record as it grows, when it is delivered, and who plays on which device."""

    registered: str  # the record at registration, as JSON text without its last brace
    milestones: tuple[tuple[int, str], ...]  # the day one is reached, what it adds to the record
    delivered_on: frozenset[int]  # arrival days; none for a user whose record never arrives
    players: tuple[tuple[str, str], ...]  # ids and device, as JSON text


def _user_records(plan: Plan, n: int) -> list[str]:
    """The users' records due on day ``n``, each as full as it is then; every fifth day one broken.

    A broken record comes besides the good one.
    """
    records = [
        user.registered + "".join(text for day, text in user.milestones if day <= n) + "}"
        for cohort_day in range(max(0, n - RECORD_DAYS), n + 1)
        for user in _cohort(plan, cohort_day)
        if n in user.delivered_on
    ]
    breaks = tuple(BREAKS["users"].values())
    if n % 5 == 2 and records:
        records.insert(1, breaks[n // 5 % len(breaks)](records[0]))
    return records


@lru_cache(maxsize=ACTIVE_DAYS + LATEST_AFTER_DAYS)
def _cohort(plan: Plan, n: int) -> tuple[User, ...]:
    """The users who register on day ``n``."""
    rng = _stream(plan, "cohort", n)
    return tuple(_user(plan, n, rng) for _ in range(max(1, _portion(plan.users, plan.days, n))))


def _user(plan: Plan, n: int, rng: Random) -> User:
    user_id = _uuid(rng)
    children = [_uuid(rng) for _ in range(_pick(rng, (0, 1, 1, 1, 1, 1, 1, 1, 2, 3)))]
    midnight = datetime.combine(plan.day(n), time())
    registration_at = midnight + timedelta(milliseconds=int(rng.random() * DAY_MS))
    record = {
        "user_id": user_id,
        "children_ids": children,
        "country_code": COUNTRIES[int(rng.random() ** 2 * len(COUNTRIES))],
        "registration_at": _instant(registration_at),
    }
    milestones = tuple(
        ((reached_at.date() - plan.first_day).days, ", " + json.dumps(gained)[1:-1])
        for reached_at, gained in _milestones(registration_at, rng)
    )
    ids = [f'"user_id":"{user_id}","child_id":"{child}"' for child in children]
    return User(
        json.dumps(record)[:-1],
        milestones,
        _delivery_days(n, [day for day, _ in milestones], rng),
        tuple((who, _device(rng)) for who in ids or [f'"user_id":"{user_id}"']),
    )


def _milestones(registration_at: datetime, rng: Random) -> Iterator[tuple[datetime, dict]]:
    """When a user reaches trial and subscription, if ever, and what the record gains."""
    if rng.random() > 0.45:
        return
    trial_start_at = registration_at + timedelta(minutes=2 + int(rng.random() ** 3 * 1_440))
    trial_end_at = trial_start_at + timedelta(days=7)
    yield (
        trial_start_at,
        {"trial_start_at": _instant(trial_start_at), "trial_end_at": _instant(trial_end_at)},
    )
    if rng.random() > 0.6:
        return
    pause = timedelta(hours=_pick(rng, (0, 0, 0, 5, 30)))
    subscription_start_at = trial_end_at + pause
    gained = {"subscription_start_at": _instant(subscription_start_at)}
    paid_days = _pick(rng, (7, 30, 30, 30, 365, None))
    if paid_days:  # without an expiry the subscription is open-ended
        expire_at = subscription_start_at + timedelta(days=paid_days)
        gained["subscription_expire_at"] = _instant(expire_at)
    yield subscription_start_at, gained


def _delivery_days(n: int, milestone_days: Sequence[int], rng: Random) -> frozenset[int]:
    """Arrival days of a record: at first, at each milestone, now and then again unchanged.

    The first delivery is a few days late for some users; of a few, nothing ever arrives.
    """
    roll = rng.random()
    if roll < 0.008:
        return frozenset()
    first = n + 1 + int(rng.random() * 4) if roll < 0.06 else n
    again = [first + 1 + int(rng.random() * 8)] if rng.random() < 0.15 else []
    return frozenset([first, *(max(first, day) for day in milestone_days), *again])


def _device(rng: Random) -> str:
    """A player's device and os, as JSON text; device_id, model and os may lack."""
    brand, model, os_name, os_versions = DEVICES[int(rng.random() ** 1.5 * len(DEVICES))]
    device = [f'"device_id":"{_uuid(rng)}"'] if rng.random() < 0.6 else []
    device.append(f'"brand":"{brand}"')
    device += [f'"model":"{model}"'] if rng.random() < 0.7 else []
    os_version = os_versions[int(rng.random() ** 2 * len(os_versions))]
    known_os = f',"os":{{"name":"{os_name}","version":"{os_version}"}}'
    return f'"device":{{{",".join(device)}}}{known_os if rng.random() > 0.02 else ""}'


@lru_cache(maxsize=LATEST_AFTER_DAYS + REVISITED_WITHIN_DAYS)
def _players(plan: Plan, n: int) -> tuple[tuple[str, str], ...]:
    """Who may play on day ``n``: a child may play before the parent has registered that day."""
    cohorts = (_cohort(plan, day) for day in range(max(0, n - ACTIVE_DAYS), n + 1))
    return tuple(player for cohort in cohorts for user in cohort for player in user.players)


# Activities


def _catalogue(plan: Plan, edition: int) -> bytes:
    """One edition of the catalogue: later ones know more activities and rename a few.

    Every 60th activity is in none, so that events of unlisted activities exist.
    """
    listed = [
        json.dumps(_activity(k, edition), ensure_ascii=False)
        for k in range(plan.activities)
        if k % 60 != 59 and not (edition == 0 and k % 30 == 13)
    ]
    breaks = tuple(BREAKS["activities"].values())
    listed.insert(len(listed) // 2, breaks[edition % len(breaks)](listed[0]))
    return _content(listed)


def _activity(k: int, edition: int) -> dict[str, str | None]:
    """Activity ``k`` as an edition knows it: half the names are null until first revised."""
    revisions = sum((k + 7 * past) % 25 == 0 for past in range(1, edition + 1))
    activity_id = _activity_id(k)
    title = activity_id.replace("_", " the ", 1).capitalize()
    kind, subtype = ACTIVITY_KINDS[activity_id.split("_")[0]]
    name = None if k % 2 and not revisions else " ".join([title, *["¡más!"] * revisions])
    return {"activity_id": activity_id, "name": name, "type": kind, "subtype": subtype}


def _activity_id(k: int) -> str:
    """The id of activity ``k``: what is done, which animal, and from the 121st on a number."""
    deeds = tuple(ACTIVITY_KINDS)
    animals_round, deed = divmod(k, len(deeds))
    level, animal = divmod(animals_round, len(ANIMALS))
    return f"{deeds[deed]}_{ANIMALS[animal]}" + (f"_{level + 1}" if level else "")


# Exercises


def exercise_tables(seed: int) -> dict[str, str]:
    """Make the three CSVs of the analytics questions: table name to text with a header.

    Grain: one activity; one event of January 2025 (only exits have duration_seconds, s, and
    completed); one subscription (USD), a few outside that January, some users without events.
    """
    rng = Random(f"{seed}/exercises")
    activities = [f"deed-{k}" for k in range(1, 13)]
    themes, tiers = ("Nature", "Numbers", "Music", "Stories"), ("basic", "plus", "family")
    first = datetime(2025, 1, 1, tzinfo=UTC)
    events = []
    for k in range(1, 161):
        at = first + timedelta(seconds=int(rng.random() * 31 * 86_400))
        # the last of 13 ids is of no listed activity; users 70001 to 70016 may subscribe too
        activity = [*activities, "deed-99"][int(rng.random() * 12.3)]
        is_exit = rng.random() < 0.75
        measures = f"{int(rng.random() ** 2 * 600)},{_pick(rng, ('true', 'true', 'false'))}"
        events.append(
            f"play-{k:04d},{70_001 + int(rng.random() * 30)},{activity},"
            f"activity_{'exit' if is_exit else 'enter'},{at:%Y-%m-%d %H:%M:%S},"
            f"{measures if is_exit else ','}"
        )
    subscriptions = [
        f"{70_015 + k if k > 11 else 70_001 + k},{first + timedelta(days=k * 2 - 3):%Y-%m-%d},"
        f"{_pick(rng, ('ios_store', 'android_store', 'web'))},{_pick(rng, ('5.49', '44.90'))}"
        for k in range(20)
    ]
    tables = {
        "activities": [
            "activity_id,activity_name,theme,price_tier",
            *(
                f"{activity},{ANIMALS[k % 10].capitalize()} number {k},{themes[k % 4]},{tiers[k % 3]}"
                for k, activity in enumerate(activities)
            ),
        ],
        "activity_events": [
            "event_id,user_id,activity_id,event_type,created_at,duration_seconds,completed",
            *events,
        ],
        "subscriptions": ["user_id,subscription_date,platform,price_usd", *subscriptions],
    }
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


# Chance, keys and bytes


def _stream(plan: Plan, *name: object) -> Random:
    """A random stream of its own for each name: nothing depends on what was drawn elsewhere."""
    return Random("/".join(map(str, (plan.seed, *name))))


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def _uuid(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _instant(at: datetime) -> str:
    return at.isoformat(" ", "microseconds")


def _portion(total: int, parts: int, k: int) -> int:
    """The ``k``-th of nearly equal whole parts of ``total``; goes on past the last part."""
    return (k + 1) * total // parts - k * total // parts


def _ordinal(plan: Plan, n: int, j: int) -> int:
    """The place of an object among all event objects of the plan, from 0."""
    return n * plan.event_objects // plan.days + j


def _hour(plan: Plan, n: int, j: int) -> int:
    """The hour in which object ``j`` of day ``n`` lands: when the span of its events ends."""
    return min(23, (j + 1) * 24 // plan.objects_on(n))


def _key(plan: Plan, n: int, hour: int, name: str) -> str:
    return f"{plan.day(n)}/{hour:02d}/{name}"


def _content(lines: Sequence[str], line_end: str = "\n", is_ended: bool = True) -> bytes:
    text = line_end.join(lines) + (line_end if is_ended else "")
    return text.encode("utf-8", "surrogateescape")


def _gzipped(content: bytes) -> bytes:
    """Compress with neither time nor name in the header (``gzip.compress`` varies by Python)."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def _as_day(folder: str) -> date | None:
    try:
        return date.fromisoformat(folder)
    except ValueError:
        return None


def _write(root: Path, name: str, content: bytes) -> None:
    """Write aside, out of any dataset's sight, then rename: a reader never meets half an object."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = root / f".arriving-{os.getpid()}"
    aside.write_bytes(content)
    aside.replace(path)
