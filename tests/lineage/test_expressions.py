"""Where the columns of an expression come from: truths worked out by hand."""

from __future__ import annotations

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import pytest
from ibis import _

from lingokids.lineage.expressions import ROWS, UnknownOperationError, column_lineage

PLAYS = ibis.table(
    {
        "user_id": "int64",
        "day": "date",
        "seconds": "int64",
        "is_done": "boolean",
        "tags": "array<string>",
        "device": "struct<os: struct<name: string>>",
    },
    name="plays",
)
USERS = ibis.table({"user_id": "int64", "country": "string"}, name="users")

BY_USER = PLAYS.group_by("user_id")
WITH_COUNTRY = PLAYS.left_join(USERS, "user_id")
LAST_DAY = PLAYS.day.max().as_scalar()
FIRST_TAG = ibis.row_number().over(group_by="user_id", order_by="day")

#: By rule: an expression, where its column ``it`` comes from, and its rows.
TRUTHS = {
    "a column is copied, by whatever name": (
        PLAYS.select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied"},
    ),
    "a cast that changes the type computes": (
        PLAYS.select(it=_.seconds.cast("string")),
        {"plays.seconds computed"},
        {"plays.* copied"},
    ),
    "a cast that changes whether it may be NULL does not": (
        PLAYS.select(it=_.seconds.cast(dt.Int64(nullable=False))),
        {"plays.seconds copied"},
        {"plays.* copied"},
    ),
    "a field of a struct is a path": (
        PLAYS.select(it=_.device["os"]["name"]),
        {"plays.device.os.name copied"},
        {"plays.* copied"},
    ),
    "a constant comes from nowhere": (
        PLAYS.select(it=ibis.literal(1)),
        set(),
        {"plays.* copied"},
    ),
    "a case between values is decided on": (
        PLAYS.select(it=ibis.ifelse(_.is_done, _.seconds, 0)),
        {"plays.seconds computed", "plays.is_done conditional"},
        {"plays.* copied"},
    ),
    "a case of literals is made from its conditions": (
        PLAYS.select(it=ibis.cases((_.is_done, "done"), else_="not")),
        {"plays.is_done computed"},
        {"plays.* copied"},
    ),
    "an aggregate, where a condition lets rows in": (
        BY_USER.aggregate(it=_.seconds.sum(where=_.is_done)),
        {"plays.seconds aggregated", "plays.is_done conditional"},
        {"plays.* aggregated", "plays.user_id group_by"},
    ),
    "a count counts rows": (
        BY_USER.aggregate(it=_.count()),
        {"plays.* aggregated"},
        {"plays.* aggregated", "plays.user_id group_by"},
    ),
    "the first is sorted by another": (
        BY_USER.aggregate(it=_.seconds.first(order_by=_["day"])),
        {"plays.seconds aggregated", "plays.day sort"},
        {"plays.* aggregated", "plays.user_id group_by"},
    ),
    "of several steps the most changed counts": (
        BY_USER.aggregate(all_of_it=_.seconds.sum()).select(it=_.all_of_it + 1),
        {"plays.seconds aggregated"},
        {"plays.* aggregated", "plays.user_id group_by"},
    ),
    "a sum beside each row is windowed": (
        PLAYS.select(it=_.seconds.sum().over(group_by="user_id")),
        {"plays.seconds windowed", "plays.user_id window"},
        {"plays.* copied"},
    ),
    "the value before is windowed, and its order decides": (
        PLAYS.select(it=_.seconds.lag().over(order_by="day")),
        {"plays.seconds windowed", "plays.day window"},
        {"plays.* copied"},
    ),
    "a place is made from its order": (
        PLAYS.select(it=FIRST_TAG),
        {"plays.day windowed", "plays.user_id window"},
        {"plays.* copied"},
    ),
    "a filter decides on rows": (
        PLAYS.filter(_.is_done).select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied", "plays.is_done filter"},
    ),
    "an order decides on rows": (
        PLAYS.order_by("day").limit(1).select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied", "plays.day sort"},
    ),
    "different rows are grouped by all columns": (
        PLAYS.select("day", it="seconds").distinct(),
        {"plays.seconds copied"},
        {"plays.* copied", "plays.day group_by", "plays.seconds group_by"},
    ),
    "a left join keeps the rows of the first table": (
        WITH_COUNTRY.select(it="country"),
        {"users.country copied"},
        {"plays.* copied", "plays.user_id join", "users.user_id join"},
    ),
    "an inner join has rows of both": (
        PLAYS.inner_join(USERS, "user_id").select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied", "users.* copied", "plays.user_id join", "users.user_id join"},
    ),
    "a semi join decides on rows": (
        PLAYS.semi_join(USERS.filter(_.country == "es"), "user_id").select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied", "plays.user_id join", "users.user_id join", "users.country filter"},
    ),
    "a union has both": (
        ibis.union(PLAYS.select(it="user_id"), USERS.select(it="user_id")),
        {"plays.user_id copied", "users.user_id copied"},
        {"plays.* copied", "users.* copied"},
    ),
    "rows without others": (
        PLAYS.select(it="user_id").difference(USERS.select(it="user_id")),
        {"plays.user_id copied"},
        {"plays.* copied", "plays.user_id join", "users.user_id join"},
    ),
    "a list that is unnested among columns makes rows": (
        PLAYS.select("user_id", it=_.tags.unnest()),
        {"plays.tags computed", "plays.tags unnest"},
        {"plays.* copied", "plays.tags unnest"},
    ),
    "a table that is unnested has more rows": (
        PLAYS.unnest("tags").select(it="tags"),
        {"plays.tags computed"},
        {"plays.* copied", "plays.tags unnest"},
    ),
    "a value of another relation": (
        USERS.select(it=LAST_DAY),
        {"plays.day aggregated"},
        {"users.* copied"},
    ),
    "a value of chosen rows of another relation": (
        USERS.select(it=PLAYS.filter(PLAYS.is_done).day.max().as_scalar()),
        {"plays.day aggregated", "plays.is_done conditional"},
        {"users.* copied"},
    ),
    "whether it is among others": (
        PLAYS.select(it=_.user_id.isin(USERS.filter(USERS.country == "es").user_id)),
        {"plays.user_id computed", "users.user_id computed", "users.country conditional"},
        {"plays.* copied"},
    ),
    "what is filled in is computed": (
        PLAYS.fill_null({"seconds": 0}).select(it="seconds"),
        {"plays.seconds computed"},
        {"plays.* copied"},
    ),
    "rows without a value are left out": (
        PLAYS.drop_null("day").select(it="seconds"),
        {"plays.seconds copied"},
        {"plays.* copied", "plays.day filter"},
    ),
}


