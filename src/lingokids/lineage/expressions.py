"""Column lineage of an Ibis expression: which columns of which tables its columns come from.

One pass over the operations, from the tables up; nothing is executed. An operation that is not
known here is refused: a lineage that is partly guessed cannot be told from one that is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import ibis.expr.operations as ops
import ibis.expr.types as ir

#: How a value comes from another, from the least changed to the most. Of several steps the most
#: changed counts.
OF_VALUES = ("copied", "computed", "windowed", "aggregated")
#: How a column decides on values, or on which rows there are, without its own value being in them.
OF_INFLUENCE = ("filter", "join", "group_by", "sort", "window", "conditional", "unnest")
#: In place of a column: the rows of a table, as ``count(*)`` counts them.
ROWS = "*"


class Edge(NamedTuple):
    """Where a value comes from, or what it is influenced by.

    Attributes:
        table: The table's name.
        column: The column, with the path into it if it is a struct; ``ROWS``: how many rows.
        kind: One of ``OF_VALUES`` or ``OF_INFLUENCE``.
    """

    table: str
    column: str
    kind: str

    @property
    def is_of_values(self) -> bool:
        """Whether the value itself comes from there."""
        return self.kind in OF_VALUES


Edges = frozenset[Edge]
NOTHING: Edges = frozenset()


@dataclass(frozen=True)
class Lineage:
    """Where the columns and the rows of an expression come from.

    Attributes:
        columns: By column, where its values come from and what alone it is influenced by.
        rows: The tables whose rows they are, and what decides which: it influences every column.
    """

    columns: dict[str, Edges]
    rows: Edges


class UnknownOperationError(NotImplementedError):
    """An operation of which it is not known how columns pass through it."""


def column_lineage(expression: ir.Table) -> Lineage:
    """Trace every column of a table expression to the tables it reads.

    Raises:
        UnknownOperationError: It has an operation that this module does not know.
    """
    root = expression.op()
    return root.map(_visit)[root]


def _visit(node: ops.Node, results: dict[ops.Node, Any], /, **args: Any) -> Any:
    """The edges of an operation from those of its arguments; names of arguments may clash."""
    if isinstance(node, ops.Relation):
        return _of_relation(node, args)
    if isinstance(node, ops.JoinLink):
        return node.how, args["table"], _influence(_all(args["predicates"]), "join")
    return _of_value(node, results, args)


# --- edges -----------------------------------------------------------------------------------


def _all(found: Any) -> Edges:
    """The edges among results, however deep in tuples and mappings."""
    if isinstance(found, frozenset):
        return found
    if isinstance(found, Mapping):
        found = found.values()
    elif not isinstance(found, tuple | list):
        return NOTHING
    return NOTHING.union(*map(_all, found))


def _made(edges: Iterable[Edge], kind: str) -> Edges:
    """Edges of a value that is made from these, by ``kind`` at least."""
    least = OF_VALUES.index(kind)
    return frozenset(
        edge._replace(kind=OF_VALUES[max(least, OF_VALUES.index(edge.kind))])
        if edge.is_of_values
        else edge
        for edge in edges
    )


def _influence(edges: Iterable[Edge], kind: str) -> Edges:
    """Edges of what is decided by these; that rows are decided by rows goes without saying."""
    return frozenset(edge._replace(kind=kind) for edge in edges if edge.column != ROWS)


def _decided(values: Edges, deciding: Edges, kind: str, made: str) -> Edges:
    """Edges of a value that others decide on; one that comes from no column is made from them."""
    if any(edge.is_of_values for edge in values):
        return _made(values, made) | _influence(deciding, kind)
    return _made(values | deciding, made)


def _of_values(edges: Edges) -> Edges:
    return frozenset(edge for edge in edges if edge.is_of_values)


# --- values ----------------------------------------------------------------------------------

#: Modules of Ibis whose operations, but for those matched before, are functions of one row.
_OF_ONE_ROW = frozenset(
    f"ibis.expr.operations.{name}"
    for name in (
        *("arrays", "generic", "geospatial", "histograms", "json", "logical", "maps", "numeric"),
        *("strings", "structs", "temporal"),
    )
)
#: Arguments of an aggregate that decide which rows count, and which of them comes first.
_DECIDING = {"where": "conditional", "order_by": "sort", "key": "sort"}


def _of_value(node: ops.Node, results: dict[ops.Node, Any], args: dict[str, Any]) -> Edges:  # noqa: PLR0911
    match node:
        case ops.Field():
            return args["rel"].columns[node.name]
        case ops.Alias() | ops.SortKey() | ops.WindowBoundary() | ops.Argument():
            return _all(args)
        case ops.WindowFunction():
            return _of_window(node, results, args)
        case ops.Reduction():
            return _of_aggregate(args, "aggregated")
        case ops.Analytic():
            return _made(_all(args), "windowed")
        case ops.Subquery():
            return _of_subquery(node, args)
        case ops.Unnest():  # a row for each of a list: see Project
            return _made(_all(args), "computed") | _influence(_all(args), "unnest")
        case ops.RowID():
            raise UnknownOperationError(type(node).__name__)
    return _of_one_row(node, args)


def _of_one_row(node: ops.Node, args: dict[str, Any]) -> Edges:
    """A function of the values of its row, a UDF too."""
    match node:
        case ops.Cast() if node.arg.dtype.copy(nullable=True) == node.to.copy(nullable=True):
            return _all(args)
        case ops.StructField():
            return frozenset(
                edge._replace(column=f"{edge.column}.{node.field}")
                if edge.kind == "copied"
                else edge
                for edge in args["arg"]
            )
        case ops.IfElse():
            values = args["true_expr"] | args["false_null_expr"]
            return _decided(values, args["bool_expr"], "conditional", "computed")
        case ops.SearchedCase() | ops.SimpleCase():
            values = _all(args["results"]) | _all(args["default"])
            cases = _all(args["cases"]) | _all(args.get("base"))
            return _decided(values, cases, "conditional", "computed")
    if isinstance(node, ops.ScalarUDF) or type(node).__module__ in _OF_ONE_ROW:
        return _made(_all(args), "computed")
    raise UnknownOperationError(type(node).__name__)


def _of_aggregate(args: dict[str, Any], kind: str) -> Edges:
    """An aggregate: made from its arguments, of the rows that others of them let in."""
    values, deciding = NOTHING, NOTHING
    for name, found in args.items():
        if isinstance(found, Lineage):  # count(*)
            values |= _of_values(found.rows)
        elif name in _DECIDING:
            deciding |= _influence(_all(found), _DECIDING[name])
        else:
            values |= _all(found)
    return _made(values, kind) | deciding


def _of_window(
    node: ops.WindowFunction, results: dict[ops.Node, Any], args: dict[str, Any]
) -> Edges:
    """A value of a row among others: a place among them is made from what they are sorted by."""
    func = node.func
    own = args["func"]
    if isinstance(func, ops.Reduction):  # else what is aggregated over a window counts as windowed
        found = {
            name: results[value] if isinstance(value, ops.Node) else None
            for name, value in zip(func.argnames, func.args, strict=True)
        }
        own = _of_aggregate(found, "windowed")
    deciding = _influence(_all([args["group_by"], args["start"], args["end"]]), "window")
    return _decided(own, _all(args["order_by"]), "window", "windowed") | deciding


def _of_subquery(node: ops.Subquery, args: dict[str, Any]) -> Edges:
    """A value of another relation: what decides on that one's rows decides on it."""
    rel: Lineage = args["rel"]
    found = _all(rel.columns)
    values = _of_values(found)
    deciding = _influence((found | rel.rows) - values - _of_values(rel.rows), "conditional")
    match node:
        case ops.ScalarSubquery():
            return values | deciding
        case ops.InSubquery():
            return _made(args["needle"] | values, "computed") | deciding
        case ops.ExistsSubquery():
            return frozenset(edge._replace(kind="computed") for edge in deciding)
    raise UnknownOperationError(type(node).__name__)


