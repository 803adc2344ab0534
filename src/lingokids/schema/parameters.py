"""What an operator may tune: the type and the limits of every parameter.

There is one model for each group of ``conf/base/parameters.yml``, which has the defaults and says
what they mean. A node that asks for a group (``reporting: Reporting``) gets its model from Kedro,
one that asks for a single parameter gets what was written, once all of them are checked.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lingokids import schema
from lingokids.errors import LingokidsError, did_you_mean
from lingokids.schema.days import time_zones
from lingokids.schema.rules import OFF, KeysKnown, MostlyUsable, Rule

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic_core import ErrorDetails

DIMENSIONS = schema.ENGAGEMENT_GRAIN[1:]


class Group(BaseModel):
    """Parameters that belong together: no other names, and no type for another (true is not 1)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls, given: object) -> Self:
        """Check what the files and the command line give.

        Raises:
            LingokidsError: A name is unknown, or a value is not what its parameter takes.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise LingokidsError(_sentence(cls, error.errors()[0])) from None


def _sentence(group: Any, error: ErrorDetails) -> str:
    """Say which parameter is wrong, what it is, and what its description says to write."""
    path = ".".join(str(part) for part in error["loc"])
    prefix, description = "", None
    for part in error["loc"]:
        if (field := group.model_fields.get(part)) is None:
            break
        description = field.description
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Group)):
            break
        group, prefix = field.annotation, f"{prefix}{part}."
    names = ", ".join(f"{prefix}{name}" for name in group.model_fields)
    match error["type"]:
        case "extra_forbidden":
            hint = did_you_mean(str(error["loc"][-1]), group.model_fields, prefix)
            return (
                f"There is no parameter {path}.{hint} There are: {names}. See "
                "conf/base/parameters.yml."
            )
        case "missing":
            return f"{path} is not given: write it in conf/base/parameters.yml."
        case "model_type":
            return f"{path} is a group of parameters: give one of {names}."
    return f"{path} is {error['input']!r}: write {description}."


def _whole(of: str, least: int, most: int) -> Any:
    """The limits of a whole number, and how they are said."""
    reach = f"from {least:,} to {most:,}"
    return Field(ge=least, le=most, description=f"a whole number of {of}, {reach}")


def to_day(value: object) -> date | None:
    """The day that is written YYYY-MM-DD, or None."""
    if value is None:
        return None
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):  # fromisoformat takes 20210105 as well
        raise ValueError
    return date.fromisoformat(str(value))


def _to_instant(value: object) -> datetime | None:
    instant = None if value is None else datetime.fromisoformat(str(value))
    if instant is not None and instant.tzinfo is not None:
        raise ValueError
    return instant


def _check_month(value: str) -> str:
    date.fromisoformat(f"{value}-01")
    return value


def _check_time_zone(value: str) -> str:
    if value != "UTC" and value not in (known := time_zones()):
        raise LingokidsError(
            f"time_zone is {value!r}, and there is none of that name.{did_you_mean(value, known)} "
            "Write an IANA name, such as America/Los_Angeles."
        )
    return value


def _to_dimensions(value: object) -> list[Any]:
    names = value if isinstance(value, list) else [value]
    if not names or any(name not in DIMENSIONS or names.count(name) > 1 for name in names):
        raise ValueError
    return names


def _flat(value: object) -> object:
    """One mapping: ``--params a.b=c`` gives a mapping in a mapping, and a file may have either."""
    if not isinstance(value, dict):
        return value
    flat: dict[Any, Any] = {}
    for name, given in value.items():
        inner = _flat(given)
        flat |= (
            {f"{name}.{key}": each for key, each in inner.items()}
            if isinstance(inner, dict)
            else {name: inner}
        )
    return flat


def _to_severities(value: object) -> object:
    value = _flat(value)
    if not isinstance(value, dict):
        return value
    # YAML reads an unquoted off as false
    return {name: OFF if severity is False else severity for name, severity in value.items()}


_SHARE = Field(gt=0, le=1, description="a share above 0, up to 1")
Day = Annotated[date | None, BeforeValidator(to_day), Field(description="a day as YYYY-MM-DD")]


class Window(Group):
    """The days to rebuild on purpose: ``[start, end)``; an end that is not set is open.

    They are rebuilt besides what is due, never instead of it: a run with a window leaves nothing
    behind.
    """

    start: Day = None
    end: Day = None
    lookback_days: Annotated[int, _whole("days", 0, 3_660)] = 0

    @model_validator(mode="after")
    def _refuse_no_days(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise LingokidsError(
                f"window.end is {self.end}, not after window.start, {self.start}: the end is the "
                f"day after the last one; for one day write window.start={self.start},"
                f"window.end={self.start + timedelta(days=1)}."
            )
        return self

    @property
    def is_open(self) -> bool:
        """Whether no span is asked for: only what is due is rebuilt."""
        return self.start is None and self.end is None


class Listing(Group):
    """Which raw objects a run looks for."""

    since: Day = None


class Instants(Group):
    """Which instants are plausible: the clocks of tablets are wrong at times."""

    earliest: Annotated[date, BeforeValidator(to_day), Field(description="a UTC day as YYYY-MM-DD")]
    days_ahead: Annotated[int, _whole("days", 0, 3_660)]


class Reporting(Group):
    """What charts and the dashboard show."""

    weeks: Annotated[int, _whole("weeks", 1, 522)]
    dimensions: Annotated[
        list[str],
        BeforeValidator(_to_dimensions),
        Field(description=f"a list of names out of {', '.join(DIMENSIONS)}, each once"),
    ]


class SubscriptionImpact(Group):
    """Whose subscriptions, and how many days before and after them, are compared."""

    month: Annotated[str, AfterValidator(_check_month), Field(description="a month as YYYY-MM")]
    days: Annotated[int, _whole("days", 0, 3_660)]


class Checks(Group):
    """Which rules are checked, and how much a broken one matters."""

    table: Annotated[str | None, Field(description="the name of a table, or leave it out")] = None
    rule: Annotated[str | None, Field(description="the name of a rule, or leave it out")] = None
    now: Annotated[
        datetime | None,
        BeforeValidator(_to_instant),
        Field(description="a UTC instant as YYYY-MM-DDTHH:MM:SS"),
    ] = None
    unusable_warn: Annotated[float, _SHARE]
    unusable_error: Annotated[float, _SHARE]
    known_keys: Annotated[
        dict[str, Literal["text", "number", "boolean", "object", "array", "null"]],
        BeforeValidator(_flat),
        Field(
            description="keys with one of text, number, boolean, object, array, null, such as "
            "{events.experiment: object}"
        ),
    ]
    most_deviation: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="a number above 0")
    ]
    severities: Annotated[
        dict[str, Literal["error", "warn", "off"]],
        BeforeValidator(_to_severities),
        Field(
            description="rules with one of error, warn, off, such as "
            "{stg_users.country_code_matches: error}"
        ),
    ]

    @model_validator(mode="after")
    def _refuse_unknown_names(self) -> Self:
        rules = {name: [rule.name for rule in of.rules] for name, of in schema.STORED.items()}
        if self.table is not None:
            _refuse_unknown("checks.table", self.table, rules)
        having = [table for table in rules if self.rule in rules[table]]
        if self.rule is not None and not having:
            tables = rules if self.table is None else [self.table]
            _refuse_unknown("checks.rule", self.rule, {name for of in tables for name in rules[of]})
        if having and self.table not in (None, *having):
            raise LingokidsError(
                f"checks.rule is {self.rule!r}, and {self.table} has no such rule: it is one of "
                f"{', '.join(having)}. Name one of them as checks.table, or leave that out."
            )
        full_names = {f"{table}.{name}" for table in rules for name in rules[table]}
        for name in self.severities:
            _refuse_unknown("A name in checks.severities", name, full_names)
        for name in self.known_keys:
            _refuse_unknown("A dataset in checks.known_keys", name.partition(".")[0], schema.FIELDS)
        return self

    @model_validator(mode="after")
    def _refuse_to_check_nothing(self) -> Self:
        """Refuse a selection without rules: it would look like success."""
        if self.table is None and self.rule is None:
            return self
        rules = [rule for name in schema.STORED for rule in self.selected_rules(name)]
        if not rules:
            raise LingokidsError(
                f"checks.severities turns off all that is asked for ({self.rule or self.table}): "
                "remove it there, or select another rule."
            )
        return self

    def severity_of(self, table_name: str, rule: Rule) -> str:
        """The rule's severity in this run."""
        return self.severities.get(f"{table_name}.{rule.name}", rule.severity)

    def rules_of(self, table_name: str) -> list[Rule]:
        """The table's rules that are not turned off."""
        return [
            self._with_limits(rule)
            for rule in schema.CONTRACTS[table_name].rules
            if self.severity_of(table_name, rule) != OFF
        ]

    def _with_limits(self, rule: Rule) -> Rule:
        match rule:
            case MostlyUsable() if rule.limit:
                return replace(rule, share=getattr(self, rule.limit))
            case KeysKnown():
                return replace(rule, known=self.known_keys)
        return rule

    def selected_rules(self, table_name: str) -> list[Rule]:
        """Those of them selected by ``table`` and ``rule``, for checks on demand."""
        if self.table not in (None, table_name):
            return []
        return [rule for rule in self.rules_of(table_name) if self.rule in (None, rule.name)]


