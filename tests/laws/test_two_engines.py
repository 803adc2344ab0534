"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

Versions are compared too: what is a change to one engine is one to the other.
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
def test_both_engines_have_the_same_rows_after_each_run(new_project, on_spark):
    on_duckdb = new_project()

    for happening in [*History(seed=2).happenings(HAPPENINGS), Run()]:
        ends = [let_happen(project, happening) for project in (on_duckdb, on_spark)]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            expected, found = of_duckdb(on_duckdb), of_spark(on_spark)
            assert found.keys() == expected.keys()
            for name, rows in expected.items():
                assert found[name] == rows, (happening, name)
            assert _copied_ledger(on_spark) == found[LEDGER]


def _copied_ledger(project):
    """The copy by which a run knows what is new."""
    with duckdb.connect(str(project.database), read_only=True) as con:
        return as_text(LEDGER, con.sql(f"FROM main.{LEDGER}").to_arrow_table())
