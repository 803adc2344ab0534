"""Every data table of a project, on one machine or on Spark, to be compared row for row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from conftest import Project
from lingokids import schema
from lingokids.storage.duckdb.warehouse import VERSION, Warehouse
from published import GOLD, the_rows

#: Rows, ids as text, and how often each is there.
Rows = Counter[tuple[str, ...]]


def of_duckdb(project: Project) -> dict[str, Rows]:
    """The rows of each table, with their versions."""
    with duckdb.connect(str(project.database), read_only=True) as con:
        names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        return {
            name: as_text(name, con.sql(f"FROM {name}").to_arrow_table())
            for (name,) in names
            if name in _compared()
        }


def of_spark(project: Project) -> dict[str, Rows]:
    """The same of tables on Spark, which this process runs."""
    warehouse: Any = Warehouse._known[Path(project.database)]
    return {
        name: as_text(name, warehouse.spark.table(warehouse.name_of(name)).toArrow())
        for name in _compared()
        if warehouse.has(name)
    }


def compare(on_duckdb: Project, on_spark: Project, after: object) -> None:
    """Both have the same rows; and the copy of the ledger, by which a run knows what is new."""
    expected, found = of_duckdb(on_duckdb), of_spark(on_spark)
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert found[name] == rows, (after, name)
    ledger = schema.INGESTED_OBJECTS.table_name
    with duckdb.connect(str(on_spark.database), read_only=True) as con:
        copied = as_text(ledger, con.sql(f"FROM main.{ledger}").to_arrow_table())
    assert copied == found[ledger], after


def published_rows(project: Project) -> dict[str, list]:
    """What readers of the copy and of the lake have of gold."""
    copy = str(project.folder / "lingokids-gold.duckdb")
    with duckdb.connect(copy, read_only=True) as con:
        copied = {
            name: con.sql(f"SELECT {', '.join(schema.CONTRACTS[name].columns)} FROM {name}")
            for name in GOLD
        }
        rows = {name: sorted(map(str, found.fetchall())) for name, found in copied.items()}
    return rows | {f"lake/{name}": the_rows(project.folder / "03_gold", name) for name in GOLD}


def _compared() -> set[str]:
    """The tables that are a function of what was delivered, but for a view."""
    from lingokids.storage.spark.warehouse import IN_BOOK

    return {*schema.STORED} - IN_BOOK - {schema.UNKNOWN_KEYS.table_name}


def as_text(name: str, rows: pa.Table) -> Rows:
    """The rows of a table of this name, its version included if it has one."""
    columns = [*schema.CONTRACTS[name].columns]
    columns += [VERSION] if VERSION in rows.column_names else []
    values = (map(_text, rows[column].to_pylist()) for column in columns)
    return Counter(zip(*values, strict=True))


def _text(value: Any) -> str:
    return str([str(each) for each in value] if isinstance(value, list) else value)
