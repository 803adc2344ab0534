"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

With their versions: what one engine takes for a change, the other does.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import Any

import duckdb
import pytest
import yaml
from histories import Delete, Fix, Happening, History, Put, Run

from conftest import ROOT, Project
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.warehouse import VERSION, Warehouse
from lingokids.storage.spark.dialect import type_in_spark
from spark_services import SMALL

TABLES = [*schema.STORED]


@pytest.fixture
def on_spark(jars, catalog, new_project) -> Project:
    """A project on folders whose tables are Spark's; Spark runs in this process."""
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
    yield project
    Warehouse._known.clear()


def on_duckdb_rows(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """Every data table, ids as text, with the version of each row."""
    tables = {}
    with duckdb.connect(str(project.database), read_only=True) as con:
        names = {
            name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        }
        for name in names & {*data_tables()}:
            columns = [*schema.CONTRACTS[name].columns]
            stored = {
                name
                for (name,) in con.execute(f"SELECT column_name FROM (DESCRIBE {name})").fetchall()
            }
            if VERSION in stored:
                columns.append(VERSION)
            rows = con.sql(f"SELECT {', '.join(columns)} FROM {name}").to_arrow_table()
            tables[name] = rows_of(rows.to_pylist())
    return tables


def on_spark_rows(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """The same, of tables on Spark."""
    warehouse = warehouse_of(project)
    tables = {}
    for name in data_tables():
        if not warehouse.has(name):
            continue
        frame = warehouse.spark.table(warehouse.name_of(name))
        columns = [*schema.CONTRACTS[name].columns]
        if VERSION in frame.columns:
            columns.append(VERSION)
        tables[name] = rows_of(frame.select(*columns).toArrow().to_pylist())
    return tables


def data_tables() -> list[str]:
    from lingokids.storage.spark.warehouse import IN_BOOK

    return [name for name in TABLES if name not in IN_BOOK and name != "unknown_keys"]


def warehouse_of(project: Project) -> Any:
    (found,) = (it for path, it in Warehouse._known.items() if path == project.database)
    return found


def rows_of(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(map(plain, row.items())) for row in rows)


def plain(item: tuple[str, Any]) -> tuple[str, str]:
    name, value = item
    return name, str([str(each) for each in value] if isinstance(value, list) else value)


def run(project: Project, happening: Run) -> str:
    """Run; returns how it ended."""
    try:
        project.run_selected(happening.selection, **happening.parameters)
    except LingokidsError as error:
        return error.message
    return ""


def let_happen(project: Project, happening: Happening) -> str:
    match happening:
        case Put(dataset, key, lines, landed_at):
            content = b"\n".join(line.text for line in lines)
            project.deliver(dataset, key, content, str(landed_at))
        case Delete(dataset, key):
            (project.folder / "raw" / dataset / key).unlink(missing_ok=True)
        case Run():
            return run(project, happening)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_have_the_same_rows_after_each_run(seed, new_project, on_spark):
    on_duckdb = new_project()
    length = int(os.environ.get("LINGOKIDS_TEST_LENGTH", "25"))
    ran = 0

    for number, happening in enumerate([*History(seed).happenings(length), Run()]):
        if isinstance(happening, Fix):
            continue
        ends = [let_happen(project, happening) for project in (on_duckdb, on_spark)]

        assert ends[0] == ends[1], (number, happening)
        if isinstance(happening, Run):
            ran += 1
            expected, found = on_duckdb_rows(on_duckdb), on_spark_rows(on_spark)
            for name, rows in expected.items():
                assert found[name] == rows, (
                    number,
                    happening,
                    name,
                    found[name] - rows,
                    rows - found[name],
                )
            assert found.keys() == expected.keys()
    assert ran > 1