def _refuse_unknown(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise LingokidsError(
            f"{name} is {value!r}, and there is none of that name.{did_you_mean(value, known)} "
            "See src/lingokids/schema/README.md."
        )


class LinesDays(Group):
    """For how many days lines of each raw dataset are kept, from when their object landed."""

    events: Annotated[int | None, _whole("days", 1, 36_500)]
    users: Annotated[int | None, _whole("days", 1, 36_500)]
    activities: Annotated[int | None, _whole("days", 1, 36_500)]


class Retention(Group):
    """For how long what is no longer needed is kept."""

    texts_days: Annotated[int | None, _whole("days", 0, 36_500)]
    lines_days: LinesDays
    pages_days: Annotated[int | None, _whole("days", 0, 36_500)]
    raw_days: Annotated[int | None, _whole("days", 1, 36_500)]


class Parameters(Group):
    """All parameters, in the order of ``conf/base/parameters.yml``."""

    window: Window
    rebuild: Annotated[
        Literal["bronze", "raw"] | None,
        Field(
            description="rebuild=bronze (silver and gold anew from bronze), rebuild=raw "
            "(everything anew from the raw objects), or leave it out"
        ),
    ] = None
    listing: Listing
    instants: Instants
    time_zone: Annotated[
        str,
        AfterValidator(_check_time_zone),
        Field(description="the IANA name of a time zone, such as America/Los_Angeles"),
    ]
    os_names: Annotated[
        dict[str, str],
        Field(description="spellings with the name to count them under, such as {iPhone OS: iOS}"),
    ]
    duration_cap_seconds: Annotated[int, _whole("seconds", 1, 86_400)]
    session_gap_minutes: Annotated[int, _whole("minutes", 1, 1_440)]
    smallest_group: Annotated[int, _whole("users", 1, 1_000_000)]
    largest_share: Annotated[float, _SHARE]
    reporting: Reporting
    subscription_impact: SubscriptionImpact
    checks: Checks
    retention: Retention

    @model_validator(mode="after")
    def _refuse_to_leave_objects_out(self) -> Self:
        if self.rebuild == "raw" and self.listing.since:
            raise LingokidsError(
                f"rebuild=raw takes in every raw object, and listing.since={self.listing.since} "
                "would leave out those of earlier days: leave one of them out."
            )
        return self
