"""A run on Spark is all or nothing: killed before its commit, it leaves ``main`` as it was.

After its commit: ``test_erased_on_spark``. The killed process drives the Spark of the test, which
goes on: what it had begun may come to its end after it, as of a driver whose machine is slow to
die.
"""

from __future__ import annotations

import pytest
from kills import Killed, run_to_the_kill

from conftest import Project
from lingokids.storage.duckdb.warehouse import Warehouse
from published import deliver_a_day
from two_engines import of_duckdb, of_spark, published_rows

psycopg = pytest.importorskip("psycopg", reason="no psycopg: uv sync --extra spark")

BEFORE_THE_COMMIT = (
    ("before a step", 9),  # some tables are written, others are not
    ("after the commit", 1),  # of the book here: the catalog's is to come
    ("between pointers and book", 1),
)


@pytest.mark.slow
def test_a_run_on_spark_that_is_killed_is_kept_as_a_whole_or_not_at_all(
    new_project, on_spark, catalog, join_spark
):
    on_duckdb = new_project()

    def killed(place: str, nth: int = 1) -> str:
        on_spark.switch_to()
        run = Killed(on_spark.folder, {}, {}, "", place, nth, prepare=join_spark())
        return run_to_the_kill(run)

    for project in on_duckdb, on_spark:
        deliver_a_day(project, 1)
        project.run()
        deliver_a_day(project, 2)
    before = _pointers(catalog, "main")

    for place, nth in BEFORE_THE_COMMIT:
        assert killed(place, nth) == place
        assert _pointers(catalog, "main") == before, place
        written = _pointers(catalog, "run_2_%").items() - before.items()
        assert len(written) > 2, place  # it was in the middle of its work
        assert _recorded(on_spark) == 1, place
    assert of_spark(on_spark) == of_duckdb(on_duckdb)

    for project in on_duckdb, on_spark:
        project.run()
    assert of_spark(on_spark) == of_duckdb(on_duckdb)
    assert published_rows(on_spark) == published_rows(on_duckdb)
    assert _namespaces(catalog) == {"main"}


def _asked(catalog, query: str, *values: str) -> list[tuple[str, ...]]:
    with psycopg.connect(catalog.address) as connection:
        return connection.execute(query, values).fetchall()


def _namespaces(catalog) -> set[str]:
    return {name for (name,) in _asked(catalog, "SELECT table_namespace FROM iceberg_tables")}


def _pointers(catalog, namespace: str) -> dict[str, str]:
    query = "SELECT table_name, metadata_location FROM iceberg_tables WHERE table_namespace LIKE %s"
    return dict(_asked(catalog, query, namespace))


def _recorded(project: Project) -> int:
    """How many runs the book of the last commit tells of, as ``kedro status`` reads it."""
    Warehouse._known[project.database].fetch()
    ((runs,),) = project.rows("SELECT count(*) FROM runs")
    return runs
