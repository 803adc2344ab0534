"""What the project leans on that its libraries do not document: what an upgrade may break."""

from __future__ import annotations

import gc
import inspect
import weakref
from pathlib import Path

import duckdb
import ibis
import kedro_viz
import pytest
from ibis import _
from ibis.backends.duckdb import Backend
from ibis.expr.format import pretty
from kedro_datasets.plotly import JSONDataset
from kedro_datasets.text import TextDataset
from kedro_viz.integrations.kedro.run_hooks import PipelineRunStatusHook
from minio.error import MinioAdminException
from omegaconf import OmegaConf

from lingokids.minio_setup.server import error_code
from lingokids.settings import _own_name
from lingokids.storage.duckdb.expressions import compiled, register_memtables, table_of
from lingokids.storage.duckdb.reading import _OPENING, ReadingBackend
from lingokids.storage.duckdb.units import FIRST_UNCOMMITTED_ROW
from lingokids.storage.tables import TableDataset

COLUMNS = ibis.schema({"a": "int64"})


@pytest.fixture
def writer():
    backend = ibis.duckdb.connect()
    backend.con.execute("CREATE TABLE t AS SELECT 1::BIGINT AS a")
    yield backend
    backend.disconnect()


def test_kedro_the_last_file_of_a_chart_and_a_page_is_known(tmp_path):
    for dataset in JSONDataset, TextDataset:
        assert str(tmp_path / "x") in str(dataset(filepath=str(tmp_path / "x"))._filepath)


def test_omegaconf_a_table_is_called_like_its_entry():
    OmegaConf.register_new_resolver("own_name_", _own_name, replace=True)

    assert OmegaConf.create({"t": {"table_name": "${own_name_:}"}}).t.table_name == "t"


def test_kedro_viz_a_table_is_drawn_by_the_name_of_the_annotation():
    name = inspect.signature(TableDataset.preview).return_annotation
    drawn = (Path(kedro_viz.__file__).parent / "html").rglob("*.js")

    assert any(name in file.read_text(errors="ignore") for file in drawn)


def test_kedro_viz_its_hook_collects_events():
    assert {"_events", "_should_collect_events"} <= vars(PipelineRunStatusHook()).keys()
    assert {"event", "flush"} <= inspect.signature(
        PipelineRunStatusHook._add_event
    ).parameters.keys()


def test_minio_an_error_keeps_what_the_server_answered():
    assert error_code(MinioAdminException("404", '{"Code": "NoSuchUser"}')) == "NoSuchUser"
    assert error_code(MinioAdminException("502", "<html>")) == "status 502"


def test_ibis_a_memtable_is_registered_before_its_query_runs(writer):
    rows = ibis.memtable({"a": [2]})
    register_memtables(writer, rows)

    assert writer.con.execute(writer.compile(rows)).fetchall() == [(2,)]


def test_ibis_a_table_is_named_without_asking_the_engine(writer):
    assert table_of(writer, "not_there_yet", COLUMNS).columns == ("a",)
    assert table_of(writer, "t", COLUMNS).to_pyarrow()["a"].to_pylist() == [1]


def test_ibis_an_expression_is_printed_the_same_while_it_means_the_same():
    def printed(least: int) -> str:
        table = ibis.table(COLUMNS, name="t")
        return pretty(table.filter(table.a > least).op())

    assert printed(1) == printed(1)
    assert printed(1) != printed(2)


def test_ibis_a_reader_opens_the_file_for_one_call_at_a_time(tmp_path):
    file = tmp_path / "t.duckdb"
    duckdb.connect(str(file)).execute("CREATE TABLE t AS SELECT 1::BIGINT AS a").close()
    reader = ReadingBackend(file, file)
    both = reader.table("t").join(ibis.memtable({"a": [1]}), "a")

    assert all(getattr(ReadingBackend, name) is not getattr(Backend, name) for name in _OPENING)
    assert [both.to_pyarrow().num_rows for _ in range(2)] == [1, 1]
    assert reader.sql("SELECT a FROM t").execute()["a"].tolist() == [1]
    duckdb.connect(str(file)).close()  # no other connection holds it


def test_duckdb_rows_that_are_not_yet_committed_are_numbered_from_there(writer):
    writer.con.execute("BEGIN; INSERT INTO t VALUES (2)")
    rows = writer.con.execute(f"SELECT a, rowid >= {FIRST_UNCOMMITTED_ROW} FROM t ORDER BY a")
    assert rows.fetchall() == [(1, False), (2, True)]

    writer.con.execute("COMMIT")
    (last,) = writer.con.execute("SELECT max(rowid) FROM t").fetchone()
    assert last < FIRST_UNCOMMITTED_ROW


def test_ibis_an_expression_of_another_connection_is_the_same_but_for_rows_in_memory():
    with duckdb.connect() as con, duckdb.connect() as later:
        backends = [Backend.from_connection(each) for each in (con, later)]
        first, again = (
            compiled(each, table_of(each, "t", COLUMNS).filter(_.a > 1)) for each in backends
        )
        rows = ibis.memtable({"a": [2]})
        held = weakref.ref(rows.op())
        compiled(backends[0], rows)

    assert again is first
    del rows
    gc.collect()
    assert held() is None
