"""Contracts as Open Data Contract Standard, one document a table.

A rule that the standard has a metric for is exported as that metric; any other names the command
that checks it. See https://bitol-io.github.io/open-data-contract-standard.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ibis.backends.sql.datatypes import DuckDBType
from open_data_contract_standard.model import (
    CustomProperty,
    DataQuality,
    Description,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
    ServiceLevelAgreementProperty,
    Team,
)

from lingokids.schema.columns import COLUMNS, NONE
from lingokids.schema.contract import Contract
from lingokids.schema.rules import (
    ERROR,
    AcceptedValues,
    Fresh,
    InRange,
    Matches,
    NotNull,
    Rule,
    Steady,
    Unique,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import ibis.expr.datatypes as dt

API_VERSION = "v3.2.0"
_OF_COLUMN = (NotNull, InRange, AcceptedValues, Matches)
_DIMENSIONS: dict[type[Rule], str] = {
    NotNull: "completeness",
    Unique: "uniqueness",
    Fresh: "timeliness",
    InRange: "conformity",
    AcceptedValues: "conformity",
    Matches: "conformity",
    Steady: "coverage",
}


def export(tables: Iterable[Contract], folder: Path) -> list[Path]:
    """Write one ``<table>.odcs.yaml`` a table."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for contract in tables:
        file = folder / f"{contract.table_name}.odcs.yaml"
        file.write_text(document(contract).to_yaml(), encoding="utf-8")
        files.append(file)
    return files


def document(contract: Contract) -> OpenDataContractStandard:
    """Describe one table."""
    name, rules = contract.table_name, contract.rules
    table = SchemaObject(
        name=name,
        physicalName=name,
        physicalType="table",
        logicalType="object",
        description=contract.meaning,
        dataGranularityDescription=f"one row per {', '.join(contract.grain)}",
        properties=[_property(contract, *column) for column in contract.schema.items()],
        quality=[_check(name, rule) for rule in rules if not isinstance(rule, _OF_COLUMN)],
    )
    latencies = [
        ServiceLevelAgreementProperty(
            property="latency",
            value=hours,
            unit="h",
            element=f"{name}.{rule.column}",
            description=f"{rule.by} {group}: {rule.meaning}",
        )
        for rule in rules
        if isinstance(rule, Fresh)
        for group, hours in rule.hours.items()
    ]
    return OpenDataContractStandard(
        apiVersion=API_VERSION,
        kind="DataContract",
        id=f"lingokids-{name}",
        name=name,
        version=version("lingokids"),
        status="active",
        description=Description(purpose=contract.meaning),
        team=Team(name=contract.promise.owner),
        schema=[table],
        slaProperties=latencies or None,
    )


def _property(contract: Contract, name: str, dtype: dt.DataType) -> SchemaProperty:
    column, in_grain = COLUMNS[name], name in contract.grain
    rules = [rule for rule in contract.rules if isinstance(rule, _OF_COLUMN)]
    checks = [_check(contract.table_name, rule) for rule in rules if rule.column == name]
    items = (
        SchemaProperty(logicalType=_logical_type(dtype.value_type)) if dtype.is_array() else None
    )
    return SchemaProperty(
        name=name,
        logicalType=_logical_type(dtype),
        physicalType=DuckDBType.to_string(dtype),
        description=column.comment,
        classification=None if column.classification == NONE else column.classification,
        required=not dtype.nullable,
        items=items,
        primaryKey=in_grain or None,
        primaryKeyPosition=contract.grain.index(name) + 1 if in_grain else None,
        unique=contract.grain == (name,) or None,
        customProperties=[CustomProperty(property="unit", value=column.unit)]
        if column.unit
        else None,
        quality=checks or None,
    )


def _logical_type(dtype: dt.DataType) -> str:
    kinds = {
        "integer": dtype.is_integer(),
        "number": dtype.is_decimal() or dtype.is_floating(),
        "boolean": dtype.is_boolean(),
        "date": dtype.is_date(),
        "timestamp": dtype.is_timestamp(),
        "array": dtype.is_array(),
    }
    return next((kind for kind, is_it in kinds.items() if is_it), "string")


def _check(table_name: str, rule: Rule) -> DataQuality:
    check: dict[str, Any] = {
        "name": rule.name,
        "description": rule.meaning,
        "dimension": _DIMENSIONS.get(type(rule), "consistency"),
        "severity": "error" if rule.severity == ERROR else "warning",
    }
    if (metric := _metric(rule)) is None:
        asked = f"checks.table={table_name},checks.rule={rule.name}"
        check |= {"type": "custom", "engine": "lingokids"}
        check["implementation"] = f"uv run kedro run --pipeline checks --params {asked}"
    else:
        is_share = bool(rule.most_share)
        check |= {"type": "library", **metric, "unit": "percent" if is_share else "rows"}
        check["mustBeLessOrEqualTo"] = 100 * rule.most_share if is_share else rule.most_rows
    return DataQuality(**check)


def _metric(rule: Rule) -> dict[str, Any] | None:
    match rule:
        case NotNull():
            return {"metric": "nullValues"}
        case Unique():
            return {"metric": "duplicateValues", "arguments": {"properties": list(rule.columns)}}
        case AcceptedValues():
            return {"metric": "invalidValues", "arguments": {"validValues": list(rule.values)}}
        case Matches():
            return {"metric": "invalidValues", "arguments": {"pattern": f"^({rule.pattern})$"}}
    return None
