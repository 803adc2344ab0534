"""Contracts in the words of the Open Data Contract Standard, for tools that read it.

Here: one document a table (https://bitol-io.github.io/open-data-contract-standard). Elsewhere: the
definitions themselves (``columns``, ``tables``, ``promises``).

A rule for which the standard has a metric of its own is exported as that metric; any other names
the command that checks it.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids.schema.columns import COLUMNS
from lingokids.schema.contract import Contract
from lingokids.schema.rules import (
    ERROR,
    Accepted,
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

    import ibis.expr.datatypes as dt

API_VERSION = "v3.2.0"


def export(tables: Iterable[Contract], folder: Path) -> list[Path]:
    """Write a document a table: ``<table>.odcs.yaml``."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for contract in tables:
        file = folder / f"{contract.table_name}.odcs.yaml"
        text = yaml.safe_dump(document(contract), sort_keys=False, allow_unicode=True, width=100)
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return files


def document(contract: Contract) -> dict[str, Any]:
    """The contract of one table."""
    freshness = [rule for rule in contract.rules if isinstance(rule, Fresh)]
    of_column, of_table = _quality(contract)
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": f"lingokids-{contract.table_name}",
        "name": contract.table_name,
        "version": version("lingokids"),
        "status": "active",
        "description": {"purpose": contract.meaning},
        "team": {"name": contract.promise.owner},
        "schema": [
            {
                "name": contract.table_name,
                "physicalName": contract.table_name,
                "physicalType": "table",
                "logicalType": "object",
                "description": contract.meaning,
                "dataGranularityDescription": f"one row per {', '.join(contract.grain)}",
                "properties": [
                    _property(contract, name, dtype, of_column.get(name, []))
                    for name, dtype in contract.schema.items()
                ],
                "quality": of_table,
            }
        ],
    } | (
        {
            "slaProperties": [
                {
                    "property": "latency",
                    "value": hours,
                    "unit": "h",
                    "element": f"{contract.table_name}.{rule.column}",
                    "description": f"{rule.by} {group}: {rule.meaning}",
                }
                for rule in freshness
                for group, hours in rule.hours.items()
            ]
        }
        if freshness
        else {}
    )


def _property(
    contract: Contract, name: str, dtype: dt.DataType, quality: list[dict[str, Any]]
) -> dict[str, Any]:
    from ibis.backends.sql.datatypes import DuckDBType

    column = COLUMNS[name]
    described: dict[str, Any] = {
        "name": name,
        "logicalType": _logical_type(dtype),
        "physicalType": DuckDBType.to_string(dtype),
        "description": column.comment,
        "required": not dtype.nullable,
    }
    if dtype.is_array():
        described["items"] = {"logicalType": _logical_type(dtype.value_type)}
    if name in contract.grain:
        described["primaryKey"] = True
        described["primaryKeyPosition"] = contract.grain.index(name) + 1
    if contract.grain == (name,):
        described["unique"] = True
    if column.unit:
        described["customProperties"] = [{"property": "unit", "value": column.unit}]
    if quality:
        described["quality"] = quality
    return described


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


def _quality(contract: Contract) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """The rules of each column, and those of the table."""
    of_column: dict[str, list[dict[str, Any]]] = {}
    of_table = []
    for rule in contract.rules:
        exported = _check(contract, rule)
        if isinstance(rule, NotNull | InRange | Accepted | Matches):
            of_column.setdefault(rule.column, []).append(exported)
        else:
            of_table.append(exported)
    return of_column, of_table


def _check(contract: Contract, rule: Rule) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": rule.name,
        "description": rule.meaning,
        "dimension": _dimension(rule),
        "severity": "error" if rule.severity == ERROR else "warning",
    }
    if (metric := _metric(rule)) is None:
        asked = f"checks.table={contract.table_name},checks.rule={rule.name}"
        return described | {
            "type": "custom",
            "engine": "lingokids",
            "implementation": f"uv run kedro run --pipeline checks --params {asked}",
        }
    if rule.most_share:
        return (
            described | metric | {"mustBeLessOrEqualTo": 100 * rule.most_share, "unit": "percent"}
        )
    return described | metric | {"mustBeLessOrEqualTo": rule.most_rows, "unit": "rows"}


def _metric(rule: Rule) -> dict[str, Any] | None:
    match rule:
        case NotNull():
            return {"type": "library", "metric": "nullValues"}
        case Unique():
            keys = {"properties": list(rule.columns)}
            return {"type": "library", "metric": "duplicateValues", "arguments": keys}
        case Accepted():
            values = {"validValues": list(rule.values)}
            return {"type": "library", "metric": "invalidValues", "arguments": values}
        case Matches():
            form = {"pattern": f"^({rule.pattern})$"}
            return {"type": "library", "metric": "invalidValues", "arguments": form}
    return None


def _dimension(rule: Rule) -> str:
    match rule:
        case NotNull():
            return "completeness"
        case Unique():
            return "uniqueness"
        case Fresh():
            return "timeliness"
        case InRange() | Accepted() | Matches():
            return "conformity"
        case Steady():
            return "coverage"
    return "consistency"
