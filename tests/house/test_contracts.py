"""What is made of the contracts: the data dictionary, the export, and what they must agree with."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from conftest import ROOT
from lingokids import schema
from lingokids.schema import (
    AcceptedValues,
    AddsUp,
    ForeignKey,
    Fresh,
    InRange,
    Matches,
    NotNull,
    Recounted,
    Unique,
)
from lingokids.schema.dictionary import dictionary
from lingokids.schema.odcs import document, export

SCHEMA = json.loads((files("open_data_contract_standard") / "schema.json").read_text())
DICTIONARY = ROOT / "src/lingokids/schema/README.md"


def test_the_dictionary_is_what_the_contracts_make():
    assert DICTIONARY.read_text() == dictionary(schema.STORED.values()), (
        "print it anew: uv run kedro contracts dictionary > src/lingokids/schema/README.md"
    )


@pytest.mark.parametrize("contract", schema.CONTRACTS.values(), ids=list(schema.CONTRACTS))
def test_rules_name_what_there_is_and_no_two_have_one_name(contract):
    names = [rule.name for rule in contract.rules]

    assert len(set(names)) == len(names)
    for rule in contract.rules:
        assert rule.meaning
        if isinstance(rule, NotNull | InRange | AcceptedValues | Matches):
            assert rule.column in contract.columns
        elif isinstance(rule, Unique):
            assert set(rule.columns) <= set(contract.columns)
        elif isinstance(rule, ForeignKey):
            other = schema.CONTRACTS[rule.table]
            assert set(rule.columns) <= set(contract.columns) & set(other.columns)
            assert not rule.is_of_next or "load_id" in contract.columns
        elif isinstance(rule, AddsUp | Recounted):
            other = schema.CONTRACTS[rule.table]
            assert {rule.column, *rule.by} <= set(contract.columns)
            assert set(rule.by) <= set(other.columns)
            if isinstance(rule, AddsUp):
                assert {rule.of} - {None} <= set(other.columns)
                assert {*(rule.where or ())[:1]} <= set(contract.columns)
        elif isinstance(rule, Fresh):
            assert {rule.column, rule.by} <= set(contract.columns)


@pytest.mark.parametrize("contract", schema.STORED.values(), ids=list(schema.STORED))
def test_the_export_is_valid_by_the_published_schema(contract):
    exported = document(contract).model_dump(by_alias=True, exclude_none=True)
    jsonschema.Draft201909Validator(SCHEMA).validate(exported)


def test_the_schema_refuses_what_is_no_contract():
    broken = document(schema.STG_USERS).model_copy(update={"kind": "Something"})

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(SCHEMA).validate(
            broken.model_dump(by_alias=True, exclude_none=True)
        )


def test_the_export_says_all_that_the_contract_says(tmp_path):
    export([schema.STG_USERS, schema.INGESTED_OBJECTS], tmp_path)

    users = yaml.safe_load((tmp_path / "stg_users.odcs.yaml").read_text())
    (table,) = users["schema"]
    columns = {column["name"]: column for column in table["properties"]}
    assert list(columns) == list(schema.STG_USERS.columns)
    assert columns["user_id"]["unique"]
    assert columns["user_id"]["required"]
    assert columns["children_ids"]["items"] == {"logicalType": "string"}
    rules = [
        *table["quality"],
        *(check for column in columns.values() for check in column.get("quality", [])),
    ]
    assert {rule["name"] for rule in rules} == {rule.name for rule in schema.STG_USERS.rules}

    ledger = yaml.safe_load((tmp_path / "ingested_objects.odcs.yaml").read_text())
    assert [limit["value"] for limit in ledger["slaProperties"]] == [36, 36]


def test_the_commands_print_and_write(tmp_path):
    from lingokids.cli import cli

    printed = CliRunner().invoke(cli, ["contracts", "dictionary"])
    assert printed.output == DICTIONARY.read_text()

    written = CliRunner().invoke(cli, ["contracts", "export", "--folder", str(tmp_path / "out")])
    assert f"Wrote the contracts of {len(schema.STORED)} tables" in written.output
    assert len(list((tmp_path / "out").iterdir())) == len(schema.STORED)
