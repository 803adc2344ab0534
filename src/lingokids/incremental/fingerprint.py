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

    from lingokids.incremental.links import Step

#: A parameter of which the expression says all: another name of the same zone is no other rule.
SAID_BY_EXPRESSION = "params:time_zone"


def fingerprint(
    node: Node, step: Step, inputs: Mapping[str, Any], schemas: Mapping[str, ibis.Schema]
) -> str:
    """The rules that a table is made by, as JSON.

    Args:
        node: The node that makes it.
        step: How it is kept: kept by other units or links, it is due as a whole.
        inputs: By entry; those that are parameters count.
        schemas: Of those inputs that are tables: the columns that a node may read.

    Returns:
        The parameters as they are, and a hash of the printed expression. Another version of Ibis
        may print the same otherwise, so its version is part of it: an upgrade recomputes the
        tables once, and writes only what differs.
    """
    import ibis
    from ibis.expr import operations as ops
    from ibis.expr.format import pretty

    unbound = {name: ibis.table(columns, name=name) for name, columns in schemas.items()}
    (expression,) = node.run({**inputs, **unbound}).values()
    # ``repr`` of an expression is this text too, but a notebook may have it execute instead
    printed = pretty(expression.op())
    # which the text of an order leaves out
    nulls_first = [key.nulls_first for key in expression.op().find(ops.SortKey)]
    made_by = (ibis.__version__, printed, nulls_first, step.unit, step.links)
    digest = hashlib.sha256(repr(made_by).encode())
    said = {*schemas, SAID_BY_EXPRESSION}
    parameters = {name: value for name, value in inputs.items() if name not in said}
    rules = {**parameters, "expression": digest.hexdigest()[:16]}
    return json.dumps(rules, sort_keys=True, ensure_ascii=False, default=str)
