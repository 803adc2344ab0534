"""A question about metrics, validated when it is made."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date

from lingokids.errors import LingokidsError, did_you_mean
from lingokids.metrics.definitions import METRICS
from lingokids.metrics.dimensions import GRAINS
from lingokids.metrics.subjects import SUBJECTS, Subject

#: The dimensions whose values are free text.
WITH_COMMAS = ("activity_name",)
MOST_ROWS = 1_000_000


@dataclass(frozen=True)
class Question:
    """Metrics, and how to group, filter and limit them.

    Attributes:
        metrics: Names of ``METRICS``, all of one subject, in the order of the answer's columns.
        by: Dimensions of the subject to group by.
        grain: A name of ``GRAINS``: one row per period; None: the whole span in one row.
        where: By dimension, the values to keep.
        since: First day; None: no limit.
        until: The day after the last; None: no limit.
        top: Keep this many rows per period, those with the greatest first metric.
        per: Dimensions of ``by`` within whose values ``top`` applies.

    Raises:
        LingokidsError: A name is unknown, or a value invalid.
    """

    metrics: tuple[str, ...]
    by: tuple[str, ...] = ()
    grain: str | None = None
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    top: int | None = None
    per: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("metrics", "by", "per"):
            _refuse_text(name, getattr(self, name))
        for name, values in self.where.items():
            _refuse_text(f"where[{name!r}]", values)
        # a value named twice is one value
        where = {name: tuple(dict.fromkeys(values)) for name, values in self.where.items()}
        object.__setattr__(self, "where", where)
        if not self.metrics:
            raise LingokidsError(f"No metric is given: name one of {', '.join(METRICS)}.")
        _refuse_unknown("metric", self.metrics, METRICS)
        _refuse_two_subjects(self.metrics)
        _refuse_dimensions_of_others(self.metrics[0], (*self.by, *self.where))
        _refuse_unknown("dimension", (*self.by, *self.where), self.subject.dimensions)
        _refuse_unknown("grain", [self.grain] if self.grain is not None else [], GRAINS)
        _refuse_twice(self.metrics)
        _refuse_twice(self.by)
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise LingokidsError(
                f"until is {self.until}, not after since, {self.since}: it is the day after the "
                "last one that counts."
            )
        if self.top is not None and not 1 <= self.top <= MOST_ROWS:
            raise LingokidsError(
                f"top is {self.top}: write a whole number of rows, from 1 to {MOST_ROWS:,}."
            )
        for name in self.per:
            if name not in self.by:
                raise LingokidsError(
                    f"per is {name}, which is not in by: add it to by"
                    + (f" ({', '.join(self.by)})." if self.by else ".")
                )
        if self.per and self.top is None:
            raise LingokidsError("per says within what top counts: give top as well.")

    @property
    def subject(self) -> Subject:
        """What the metrics are about."""
        return METRICS[self.metrics[0]].subject

    @property
    def period(self) -> tuple[str, ...]:
        """The period's column, named after the grain, if there is one."""
        return (self.grain,) if self.grain else ()


def parse_where(conditions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``dimension=value``; a dimension given twice may have either value.

    A comma is refused, because it is meant as a list: only titles contain one.

    Raises:
        LingokidsError: A condition has another form.
    """
    where: dict[str, tuple[str, ...]] = {}
    for condition in conditions:
        name, equals, value = (part.strip() for part in condition.partition("="))
        if not (name and equals and value):
            raise LingokidsError(
                f"where is {condition!r}: write dimension=value, such as os_name=iOS."
            )
        if "," in value and name not in WITH_COMMAS:
            each = " ".join(f"--where {name}={part.strip()}" for part in value.split(","))
            raise LingokidsError(
                f"where is {condition!r}: write each value by itself, {each}; either then counts."
            )
        where[name] = (*where.get(name, ()), value)
    return where


def _refuse_unknown(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise LingokidsError(
                f"There is no {kind} {name}.{did_you_mean(name, known)} There are: "
                f"{', '.join(known)}."
            )


def _refuse_dimensions_of_others(metric: str, names: Iterable[str]) -> None:
    """Refuse a dimension of another subject, and say of which."""
    subject = METRICS[metric].subject
    for name in names:
        having = [other.name for other in SUBJECTS if name in other.dimensions]
        if having and name not in subject.dimensions:
            raise LingokidsError(
                f"{metric} is about {subject.name}, which has no dimension {name} (metrics about "
                f"{' and '.join(having)} have it).{did_you_mean(name, subject.dimensions)} "
                f"There are: {', '.join(subject.dimensions)}."
            )


def _refuse_two_subjects(metrics: tuple[str, ...]) -> None:
    first = metrics[0]
    for name in metrics:
        if METRICS[name].subject is not METRICS[first].subject:
            raise LingokidsError(
                f"{first} is about {METRICS[first].subject.name}, {name} about "
                f"{METRICS[name].subject.name}: ask for one after the other."
            )


def _refuse_text(name: str, given: object) -> None:
    if isinstance(given, str):
        raise LingokidsError(f"{name} is the text {given!r}: write a tuple of names, ({given!r},).")


def _refuse_twice(names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise LingokidsError(f"{name} is given twice: leave one out.")
