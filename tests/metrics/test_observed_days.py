"""Which weeks a cohort was observed in: a wrong clock does not stretch them."""

from __future__ import annotations

from datetime import date

import ibis
import pytest

from lingokids.metrics import last_shared_day


@pytest.mark.parametrize(
    ("users", "ahead", "last_day"),
    [
        (18, 1, "2023-01-05"),  # of 19 users one is not passed over …
        (19, 1, "2021-01-05"),  # … of 20 it is
        (1_000, 4, "2021-01-05"),
        (1_000, 5, "2023-01-05"),
    ],
)
def test_the_last_days_of_one_user_in_twenty_up_to_four_do_not_count(users, ahead, last_day):
    days = ["2021-01-05"] * users + ["2023-01-05"] * ahead
    table = ibis.memtable({"day": [date.fromisoformat(day).toordinal() for day in days]})

    found = ibis.duckdb.connect().execute(last_shared_day(table))

    assert date.fromordinal(found) == date.fromisoformat(last_day)