# --- relations -------------------------------------------------------------------------------

#: Joins that keep the rows of the first table; the second one decides which, or adds columns.
_KEEPS_FIRST = frozenset({"left", "semi", "anti", "any_left", "asof"})


def _of_relation(node: ops.Relation, args: dict[str, Any]) -> Lineage:  # noqa: PLR0911
    match node:
        case ops.AliasedRelation() | ops.Reference() | ops.Limit() | ops.Sample():
            return args["parent"]
        case ops.InMemoryTable():  # written in the expression
            return Lineage(dict.fromkeys(node.schema, NOTHING), NOTHING)
        case ops.PhysicalTable():
            columns = {name: frozenset({Edge(node.name, name, "copied")}) for name in node.schema}
            return Lineage(columns, frozenset({Edge(node.name, ROWS, "copied")}))
        case ops.DummyTable():
            return Lineage(dict(args["values"]), NOTHING)
        case ops.Project():
            lists = frozenset(edge for edge in _all(args["values"]) if edge.kind == "unnest")
            return Lineage(dict(args["values"]), args["parent"].rows | lists)
        case ops.Aggregate():
            groups = _influence(_all(args["groups"]), "group_by")
            rows = _made(args["parent"].rows, "aggregated")
            return Lineage({**args["groups"], **args["metrics"]}, rows | groups)
        case ops.JoinChain():
            return _of_join(args)
        case ops.Set():
            return _of_set(node, args["left"], args["right"])
        case ops.TableUnnest():
            unnested = _made(_all(args["column"]), "computed")
            names = [name for name in (node.column_name, node.offset) if name]
            columns = {**args["parent"].columns, **dict.fromkeys(names, unnested)}
            return Lineage(columns, args["parent"].rows | _influence(unnested, "unnest"))
        case ops.Filter() | ops.Sort() | ops.Distinct() | ops.DropNull():
            return _with_rows_decided(node, args)
        case ops.DropColumns():
            own = args["parent"].columns
            return Lineage({name: own[name] for name in node.schema}, args["parent"].rows)
        case ops.FillNull():
            own = args["parent"].columns
            filled = {*(node.replacements if isinstance(node.replacements, Mapping) else own)}
            columns = {n: _made(own[n], "computed") if n in filled else own[n] for n in own}
            return Lineage(columns, args["parent"].rows)
    raise UnknownOperationError(type(node).__name__)