def written(edges):
    return {f"{edge.table}.{edge.column} {edge.kind}" for edge in edges}


@pytest.mark.parametrize("rule", TRUTHS)
def test_the_rule(rule):
    expression, of_it, of_rows = TRUTHS[rule]

    found = column_lineage(expression)

    assert (written(found.columns["it"]), written(found.rows)) == (of_it, of_rows)
    assert [*found.columns] == [*expression.columns]


class OfTomorrow(ops.Value):
    """A value that Ibis has not got yet."""

    arg: ops.Value
    dtype = dt.int64
    shape = ibis.expr.datashape.columnar


class RowsOfTomorrow(ops.Relation):
    """A relation that Ibis has not got yet."""

    parent: ops.Relation
    values = ops.relations.FrozenOrderedDict()
    schema = ibis.schema({"it": "int64"})


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        (PLAYS.select(it=OfTomorrow(PLAYS.seconds).to_expr()), "OfTomorrow"),
        (RowsOfTomorrow(PLAYS.op()).to_expr(), "RowsOfTomorrow"),
        (ibis.duckdb.connect().sql("SELECT 1 AS it"), "SQLQueryResult"),
    ],
)
def test_an_operation_that_is_not_known_is_refused(expression, named):
    with pytest.raises(UnknownOperationError, match=named):
        column_lineage(expression)


def test_a_table_of_literals_comes_from_nowhere():
    found = column_lineage(ibis.memtable([(1,)], schema={"it": "int64"}))

    assert found.columns == {"it": frozenset()}
    assert ROWS not in written(found.rows)
