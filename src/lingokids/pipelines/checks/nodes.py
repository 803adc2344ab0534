"""Checks: which rules of which tables are to be checked.

Here: the list of what is due. Elsewhere: what a rule is and which table has which
(``schema``), how it is checked and what is kept of it (``checks``), because a check is
part of every run, not of this pipeline alone.
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from lingokids import checks, schema


def find_due_checks(parameters: dict[str, Any]) -> ir.Table:
    """List the rules that the run is asked to check.

    Grain: one row per table and rule.

    Args:
        parameters: The ``checks`` parameters: one table, one rule, or all.
    """
    asked = checks.check_parameters(parameters)
    due = [
        {"table_name": name, "rule": rule.name}
        for name in schema.STORED
        for rule in asked.asked_rules_of(name)
    ]
    return ibis.memtable(due, schema=schema.DUE_CHECKS.schema)
