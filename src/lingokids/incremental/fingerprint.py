"""A fingerprint of what a node computes: another one makes its tables due.

It is made of the expression that the node gives for inputs without rows, and of its parameters,
never of source text: comments and other names of variables change nothing, another filter does.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis
    from kedro.pipeline.node import Node


def fingerprint(node: Node, inputs: Mapping[str, Any], schemas: Mapping[str, ibis.Schema]) -> str:
    """The rules that a table is made by, as JSON.

    Args:
        node: The node that makes it.
        inputs: By entry; those that are parameters count.
        schemas: Of those inputs that are tables: their columns.

    Returns:
        The parameters as they are, and a hash of the printed expression. Another version of Ibis
        may print the same otherwise, so its version is part of it: an upgrade recomputes the
        tables once, and writes only what differs.
    """
    import ibis
    from ibis.expr.format import pretty

    unbound = {name: ibis.table(columns, name=name) for name, columns in schemas.items()}
    (expression,) = node.run({**inputs, **unbound}).values()
    # ``repr`` of an expression is this text too, but a notebook may have it execute instead
    digest = hashlib.sha256(f"{ibis.__version__}\n{pretty(expression.op())}".encode())
    parameters = {name: value for name, value in inputs.items() if name not in schemas}
    rules = {**parameters, "expression": digest.hexdigest()[:16]}
    return json.dumps(rules, sort_keys=True, ensure_ascii=False, default=str)
