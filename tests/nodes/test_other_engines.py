"""Each node, metric and rule is written in words that other engines have too.

That they give the same rows there is not tested here.
"""

from __future__ import annotations

import ibis
import pytest
from ibis.common.exceptions import OperationNotDefinedError
from ibis.config import Config
from kedro.framework.project import configure_project

from conftest import ROOT
from lingokids import metrics, query, schema
from lingokids.checks import conditions
from lingokids.lineage import command
from lingokids.schema.rules import Fresh, Steady, Unique

pytestmark = pytest.mark.slow

DIALECTS = ("pyspark", "trino", "databricks", "snowflake", "bigquery")
#: Keys of several columns are counted by their hash, which Ibis has not got for Trino.
WITHOUT_HASH = {"trino"}


class _OfSpark(Config):
    """The options that the Spark backend registers where it is installed."""

    treat_nan_as_null: bool = False


@pytest.fixture(scope="module", autouse=True)
def options_of_spark():
    before, ibis.options.pyspark = ibis.options.pyspark, _OfSpark()
    yield
    ibis.options.pyspark = before


def _table(name):
    return ibis.table(schema.CONTRACTS[name].nullable_schema, name=name)


@pytest.fixture(scope="module")
def nodes_and_metrics():
    configure_project("lingokids")
    traced = command.of_project(ROOT).expressions
    made = {f"{table} of {node}": expression for (node, table), expression in traced.items()}
    for name in metrics.METRICS:
        question = query.Question((name,))
        made[f"metric {name}"] = query.answer(_table(question.subject.table_name), question)
    return made


@pytest.fixture(scope="module")
def rules():
    return dict(_rules())


def _rules():
    for name, contract in schema.STORED.items():
        rows = _table(name)
        scope = conditions.Scope(rows, rows, None, None, _table)
        passed = [rule for rule in contract.rules if isinstance(rule, conditions.OF_PASS)]
        if passed:
            yield f"{name}, in one pass", conditions.one_pass(passed, rows)
        for rule in contract.rules:
            if isinstance(rule, Steady):
                yield f"{name}, {rule.name}", conditions.daily([rule], rows)
            elif isinstance(rule, Fresh):
                yield f"{name}, {rule.name}", conditions.newest(rule, rows)
            elif isinstance(rule, conditions.OF_PASS + conditions.OF_QUERY):
                yield f"{name}, rows that break {rule.name}", conditions.failing(rule, scope)
            if isinstance(rule, (Unique, *conditions.OF_QUERY)):
                yield f"{name}, tally of {rule.name}", conditions.tally(rule, scope)


def _not_compiled(expressions, dialect, passed_over=()):
    for name, expression in expressions.items():
        try:
            ibis.to_sql(expression, dialect=dialect)
        except passed_over:
            continue
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {error}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_node_and_metric_compiles(nodes_and_metrics, dialect):
    assert len(nodes_and_metrics) > 70
    assert [*_not_compiled(nodes_and_metrics, dialect)] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_rule_compiles(rules, dialect):
    assert len(rules) > 400
    unknown = OperationNotDefinedError if dialect in WITHOUT_HASH else ()
    assert [*_not_compiled(rules, dialect, unknown)] == []


def test_a_word_that_an_engine_lacks_is_found():
    rows = ibis.table({"user": "string", "weeks": "int64"}, name="rows")
    collected = rows.aggregate(weeks=rows.weeks.collect(where=rows.weeks > 0, distinct=True))

    assert [*_not_compiled({"node": collected}, "trino")] == []
    assert len([*_not_compiled({"node": collected}, "bigquery")]) == 1
