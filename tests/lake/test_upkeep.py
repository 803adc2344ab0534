"""A lake stays small however often it is published: a hundred daily runs."""

from __future__ import annotations

import itertools

import pytest

from published import BRONZE, GOLD, assert_published, deliver_a_day, the_files

MOST_FILES = 20


@pytest.mark.slow
def test_after_a_hundred_daily_runs_no_table_has_more_than_twenty_files(project):
    days = itertools.islice(itertools.product(range(1, 5), range(1, 29)), 100)
    most: dict[str, int] = {}
    for month, day in days:
        deliver_a_day(project, day, month=month)
        project.run()
        for lake, tables in (("02_bronze", BRONZE), ("03_gold", GOLD)):
            for table in tables:
                files = len(the_files(project.folder / lake, table))
                most[table] = max(most.get(table, 0), files)

    assert max(most.values()) <= MOST_FILES, most
    assert_published(project)
