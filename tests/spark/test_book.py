"""The book on this machine: what commands fetch, beside a run that works on it."""

from __future__ import annotations

import sys

import duckdb
import pytest

from conftest import ROOT
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.operations import recovery
from lingokids.storage.duckdb.opening import rehearsal
from lingokids.storage.spark.catalog import Book
from lingokids.storage.spark.warehouse import SparkWarehouse


@pytest.fixture
def warehouse(tmp_path) -> SparkWarehouse:
    """A warehouse on Spark; nothing is started."""
    catalog = {"catalog": "postgresql://127.0.0.1:9/none", "location": "s3://lake/tables"}
    return SparkWarehouse(tmp_path / "book.duckdb", tmp_path / "gold.duckdb", None, **catalog)


def _book(warehouse, run: int):
    connection = duckdb.connect(str(warehouse.database))
    table = schema.TABLE_STATE.table_name
    connection.execute(f"CREATE TABLE {table} AS SELECT {run} AS version")
    connection.execute("CHECKPOINT")
    return connection


def test_a_book_that_a_run_works_on_is_not_replaced(warehouse, monkeypatch):
    monkeypatch.setattr(warehouse.catalog, "read_book", lambda _here: Book(2, b"of another run"))
    of_run = _book(warehouse, run=1)
    of_run.execute("CREATE TABLE made_by_it AS SELECT 1")
    of_run.execute("CHECKPOINT")

    warehouse.fetch()

    of_run.close()
    with duckdb.connect(str(warehouse.database), read_only=True) as there:
        assert there.execute("FROM made_by_it").fetchall() == [(1,)]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_later_book_is_fetched(warehouse, monkeypatch, is_there):
    asked = []
    later = Book(2, b"the later one")
    monkeypatch.setattr(warehouse.catalog, "read_book", lambda here: asked.append(here) or later)
    if is_there:
        _book(warehouse, run=1).close()
    known = warehouse.database.read_bytes() if is_there else b""

    warehouse.fetch()

    assert warehouse.database.read_bytes() == b"the later one"
    assert asked == [known]


def test_without_the_extra_the_sentence_says_what_to_install(warehouse, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(LingokidsError, match="uv sync --extra spark"):
        warehouse.fetch()


def test_after_a_rehearsal_runs_open_the_book_of_the_catalog(warehouse):
    before = warehouse.open

    with rehearsal(warehouse):
        assert warehouse.open is not before

    assert warehouse.open is before


@pytest.mark.parametrize(
    "command",
    [
        lambda folder: recovery.Recovery(folder, "spark", None),
        lambda folder: recovery.compare(folder, "spark", folder / "other.duckdb"),
        lambda folder: [*recovery.swap(folder, "spark", folder / "other.duckdb")],
    ],
)
def test_what_is_done_with_the_file_is_refused_of_tables_on_spark(warehouse, monkeypatch, command):
    monkeypatch.setattr(SparkWarehouse, "fetch", lambda _self: None)
    monkeypatch.setattr("lingokids.operations.project.Project.warehouse", warehouse)

    with pytest.raises(LingokidsError, match=r"are on Spark, and .* none of their rows"):
        command(ROOT)
