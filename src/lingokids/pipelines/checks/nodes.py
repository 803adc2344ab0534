"""Which rules to check on demand; ``lingokids.checks`` checks them."""

from __future__ import annotations

from lingokids import schema
from lingokids.schema.parameters import Checks


def find_due_checks(checks: Checks) -> dict[str, list[str]]:
    """List the rules to check, by table.

    Args:
        checks: One table, one rule, or all.
    """
    return {name: [rule.name for rule in checks.selected_rules(name)] for name in schema.STORED}
