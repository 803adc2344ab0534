"""Builds rows for tests: a builder fills what the test is not about.

``a_…_record`` is what is delivered (JSON); ``a_…`` a row of a table; ``table_of`` makes rows a
table that honours a contract.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from lingokids.schema import Contract

EXERCISE_FILES = {
    "activities.csv": (
        "activity_id,activity_name,theme,price_tier\n"
        "a1,Counting Stars,Math,free\n"
        "a2,Paint a Fish,Art,premium\n"
    ),
    "activity_events.csv": (
        "event_id,user_id,activity_id,event_type,created_at,duration_seconds,completed\n"
        "e1,1,a1,activity_exit,2025-01-09 10:00:00,60,true\n"
        "e2,1,a1,activity_enter,2025-01-09 09:59:00,,\n"
        "e3,1,a2,activity_exit,2025-01-12 10:00:00,30,false\n"
    ),
    "subscriptions.csv": "user_id,subscription_date,platform,price_usd\n1,2025-01-10,apple,7.99\n",
}


def an_id(number: int) -> str:
    """A uuid, as text, that is easy to tell from others."""
    return str(UUID(int=number))


def an_event_record(number: int = 1, **values: Any) -> dict[str, Any]:
    """A raw event; ``data`` and ``context`` replace those of the builder."""
    return {
        "event_id": an_id(number),
        "name": "activity_exit",
        "occurred_at": "2021-01-05 10:00:00.000",
        "user_id": an_id(900),
        "data": {"activity_id": "fish", "duration": 60.5, "completed": True, "collection_id": ""},
        "context": {"os": {"name": "iOS", "version": "14.2"}, "app": {"version": "7.39.0"}},
    } | values


def a_user_record(number: int = 900, **values: Any) -> dict[str, Any]:
    """A raw user who has only registered."""
    return {
        "user_id": an_id(number),
        "children_ids": [an_id(number + 1)],
        "country_code": "es",
        "registration_at": "2021-01-01 00:00:00.000000",
    } | values


def an_activity_record(activity_id: str = "fish", **values: Any) -> dict[str, Any]:
    """A raw activity."""
    return {
        "activity_id": activity_id,
        "name": "Paint a Fish",
        "type": "game",
        "subtype": None,
    } | values


def table_of(contract: Contract, *rows: dict[str, Any]) -> ir.Table:
    """A table that honours ``contract``; what a row does not name is NULL."""
    schema = contract.schema.to_pyarrow()
    text = {"event_id", "user_id", "child_id"}
    cells = [
        {
            name: str(row[name]) if name in text and row.get(name) else row.get(name)
            for name in schema.names
        }
        for row in rows
    ]
    columns = {
        field.name: pa.array([cell[field.name] for cell in cells], _loose(field.type))
        for field in schema
    }
    return ibis.memtable(pa.table(columns)).cast(contract.nullable_schema)


def _loose(arrow_type: pa.DataType) -> pa.DataType:
    """Types that literals in tests can be written in: text for decimals and instants."""
    if pa.types.is_decimal(arrow_type) or pa.types.is_temporal(arrow_type):
        return pa.string()
    return arrow_type
