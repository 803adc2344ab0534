"""The project tests itself: names agree, rooms keep to themselves, documents are true."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from lingokids import schema
from lingokids.incremental.due import DueNode
from lingokids.pipeline_registry import register_pipelines

CATALOG = {
    name: entry
    for name, entry in yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text()).items()
    if not name.startswith("_")
}
PIPELINES = register_pipelines()


def test_every_dataset_of_a_pipeline_is_in_the_catalog_and_the_other_way_round():
    used = {
        name
        for pipeline in PIPELINES.values()
        for name in pipeline.datasets()
        if not name.startswith(("params:", "parameters"))
    }

    assert used == set(CATALOG)


def test_every_table_has_the_contract_of_its_name():
    for name, entry in CATALOG.items():
        if "table_name" not in entry:
            continue
        contract = getattr(schema, entry["validator"].rpartition(".")[2])
        assert contract.table_name == entry.get("contract", entry["table_name"]), name


def test_every_node_bears_the_name_of_its_function():
    for pipeline in PIPELINES.values():
        for node in pipeline.nodes:
            assert node.name == node.func.__name__


def test_a_due_node_writes_only_tables_that_keep_their_rows_while_nothing_is_due():
    nodes = {node for pipeline in PIPELINES.values() for node in pipeline.nodes}

    for node in filter(lambda node: isinstance(node, DueNode), nodes):
        for output in node.outputs:
            entry = CATALOG[output]
            assert entry["mode"] in {"append", "units", "run"}, output
            assert entry.get("replaces", node.due[0]) in node.due, output


def test_every_pipeline_has_a_readme():
    for name in set(PIPELINES) - {"__default__"}:
        assert (ROOT / "src/lingokids/pipelines" / name / "README.md").exists()


def test_every_column_of_a_contract_is_defined_and_every_definition_used():
    used = {
        column
        for contract in vars(schema).values()
        if isinstance(contract, schema.Contract)
        for column in contract.columns
    }

    assert used == set(schema.COLUMNS)


def test_imports_flow_one_way():
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py")),
    ids=lambda path: path.name,
)
def test_no_file_is_past_four_hundred_lines(path: Path):
    assert len(path.read_text().splitlines()) <= 400


def test_every_parameter_has_a_comment():
    lines = (ROOT / "conf/base/parameters.yml").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"\s*\w+:", line):
            assert before.strip().startswith("#"), line


def test_what_the_pins_are_for_works(tmp_path):
    """sqlglot 30.18 prints DROP without a name; duckdb 2 drops methods that Ibis 12 calls."""
    import ibis

    con = ibis.duckdb.connect(tmp_path / "pins.duckdb")
    con.create_table("t", schema=ibis.schema({"a": "int64"}))
    con.create_table("t", con.sql("SELECT 2::BIGINT AS a"), overwrite=True)
    con.insert("t", con.sql("SELECT 3::BIGINT AS a"))
    assert con.list_tables() == ["t"]
    assert sorted(con.table("t").to_pyarrow()["a"].to_pylist()) == [2, 3]
    con.drop_table("t")
    assert con.list_tables() == []
