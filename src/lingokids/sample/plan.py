"""How much is delivered; days, objects and keys; random streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import TypeVar

T = TypeVar("T")

LATEST_AFTER_DAYS = 10  # a late event lands 1 to this many days after it happened


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
        return max(1, portion(self.event_objects, self.days, n))

    def place(self, n: int, j: int) -> int:
        """The place of an object among all event objects, from 0."""
        return n * self.event_objects // self.days + j

    def key(self, n: int, j: int, name: str) -> str:
        """The object key: arrival day, and the hour in which object ``j`` lands."""
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


def stream(plan: Plan, *name: object) -> Random:
    """A random stream of its own for each name."""
    return Random("/".join(map(str, (plan.seed, *name))))


def pick(rng: Random, options: Sequence[T]) -> T:
    """One of the options, each as likely as another."""
    return options[int(rng.random() * len(options))]


def uuid_text(rng: Random) -> str:
    """A random UUID of version 4."""
    x = f"{rng.getrandbits(128):032x}"
    return f"{x[:8]}-{x[8:12]}-4{x[13:16]}-a{x[17:20]}-{x[20:]}"


def instant(at: datetime) -> str:
    """An instant as the app writes it: UTC to the microsecond, without an offset."""
    return at.isoformat(" ", "microseconds")


def portion(total: int, parts: int, k: int) -> int:
    """The ``k``-th of nearly equal whole parts of ``total``, past the last too."""
    return (k + 1) * total // parts - k * total // parts


def encode_lines(lines: Sequence[str], line_end: str = "\n", is_ended: bool = True) -> bytes:
    """The content of an object; the last line has an end if ``is_ended``."""
    # line by line: one letter outside ASCII would slow the encoding of a joined text fivefold
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    return line_end.encode().join(encoded if not is_ended else [*encoded, b""])
