"""What a warehouse holds, read between runs: rows, versions, and what is due of its tables."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import duckdb
from histories import Run
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession

from conftest import OF_RUNS, Project
from lingokids import schema
from lingokids.incremental.fingerprint import fingerprint
from lingokids.incremental.links import Step, steps_of
from lingokids.schema.parameters import Window
from lingokids.storage import TableDataset


class Stored:
    """What a warehouse holds, but for what runs keep of themselves."""

    def __init__(self, project: Project) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.versions: dict[str, list[int]] = {}
        self.number = 0
        if not project.database.exists():
            return
        with duckdb.connect(str(project.database), read_only=True) as con:
            names = [
                name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
            ]
            if "table_state" in names:
                (self.number,) = con.execute(
                    "SELECT coalesce(max(version), 0) FROM table_state"
                ).fetchone()
            for name in names:
                if name in OF_RUNS - {"table_state", "gone"}:
                    continue
                rows = con.execute(f"FROM {name} ORDER BY ALL").to_arrow_table().to_pylist()
                if name not in {"table_state", "gone"} and rows and "version" in rows[0]:
                    self.versions[name] = [row.pop("version") for row in rows]
                self.rows[name] = rows

    def by_grain(self, name: str, silent: frozenset[str]) -> dict[tuple[Any, ...], tuple[Any, int]]:
        """What each row of a table says, but for silent columns, and its version."""
        grain = schema.CONTRACTS[name].grain
        return {
            tuple(row[column] for column in grain): (
                [value for column, value in row.items() if column not in silent],
                version,
            )
            for row, version in zip(
                self.rows.get(name, ()), self.versions.get(name, ()), strict=True
            )
        }


def without_history(stored: Stored) -> dict[str, Counter[str]]:
    """What tables say of objects as they are: without numbers of runs, and what was superseded."""
    current = {
        (row["dataset"], row["object_key"], row["load_id"])
        for row in stored.rows["ingested_objects"]
        if row["is_current"]
    }
    tables = {}
    for name, rows in stored.rows.items():
        if name in {"table_state", "gone", "rescued_values"}:
            continue
        kept = [row for row in rows if row.get("is_current", True)]
        if name == "quarantined_lines":
            line_of = ("dataset", "object_key", "load_id")
            kept = [row for row in rows if tuple(row[column] for column in line_of) in current]
        hidden = {"load_id", "past_reason"}
        tables[name] = Counter(
            repr([value for column, value in row.items() if column not in hidden]) for row in kept
        )
    return tables


class Tables:
    """The incremental tables of a project, asked what is due of them."""

    def __init__(self, project: Project) -> None:
        project.switch_to()
        with KedroSession.create(project.folder, env="test") as session:
            catalog = session.load_context().catalog
        entries = catalog.config_resolver.config
        types = (".TableDataset", ".BronzeDataset")
        self._tables: dict[str, TableDataset] = {
            name: catalog.get(name) for name in entries if entries[name]["type"].endswith(types)
        }
        self._nodes = {node.name: node for node in pipelines["__default__"].nodes}
        self._steps: dict[str, Step] = steps_of(pipelines["__default__"], self._tables)
        self._project = project

    def silent_of(self, table_name: str) -> frozenset[str]:
        """The columns of a table that no other reads."""
        return self._tables[table_name].silent if table_name in self._tables else frozenset()

    def made_by(self, run: Run) -> set[str]:
        """The incremental tables that a run makes."""
        return {step.table_name for name, step in self._steps.items() if name in run.nodes}

    def check_honesty(self, run: Run) -> None:
        """Compare what is not due with what its inputs give, by the parameters of the run."""
        warehouse = next(iter(self._tables.values())).warehouse
        warehouse.begin()
        try:
            for name, step in self._steps.items():
                self._check(name, step, run)
        finally:
            warehouse.close()

    def _check(self, name: str, step: Step, run: Run) -> None:
        table = self._tables[step.table_name]
        read = {link.entry: self._tables[link.entry] for link in step.links}
        for each in (table, *read.values()):
            each.stored.ensure()
        rules, query = self._made_of(name, step, run.rules)
        stored_inputs = {each: of.stored for each, of in read.items()}
        table.stored.find_due(step, rules, stored_inputs, Window(), rebuild=False)
        due = table.warehouse.due[step.table_name]
        if step.table_name in self.made_by(run):
            assert due.is_nothing, f"{step.table_name} was made, and {due.count} units are due"
        if due.since is None:
            return
        columns = ", ".join(table.columns)
        stored, given = (
            f"SELECT {columns} FROM main.{step.table_name}",
            f"SELECT {columns} FROM made",
        )
        unit = ", ".join(step.unit)
        is_due = f'ANTI JOIN temp.main."{due.relation}" USING ({unit})' if due.relation else ""
        wrong = table.warehouse.writer.con.execute(f"""
            WITH made AS ({query}), differing AS (
                (({stored}) EXCEPT ALL ({given})) UNION ALL (({given}) EXCEPT ALL ({stored}))
            )
            FROM differing {is_due}
        """).fetchall()
        assert not wrong, f"{step.table_name} is neither right nor due: {wrong[:3]}"

    def _made_of(self, name: str, step: Step, rules: dict[str, Any]) -> tuple[str, str]:
        """The rules of a table, and the query that makes all of it."""
        key = name, json.dumps(rules)
        if key not in _MADE_OF:
            node = self._nodes[name]
            given = {**_parameters(json.dumps(rules), self._project.folder)}
            read = {link.entry: self._tables[link.entry] for link in step.links}
            inputs = {each: given.get(each) for each in node.inputs}
            schemas = {each: table.readable_schema for each, table in read.items()}
            tables = {each: table.load() for each, table in read.items()}
            made = node.func(*[(inputs | tables)[each] for each in node.inputs])
            writer = self._tables[step.table_name].warehouse.writer
            _MADE_OF[key] = fingerprint(node, step, inputs, schemas), writer.compile(made)
        return _MADE_OF[key]


_MADE_OF: dict[tuple[str, str], tuple[str, str]] = {}


@cache
def _parameters(rules: str, folder) -> dict[str, Any]:
    with KedroSession.create(folder, env="test", runtime_params=json.loads(rules)) as session:
        catalog = session.load_context().catalog
    names = {name for node in pipelines["__default__"].nodes for name in node.inputs}
    return {name: catalog.load(name) for name in names if name.startswith("params:")}