def _with_rows_decided(node: ops.Relation, args: dict[str, Any]) -> Lineage:
    """The same columns, of rows that are chosen or put in order."""
    parent: Lineage = args["parent"]
    every = _all(parent.columns)
    match node:
        case ops.Filter():
            deciding = _influence(_all(args["predicates"]), "filter")
        case ops.Sort():
            deciding = _influence(_all(args["keys"]), "sort")
        case ops.Distinct():
            deciding = _influence(every, "group_by")
        case _:
            deciding = _influence(_all(args["subset"]) if args["subset"] else every, "filter")
    return Lineage(parent.columns, parent.rows | deciding)


def _of_join(args: dict[str, Any]) -> Lineage:
    rows: Edges = args["first"].rows
    for how, table, predicates in args["rest"]:
        kept = table.rows - _of_values(table.rows) if how in _KEEPS_FIRST else table.rows
        rows |= kept | predicates
    return Lineage(dict(args["values"]), rows)


def _of_set(node: ops.Set, left: Lineage, right: Lineage) -> Lineage:
    every = _all([left.columns, right.columns])
    if isinstance(node, ops.Union):
        columns = {name: left.columns[name] | right.columns[name] for name in node.schema}
        distinct = _influence(every, "group_by") if node.distinct else NOTHING
        return Lineage(columns, left.rows | right.rows | distinct)
    deciding = right.rows - _of_values(right.rows) | _influence(every, "join")
    return Lineage(left.columns, left.rows | deciding)
