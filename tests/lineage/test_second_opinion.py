"""sqlglot, given the SQL that expressions compile to, finds the same columns: a second opinion.

It tells no kinds, and none of the rows: compared are the columns that take part in a column.
"""

from __future__ import annotations

import ibis
import ibis.expr.operations as ops
import pytest
import sqlglot
from kedro.framework.project import configure_project
from sqlglot.lineage import lineage as lineage_of
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

from conftest import ROOT
from lingokids import metrics, query, schema
from lingokids.lineage import command
from lingokids.lineage.expressions import ROWS, column_lineage

pytestmark = pytest.mark.slow

#: A union of hundreds of answers, each of which is a metric's: the same 47 columns, in two minutes.
TOO_LONG = {("measure_groups", "measured_groups")}


def _expressions():
    configure_project("lingokids")
    yield from command.of_project(ROOT).expressions.items()
    for name in metrics.METRICS:
        question = query.Question((name,))
        table_name = question.subject.table_name
        rows = ibis.table(schema.CONTRACTS[table_name].nullable_schema, name=table_name)
        yield ("metrics", name), query.answer(rows, question)


def _by_sqlglot(expression):
    tables = expression.op().find(ops.UnboundTable)
    known = {table.name: dict.fromkeys(table.schema, "UNKNOWN") for table in tables}
    parsed = sqlglot.parse_one(str(ibis.to_sql(expression, dialect="duckdb")), dialect="duckdb")
    tree = qualify(parsed, schema=known, dialect="duckdb")
    scope = build_scope(tree)
    return {
        column: {
            (leaf.expression.name, leaf.name.split(".")[-1].strip('"'))
            for leaf in lineage_of(column, tree, dialect="duckdb", scope=scope).walk()
            if not leaf.downstream and isinstance(leaf.expression, sqlglot.exp.Table)
        }
        - {(table.name, ROWS) for table in tables}
        for column in expression.columns
    }


def _by_us(expression):
    return {
        column: {
            (edge.table, edge.column.partition(".")[0]) for edge in edges if edge.column != ROWS
        }
        for column, edges in column_lineage(expression).columns.items()
    }


def test_sqlglot_finds_the_same_columns_in_the_sql():
    compared = 0
    for name, expression in _expressions():
        if name not in TOO_LONG:
            found = _by_us(expression)
            assert found == _by_sqlglot(expression), name
            compared += len(found)

    assert compared >= 450  # of 78 expressions
