"""The events: fresh, late, repeated, corrected and broken lines, in objects."""

import gzip
import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from random import Random

from lingokids.sample.activities import activity_id_of
from lingokids.sample.breaks import BREAKS, put
from lingokids.sample.plan import LATEST_AFTER_DAYS, Plan, encode_lines, pick, portion, stream
from lingokids.sample.users import players_on

REVISITED_WITHIN_DAYS = 6  # a repeat or a correction follows within this many days
UNUSUAL_SHARE = 0.035  # share of usable event lines that have a rare trait (see `_unusual`)
BLANK_SHARE, UNENDED_SHARE = 0.05, 0.05  # of objects: with a blank line; without a last line end

# Each of these befalls one object, known by its place among all event objects of the plan.
MARKED_OBJECT, CRLF_OBJECT, EMPTY_OBJECT, ODDLY_NAMED_OBJECT = 41, 97, 143, 211

OTHER_NAMES = ("activity_enter", "activity_pause", "app_open")
COLLECTIONS = ("river_walk", "bedtime_box", "kitchen_lab", "snow_week", "first_numbers")
SOURCES = ("home", "home", "search", "suggestion", "collection")
OFFSETS = ((120, "+02:00"), (-300, "-05:00"), (330, "+05:30"))  # minutes ahead of UTC, as text


def deliveries(plan: Plan, n: int, j: int) -> list[tuple[str, str]]:
    """Make the lines of event object ``j`` of day ``n``, each with its kind.

    Returns:
        Pairs of kind and line; the kinds are ``fresh``, ``late``, ``repeated``,
        ``corrected: …`` (see `_corrected`), ``broken: …`` (see `BREAKS`) and ``blank``.
    """
    counts = _counts(plan, n, j)
    rng = stream(plan, "other lines", n, j)
    lines = [("fresh", line) for line in islice(_fresh(plan, n, j), counts["fresh"])]
    for other in (
        *_late(plan, n, rng, counts["late"]),
        *_repeated(plan, n, j, rng, counts["repeated"]),
        *_corrected(plan, n, j, rng, counts["corrected"]),
        *_broken(plan, n, j, rng, counts["broken"]),
        *((("blank", pick(rng, ("", "  "))),) if rng.random() < BLANK_SHARE else ()),
    ):
        lines.insert(int(rng.random() * (len(lines) + 1)), other)
    return lines


def event_object(plan: Plan, n: int, j: int) -> tuple[str, bytes]:
    """Make the key and content of one event object, with its oddities."""
    rng = stream(plan, "object", n, j)
    is_ended = rng.random() >= UNENDED_SHARE
    place, name = plan.place(n, j), f"events-{j:04d}.jsonl"
    line_end = "\r\n" if place == CRLF_OBJECT else "\n"
    content = encode_lines([line for _, line in deliveries(plan, n, j)], line_end, is_ended)
    if place == MARKED_OBJECT:
        content = b"\xef\xbb\xbf" + content
    elif place == ODDLY_NAMED_OBJECT:
        name = f"events-{j:04d} sent%20again.jsonl"  # a space, and a % that must not be decoded
    elif place != CRLF_OBJECT and rng.random() < plan.gzip_share:
        name, content = f"{name}.gz", _gzipped(content)
    return plan.key(n, j, name), content


def _gzipped(content: bytes) -> bytes:
    """Compress with neither time nor name in the header, the same in each Python."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


@lru_cache(maxsize=1024)
def _counts(plan: Plan, n: int, j: int) -> dict[str, int]:
    """How many lines of each kind an object has; the first revisits nothing."""
    rng = stream(plan, "counts", n, j)
    lines = left = portion(portion(plan.events, plan.days, n), plan.objects_on(n), j)
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
    """Events that happened shortly before object ``j`` landed, on the same day."""
    span = 24 * 60 / plan.objects_on(n)
    return _events(plan, n, stream(plan, "fresh", n, j), j * span, span)


def _first_delivered(plan: Plan, n: int, j: int, count: int) -> Iterator[str]:
    """The first events of an earlier object; ``j`` wraps round on a smaller day."""
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
    """Earlier events again, with another day, name, duration or completed."""
    days_ago = 1 + int(rng.random() * min(REVISITED_WITHIN_DAYS, n))
    for line in _first_delivered(plan, n - days_ago, j, count) if count else ():
        roll = rng.random()
        if roll < 0.12 or '"completed"' not in line:
            yield "corrected: day", _shift(line, minutes=24 * 60)
        elif roll < 0.18:  # no longer an activity_exit: it vanishes from what counts
            yield "corrected: name", put(line, "name", f'"{OTHER_NAMES[0]}"')
        elif roll < 0.6:
            yield "corrected: duration", put(line, "duration", f"{rng.random() * 300:.3f}")
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
    """An endless stream of events in a span of day ``n``, in minutes."""
    day = plan.day(n).isoformat()
    players, releases = players_on(plan, n), _releases(n)
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
        named = line.replace("activity_exit", pick(rng, OTHER_NAMES), 1)
        return re.sub(r',"duration":[^}]*', "", named)
    trait = (roll - plan.other_name) / UNUSUAL_SHARE
    if trait < 0.3:
        return _shift(line, *pick(rng, OFFSETS))
    if trait < 0.7:  # a long session
        return put(line, "duration", str(int(rng.random() * 3600)))
    if trait < 0.75:  # the app was left in the background
        return put(line, "duration", f"{100_000 + int(rng.random() * 90_000)}.5")
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
    """JSON text to draw from: clock minutes, seconds, activities, measures.

    Measures are duration (s; most are short), completed, collection_id ('' for most) and
    loading_time (s; often null or absent). A few activities are played most.
    """
    rng = stream(plan, "pools")
    clock = [f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60)]
    seconds = [f"{rng.random() * 59.999:06.3f}" for _ in range(2**12)]
    activities = [
        f'"activity_id":"{activity_id_of(int(rng.random() ** 2 * plan.activities))}"'
        f',"source":"{pick(rng, SOURCES)}"'
        for _ in range(2**12)
    ]
    measures = [
        f',"duration":{900 * rng.random() ** 4:.3f}'
        f',"completed":{"true" if rng.random() < 0.7 else "false"}'
        f',"collection_id":"{pick(rng, COLLECTIONS) if rng.random() < 0.12 else ""}"'
        + pick(rng, (',"loading_time":null',) * 6 + ("", f',"loading_time":{rng.random():.2f}'))
        for _ in range(2**14)
    ]
    return clock, seconds, activities, measures


@lru_cache(maxsize=64)
def _releases(n: int) -> list[str]:
    """32 texts of app versions in use on day ``n``, the newest most often."""
    newest = 10 + n // 10
    built = [f',"app":{{"version":"5.{r}.0","build":"{r}00"}}' for r in (newest, newest - 1)]
    unbuilt = [f',"app":{{"version":"5.{newest - back}.{back}"}}' for back in range(3)]
    return [*built * 6, *built[:1] * 6, *unbuilt * 4, ',"app":{}', ""]
