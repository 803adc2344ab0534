"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

There on two workers, in a bucket of MinIO, and by a catalog in PostgreSQL. Versions are compared
too: what is a change to one engine is one to the other.
"""

from __future__ import annotations

import duckdb
import pytest
from happening import let_happen
from histories import History, Run

from two_engines import as_text, of_duckdb, of_spark

HAPPENINGS = 12
LEDGER = "ingested_objects"


@pytest.mark.slow
@pytest.mark.minio
def test_both_engines_have_the_same_rows_after_each_run(new_project, on_cluster, buckets):
    on_duckdb = new_project()

    for happening in [*History(seed=2).happenings(HAPPENINGS), Run()]:
        ends = [let_happen(project, happening) for project in (on_duckdb, on_cluster)]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            expected, found = of_duckdb(on_duckdb), of_spark(on_cluster)
            assert found.keys() == expected.keys()
            for name, rows in expected.items():
                assert found[name] == rows, (happening, name)
            assert _copied_ledger(on_cluster) == found[LEDGER]
    assert buckets.filesystem.glob("lake/tables/stg_events-*/data/*.parquet")


def _copied_ledger(project):
    """The copy by which a run knows what is new."""
    with duckdb.connect(str(project.database), read_only=True) as con:
        return as_text(LEDGER, con.sql(f"FROM main.{LEDGER}").to_arrow_table())
