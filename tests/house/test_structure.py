"""The project tests itself: names agree, rooms keep to themselves, documents are true."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from lingokids import schema
from lingokids.pipeline_registry import register_pipelines

CATALOG_FILE = (ROOT / "conf/base/catalog.yml").read_text()
CATALOG = {
    name: entry for name, entry in yaml.safe_load(CATALOG_FILE).items() if not name.startswith("_")
}
TABLES = {
    name
    for name, entry in CATALOG.items()
    if entry["type"].endswith((".TableDataset", ".BronzeDataset"))
}
#: What the warehouse keeps of its own state and of what runs and checks found.
BOOKKEEPING = {
    *("ingested_objects", "table_state", "gone"),
    *("runs", "run_steps", "run_units", "check_results", "check_failures"),
}
PIPELINES = register_pipelines()


def test_every_dataset_of_a_pipeline_is_in_the_catalog_and_the_other_way_round():
    used = {
        name
        for pipeline in PIPELINES.values()
        for name in pipeline.datasets()
        if not name.startswith(("params:", "parameters"))
    }

    beside_lines = {name for name in TABLES if CATALOG[name]["type"].endswith("TableDataset")}
    assert used <= set(CATALOG) | {"due_checks"}
    assert set(CATALOG) - used <= beside_lines - BOOKKEEPING | {"ingested_objects"}


def test_every_table_is_called_like_its_entry_and_has_the_contract_of_that_name():
    assert {CATALOG[name]["table_name"] for name in TABLES} == {"${own_name:}"}
    assert set(schema.STORED) == TABLES | BOOKKEEPING


def test_every_node_bears_the_name_of_its_function_after_its_namespace():
    for pipeline in PIPELINES.values():
        for node in pipeline.nodes:
            group = f"{node.namespace}." if node.namespace else ""
            assert node.name == f"{group}{node.func.__name__}"


def test_every_group_of_the_lineage_is_the_pipeline_of_its_name():
    for name in set(PIPELINES) - {"__default__", "replay"}:
        assert {node.namespace for node in PIPELINES[name].nodes} <= {name, None}


def test_groups_of_the_lineage_make_no_circle():
    """One that is read from and written to by what comes after it would be drawn over itself."""
    for pipeline in PIPELINES.values():
        group_of = {output: node.namespace for node in pipeline.nodes for output in node.outputs}
        before: dict[str, set[str]] = {}
        for node in pipeline.nodes:
            made_by = {group_of[name] for name in node.inputs if name in group_of}
            before.setdefault(node.namespace, set()).update(made_by - {node.namespace})
        list(TopologicalSorter(before).static_order())  # raises where there is a circle


def test_the_lineage_fits_on_a_screen():
    assert len(PIPELINES["__default__"].nodes) <= 18
    assert len(schema.STORED.keys() - {"unknown_keys"}) <= 24  # that one is a view
    assert len(BOOKKEEPING) <= 8
    assert len(CATALOG_FILE.splitlines()) <= 400


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
