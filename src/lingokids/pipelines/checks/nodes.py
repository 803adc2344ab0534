"""Checks: which rules of which tables are to be checked.

The rules stand in ``schema``, how they are checked and what is kept of it in ``checks``: checking
is part of every run, not of this pipeline alone.
"""

from __future__ import annotations

from typing import Any

from lingokids import checks, schema


def find_due_checks(parameters: dict[str, Any]) -> dict[str, list[str]]:
    """List the rules that the run is asked to check, by table.

    Args:
        parameters: The ``checks`` parameters: one table, one rule, or all.
    """
    asked = checks.parse_options(parameters)
    return {name: [rule.name for rule in asked.asked_rules_of(name)] for name in schema.STORED}
