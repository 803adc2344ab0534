"""Which rules to check on demand; ``lingokids.checks`` checks them."""

from __future__ import annotations

from typing import Any

from lingokids import checks, schema


def find_due_checks(parameters: dict[str, Any]) -> dict[str, list[str]]:
    """List the rules to check, by table.

    Args:
        parameters: The parameters ``checks``: one table, one rule, or all.
    """
    options = checks.parse_options(parameters)
    return {name: [rule.name for rule in options.selected_rules(name)] for name in schema.STORED}
