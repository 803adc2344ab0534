"""Groups of few users are not shown, nor can they be worked out from what is."""

from __future__ import annotations

import itertools
from functools import cache

import duckdb
import ibis
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingokids.query import hide_small_groups

FEWEST = 5


def hidden(*groups, keys=("country",), user_counts=()):
    """The keys of the groups that are hidden; a group is its keys, its users, its user counts."""
    names = (*keys, "users", *user_counts)
    columns = dict(zip(names, map(list, zip(*groups, strict=True)), strict=True))
    with duckdb.connect() as con:
        con.register("groups", pa.table(columns))
        return set(con.execute(_query(keys, user_counts)).fetchall())


@cache  # or most of the time of many examples is that of compiling the same again and again
def _query(keys, user_counts):
    columns = dict.fromkeys(keys, "string") | dict.fromkeys(("users", *user_counts), "int64")
    groups = ibis.table(columns, name="groups")
    judged = hide_small_groups(groups, keys, FEWEST, user_counts=user_counts)
    return str(ibis.to_sql(judged.filter(judged.is_hidden).select(*keys), dialect="duckdb"))


def test_a_group_is_small_below_the_threshold_not_at_it():
    assert hidden(("es", 5), ("fr", 6), ("it", 5)) == set()


def test_the_only_small_group_takes_the_next_smallest_with_it():
    # or the total less es and it would be fr
    assert hidden(("es", 90), ("fr", 4), ("it", 7)) == {("fr",), ("it",)}


def test_a_small_head_count_takes_one_with_it_that_has_someone_to_count():
    # or the total of trials less es would be those of fr: nobody of it hides them
    groups = [("es", 50, 30), ("fr", 10, 3), ("it", 6, 0), ("pt", 20, 8)]

    assert hidden(*groups, user_counts=("trials",)) == {("fr",), ("pt",)}


def test_several_small_groups_take_one_more_with_them():
    # or the total less es would be fr and it together: 2 users
    assert hidden(("es", 90), ("fr", 1), ("it", 1)) == {("es",), ("fr",), ("it",)}


def test_equals_are_chosen_between_by_name():
    assert hidden(("es", 9), ("fr", 1), ("it", 9)) == {("es",), ("fr",)}


def test_each_row_and_each_column_is_looked_at():
    groups = [("es", "iOS", 1), ("es", "Android", 8), ("fr", "iOS", 9), ("fr", "Android", 10)]

    # Android in es by its row, iOS in fr by its column, and then Android in fr by both
    assert len(hidden(*groups, keys=("country", "system"))) == 4


def test_the_order_of_the_keys_hides_no_other_groups():
    groups = [("es", "iOS", 3), ("es", "Android", 8), ("fr", "iOS", 8), ("fr", "Android", 8)]
    groups += [("it", "iOS", 8), ("it", "Android", 8)]

    by_country = hidden(*groups, keys=("country", "system"))
    by_system = hidden(*((b, a, n) for a, b, n in groups), keys=("system", "country"))

    assert {(system, country) for country, system in by_country} == by_system


def test_without_a_small_group_nothing_is_hidden():
    groups = [("es", "iOS", 6), ("es", "Android", 8), ("fr", "iOS", 9)]

    assert hidden(*groups, keys=("country", "system")) == set()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), st.integers(1, 12), min_size=1
    )
)
def test_no_line_gives_a_small_group_away(users):
    keys = ("country", "system")
    out_of_sight = hidden(*((*key, count) for key, count in users.items()), keys=keys)

    assert {key for key, count in users.items() if count < FEWEST} <= out_of_sight
    for place, value in itertools.chain(((0, c) for c in "abcd"), ((1, s) for s in "xyz")):
        line = {key for key in users if key[place] == value}
        missing = line & out_of_sight
        # a total less what is shown: all of it unshown, or two groups, one of them not small
        assert (
            not missing
            or missing == line
            or (len(missing) > 1 and max(users[key] for key in missing) >= FEWEST)
        )
