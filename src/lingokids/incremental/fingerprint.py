"""A fingerprint of what a node computes: another one makes its tables due.

It is made of the expression that the node gives, of units for inputs without rows, and of its
parameters, never of source text: comments and other names of variables change nothing, another
filter does.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.expr.operations import DatabaseTable
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

    unbound = {name: ibis.table(columns, name=name) for name, columns in schemas.items()}
    (expression,) = node.run({**inputs, **unbound}).values()
    digest = _digest(*_printed(expression.op()), step.unit, step.links)
    said = {*schemas, SAID_BY_EXPRESSION}
    parameters = {name: value for name, value in inputs.items() if name not in said}
    rules = {**parameters, "expression": digest}
    return json.dumps(rules, sort_keys=True, ensure_ascii=False, default=str)


class Made(NamedTuple):
    """What the rows of a whole table are made of: of the same, they are the same.

    Attributes:
        rules: A hash of the expression, and of the rows that it holds itself.
        tables: Those that it reads.
    """

    rules: str
    tables: frozenset[DatabaseTable]


def made_of(rows: ir.Table) -> Made | None:
    """What an expression makes its rows of; None: also of something else, such as the clock."""
    from ibis.expr import operations as ops

    expression = rows.op()
    tables = expression.find(ops.DatabaseTable)
    held = {each: each.data.to_pyarrow(each.schema) for each in expression.find(ops.InMemoryTable)}
    elsewhere = (ops.Impure, ops.SQLQueryResult, ops.SQLStringView, ops.PhysicalTable)
    if {*expression.find(elsewhere)} - {*tables, *held}:
        return None
    # by its rows: each load of the same file gives them another name
    named = {
        each: ops.UnboundTable(_digest(_as_bytes(data)), each.schema) for each, data in held.items()
    }
    # another run may have it in another namespace
    named |= {each: ops.UnboundTable(each.name, each.schema) for each in tables}
    return Made(_digest(*_printed(expression.replace(named))), frozenset(tables))


def _printed(expression: Any) -> tuple[Any, ...]:
    from ibis.expr import operations as ops

    if expression.find(ops.InMemoryTable):  # another one in each run: its rows would be kept
        return _text_of.__wrapped__(expression)
    return _text_of(expression)


@functools.lru_cache(maxsize=64)  # a process that stays prints each once
def _text_of(expression: Any) -> tuple[Any, ...]:
    import ibis
    from ibis.expr import operations as ops
    from ibis.expr.format import pretty

    # ``repr`` of an expression is this text too, but a notebook may have it execute instead
    printed = pretty(expression)
    # which the text of an order leaves out
    nulls_first = [key.nulls_first for key in expression.find(ops.SortKey)]
    return ibis.__version__, printed, nulls_first


def _as_bytes(rows: pa.Table) -> bytes:
    import pyarrow as pa

    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    return bytes(written.getvalue())


def _digest(*said: Any) -> str:
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
