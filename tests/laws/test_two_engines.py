"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

Versions are compared too: what is a change to one engine is one to the other.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from histories import Delete, Fix, Happening, History, Put, Run

from conftest import ROOT, Project
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.warehouse import VERSION, Warehouse
from spark_services import SMALL

#: Rows, ids as text, and how often each is there.
Rows = Counter[tuple[str, ...]]
HAPPENINGS = 16


@pytest.fixture
def on_spark(jars, catalog, new_project):
    """A project on folders whose tables are on Spark, which runs in this process."""
    project = new_project()
    conf = project.folder / "conf"
    conf.unlink()
    shutil.copytree(ROOT / "conf", conf)
    places = conf / "test" / "globals.yml"
    said = yaml.safe_load(places.read_text())
    said["warehouse"] |= {
        "catalog": catalog.address,
        "credentials": "spark",
        "location": f"file://{project.folder}/tables",
        "session": {**SMALL, "spark.master": "local[2]", "spark.jars.packages": jars},
    }
    places.write_text(yaml.safe_dump(said))
    return project


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_have_the_same_rows_after_each_run(seed, new_project, on_spark):
    on_duckdb = new_project()

    for happening in [*History(seed).happenings(HAPPENINGS), Run()]:
        ends = [_let_happen(project, happening) for project in (on_duckdb, on_spark)]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            expected, found = _of_duckdb(on_duckdb), _of_spark(on_spark)
            assert found.keys() == expected.keys()
            for name, rows in expected.items():
                assert found[name] == rows, (happening, name)


def _let_happen(project: Project, happening: Happening) -> str:
    """Let something happen; returns why a run was refused."""
    match happening:
        case Put(dataset, key, lines, landed_at):
            content = b"\n".join(line.text for line in lines)
            project.deliver(dataset, key, content, str(landed_at))
        case Delete(dataset, key):
            (project.folder / "raw" / dataset / key).unlink(missing_ok=True)
        case Run(selection, parameters):
            try:
                project.run_selected(selection, **parameters)
            except LingokidsError as error:
                return error.message
        case Fix():
            pass  # no rule of these histories is too strict
    return ""


def _of_duckdb(project: Project) -> dict[str, Rows]:
    """The rows of each table, with their versions."""
    with duckdb.connect(str(project.database), read_only=True) as con:
        names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        return {
            name: _as_text(name, con.sql(f"FROM {name}").to_arrow_table())
            for (name,) in names
            if name in _compared()
        }


def _of_spark(project: Project) -> dict[str, Rows]:
    warehouse: Any = Warehouse._known[Path(project.database)]
    return {
        name: _as_text(name, warehouse.spark.table(warehouse.name_of(name)).toArrow())
        for name in _compared()
        if warehouse.has(name)
    }


def _compared() -> set[str]:
    """The tables that are a function of what was delivered, but for a view."""
    from lingokids.storage.spark.warehouse import IN_BOOK

    return {*schema.STORED} - IN_BOOK - {schema.UNKNOWN_KEYS.table_name}


def _as_text(name: str, rows: pa.Table) -> Rows:
    columns = [*schema.CONTRACTS[name].columns]
    columns += [VERSION] if VERSION in rows.column_names else []
    values = (map(_text, rows[column].to_pylist()) for column in columns)
    return Counter(zip(*values, strict=True))


def _text(value: Any) -> str:
    return str([str(each) for each in value] if isinstance(value, list) else value)
