"""The parameters ``checks``, parsed and validated."""

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
    """The parameters ``checks``.

    Attributes:
        table: The table to check; None: all.
        rule: The rule to check; None: all.
        now: The clock for freshness; None: freshness is not checked.
        most_deviation: Robust z-score above which a day is an outlier.
        severities: Overridden severities, by ``table.rule``.
    """

    table: str | None
    rule: str | None
    now: datetime | None
    most_deviation: float
    severities: dict[str, str]

    def severity_of(self, table_name: str, rule: Rule) -> str:
        """The rule's severity in this run."""
        return self.severities.get(f"{table_name}.{rule.name}", rule.severity)

    def rules_of(self, table_name: str) -> list[Rule]:
        """The table's rules that are not turned off."""
        return [
            rule
            for rule in schema.CONTRACTS[table_name].rules
            if self.severity_of(table_name, rule) != OFF
        ]

    def selected_rules(self, table_name: str) -> list[Rule]:
        """Those of them selected by ``table`` and ``rule``, for checks on demand."""
        if self.table not in (None, table_name):
            return []
        return [rule for rule in self.rules_of(table_name) if self.rule in (None, rule.name)]


def parse_options(parameters: dict[str, Any]) -> CheckOptions:
    """Parse the parameters ``checks``.

    Raises:
        LingokidsError: An unknown table or rule, or an invalid value.
    """
    table, rule = parameters["table"], parameters["rule"]
    if table is not None:
        _refuse_unknown("checks.table", table, schema.STORED)
    if rule is not None:
        _refuse_unknown_rule(rule, table)
    options = CheckOptions(
        table=table,
        rule=rule,
        now=_parse_instant("checks.now", parameters["now"]),
        most_deviation=_parse_deviation(parameters["most_deviation"]),
        severities=_parse_severities(parameters["severities"]),
    )
    _refuse_to_check_nothing(options)
    return options


def _refuse_unknown(name: str, value: object, known: Any) -> None:
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise LingokidsError(
            f"{name} is {value!r}, and there is none of that name.{hint} See "
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


def _refuse_to_check_nothing(options: CheckOptions) -> None:
    """Refuse a selection without rules: it would look like success."""
    if options.table is None and options.rule is None:
        return
    rules = [rule for name in schema.STORED for rule in options.selected_rules(name)]
    if not rules:
        raise LingokidsError(
            f"checks.severities turns off all that is asked for ({options.rule or options.table}): "
            "remove it there, or select another rule."
        )
    if options.now is None and all(isinstance(rule, Fresh) for rule in rules):
        raise LingokidsError(
            f"checks.rule={options.rule} needs a clock: add the instant to compare with, "
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
