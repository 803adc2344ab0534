"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

There on two workers, in a bucket of MinIO, and by a catalog in PostgreSQL. Versions are compared
too: what is a change to one engine is one to the other.
"""

from __future__ import annotations

import pytest
from happening import let_happen
from histories import History, Run

from two_engines import compare

HAPPENINGS = 9


@pytest.mark.slow
@pytest.mark.minio
def test_both_engines_have_the_same_rows_after_each_run(new_project, on_cluster, buckets):
    on_duckdb = new_project()

    for happening in [*History(seed=2).happenings(HAPPENINGS), Run()]:
        ends = [let_happen(project, happening) for project in (on_duckdb, on_cluster)]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            compare(on_duckdb, on_cluster, happening)
    assert buckets.filesystem.glob("lake/tables/stg_events-*/data/*.parquet")
