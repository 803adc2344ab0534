"""What an operator may ask of the checks, and tune: the parameters ``checks``.

Here: reading and refusing them. Elsewhere: what they do (``inspection``), the other parameters
(``lingokids.schema.parameters``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lingokids import schema
from lingokids.errors import LingokidsError, did_you_mean
from lingokids.schema import ERROR, OFF, WARN, Fresh, Rule

SEVERITIES = (ERROR, WARN, OFF)


@dataclass(frozen=True)
class CheckOptions:
    """The parameters ``checks``, read.

    Attributes:
        table: The one table to check, or None: all.
        rule: The one rule to check, or None: all.
        now: The clock for freshness, or None: freshness is not checked.
        most_deviation: Robust z-score from which a day counts as unusual.
        severities: Severity by ``table.rule``, where it is not the rule's own.
    """

    table: str | None
    rule: str | None
    now: datetime | None
    most_deviation: float
    severities: dict[str, str]

    def severity_of(self, table_name: str, rule: Rule) -> str:
        """How much a broken rule matters in this run."""
        return self.severities.get(f"{table_name}.{rule.name}", rule.severity)

    def rules_of(self, table_name: str) -> list[Rule]:
        """The rules of a table that are not turned off."""
        return [
            rule
            for rule in schema.CONTRACTS[table_name].rules
            if self.severity_of(table_name, rule) != OFF
        ]

    def asked_rules_of(self, table_name: str) -> list[Rule]:
        """Those of them that are asked for, when whole tables are checked."""
        if self.table not in (None, table_name):
            return []
        return [rule for rule in self.rules_of(table_name) if self.rule in (None, rule.name)]


def parse_options(parameters: dict[str, Any]) -> CheckOptions:
    """Read the ``checks`` parameters, so that a wrong one is refused before anything runs.

    Raises:
        LingokidsError: There is no such table or rule, or a value is not of its kind.
    """
    table, rule = parameters["table"], parameters["rule"]
    if table is not None:
        _refuse_unknown("checks.table", table, schema.STORED)
    if rule is not None:
        _refuse_unknown_rule(rule, table)
    asked = CheckOptions(
        table=table,
        rule=rule,
        now=_parse_instant("checks.now", parameters["now"]),
        most_deviation=_parse_deviation(parameters["most_deviation"]),
        severities=_parse_severities(parameters["severities"]),
    )
    _refuse_to_check_nothing(asked)
    return asked


def _refuse_unknown(name: str, value: object, known: Any) -> None:
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise LingokidsError(
            f"{name} is {value!r}, and there is none of that name.{hint} They stand in "
            "src/lingokids/schema/README.md."
        )


def _refuse_unknown_rule(rule: object, table: str | None) -> None:
    having = [
        name
        for name, contract in schema.STORED.items()
        if rule in {known.name for known in contract.rules}
    ]
    if having and table not in (None, *having):
        raise LingokidsError(
            f"checks.rule is {rule!r}, and {table} has no such rule: it is one of "
            f"{', '.join(having)}. Name one of them as checks.table, or leave that out."
        )
    if not having:
        tables = schema.STORED if table is None else {table: schema.STORED[table]}
        names = {known.name for contract in tables.values() for known in contract.rules}
        _refuse_unknown("checks.rule", rule, names)


def _refuse_to_check_nothing(asked: CheckOptions) -> None:
    """An answer that nothing is wrong would be one that nobody looked for."""
    if asked.table is None and asked.rule is None:
        return
    rules = [rule for name in schema.STORED for rule in asked.asked_rules_of(name)]
    if not rules:
        raise LingokidsError(
            f"checks.severities turns off all that is asked for ({asked.rule or asked.table}): "
            "leave it out there, or ask for another rule."
        )
    if asked.now is None and all(isinstance(rule, Fresh) for rule in rules):
        raise LingokidsError(
            f"checks.rule={asked.rule} needs a clock: give the instant to compare with as well, "
            "such as checks.now=2021-02-01T12:00:00 (UTC)."
        )


def _parse_instant(name: str, value: object) -> datetime | None:
    if value is None or (isinstance(value, datetime) and value.tzinfo is None):
        return value
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is not None:
        raise LingokidsError(f"{name} is {value!r}: write a UTC instant as YYYY-MM-DDTHH:MM:SS.")
    return instant


def _parse_deviation(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise LingokidsError(f"checks.most_deviation is {value!r}: write a number above 0.")


def _parse_severities(value: object) -> dict[str, str]:
    # --params a.b=c gives a mapping in a mapping; a file may have either
    flat = _flat(value) if isinstance(value, dict) else None
    if flat is None or not all(severity in SEVERITIES for severity in flat.values()):
        raise LingokidsError(
            f"checks.severities is {value!r}: write rules with one of {', '.join(SEVERITIES)}, "
            "such as {stg_users.country_code_matches: error}."
        )
    if flat:
        known = {
            f"{table}.{rule.name}"
            for table, contract in schema.STORED.items()
            for rule in contract.rules
        }
        for name in flat:
            _refuse_unknown("A name in checks.severities", name, known)
    return flat


def _flat(value: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, severity in value.items():
        if isinstance(severity, dict):
            flat |= {f"{name}.{rule}": of_rule for rule, of_rule in severity.items()}
        else:
            flat[name] = severity
    return flat
