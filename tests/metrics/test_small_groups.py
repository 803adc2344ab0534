"""Groups of few users, or mostly of one, are not in an answer, nor what would tell them."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from lingokids.query import hide_small_groups

FEWEST = 5


@pytest.mark.parametrize(
    ("groups", "hidden"),
    [
        pytest.param([("es", 5), ("fr", 6), ("it", 5)], "", id="at the threshold"),
        pytest.param([("es", 90), ("fr", 4), ("it", 7)], "fr it", id="or es and the total tell"),
        pytest.param([("es", 90), ("fr", 1), ("it", 1)], "es fr it", id="two are too few as well"),
        pytest.param([("es", 9), ("fr", 1), ("it", 9)], "es fr", id="equals go by name"),
        pytest.param([("es", 90), ("fr", 9, 0.86), ("it", 7)], "fr it", id="mostly one user's"),
        pytest.param([("es", 90), ("fr", 9, 0.85), ("it", 7)], "", id="up to that share"),
    ],
)
def test_small_groups_are_hidden_with_what_would_tell_them(groups, hidden):
    rows = [
        {"country": name, "users": users, "largest_part": float(*part or (0,))}
        for name, users, *part in groups
    ]
    shown = hide_small_groups(ibis.memtable(pa.Table.from_pylist(rows)), "country", FEWEST, 0.85)

    names = [name for name, *_ in groups]
    assert shown.country.to_pyarrow().to_pylist() == [n for n in names if n not in hidden.split()]
