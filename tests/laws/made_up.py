"""Rows made up by contract: others each time, few different values, so that they meet."""

from __future__ import annotations

import decimal
import itertools
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from lingokids.schema import Contract

Row = dict[str, Any]
Unit = tuple[str, ...]

FIRST_DAY = datetime(2021, 1, 1)
#: How many different values there are of a column: few, so that rows meet. Others have four.
DIFFERENT = {"event_id": 25, "user_id": 6}
_IDS = [str(UUID(int=1)), str(UUID(int=2)), "x"]
_INSTANTS = ["2021-01-01 00:00:00.000", "2021-01-02", "2021-01-03T00:00:00Z", "2021-01-04", "1970"]
_SECONDS = ["1.5", "30", "60", "90", "-1"]
TEXTS: dict[str, list[Any]] = {
    "event_name": ["activity_exit", "activity_exit", "activity_enter"],
    "event_type": ["activity_exit", "activity_exit", "activity_enter"],
    "etag": ["5d", "5e"],
    "dataset": ["events", "users"],
    # of raw records, where all is text
    "problem": [None, None, None, "not JSON"],
    **dict.fromkeys(("event_id", "user_id", "child_id"), _IDS),
    **dict.fromkeys(("occurred_at", "registration_at"), _INSTANTS),
    **{f"{of}_{end}_at": _INSTANTS for of in ("trial", "subscription") for end in ("start", "end")},
    "subscription_expire_at": _INSTANTS,
    **dict.fromkeys(("duration", "loading_time"), _SECONDS),
    "children_ids": [f'["{UUID(int=1)}"]', "[]", "[]"],
    "completed": ["true", "true", "false", "no"],
}


class MadeUp:
    """Tables of made-up rows, in a database of their own."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._con = ibis.duckdb.connect()
        self._con.con.execute("SET threads = 1")
        self._numbers = itertools.count()
        self._named: dict[str, ibis.Schema] = {}

    def rows(self, contract: Contract, count: int, beside: list[Row] = []) -> list[Row]:  # noqa: B006
        """Rows that honour a contract, together with those that are there."""
        keys = {key for row in beside for key in keys_of(contract, row)}
        rows = []
        for _number in range(count):
            row = {name: self.value(name, of) for name, of in contract.schema.items()}
            if "date" in row and "occurred_at" in row:
                row["date"] = row["occurred_at"].date()
            if keys.isdisjoint(keys_of(contract, row)):
                keys |= keys_of(contract, row)
                rows.append(row)
        return rows

    def any_rows(self, columns: ibis.Schema, count: int) -> list[Row]:
        """Rows of these columns that honour no contract."""
        return [
            {name: self.value(name, of, is_there=True) for name, of in columns.items()}
            for _number in range(count)
        ]

    def value(self, name: str, dtype: ibis.DataType, *, is_there: bool = False) -> Any:  # noqa: PLR0911
        """A value of a column."""
        rng = self.rng
        if dtype.nullable and not is_there and rng.random() < 0.25:
            return None
        if dtype.is_uuid():
            return str(UUID(int=1 + rng.randrange(DIFFERENT.get(name, 4))))
        if dtype.is_string():
            return rng.choice(TEXTS.get(name, [f"{name} {number}" for number in range(3)]))
        if dtype.is_date():
            return (FIRST_DAY + timedelta(days=rng.randrange(4))).date()
        if dtype.is_timestamp():
            return FIRST_DAY + timedelta(hours=rng.randrange(96))
        if dtype.is_decimal():
            most = min(9_000_000, 10**dtype.precision)
            return decimal.Decimal(rng.randrange(most)).scaleb(-dtype.scale)
        if dtype.is_boolean():
            return rng.random() < 0.5
        if dtype.is_integer():
            return rng.randrange(1, 4)
        if dtype.is_floating():
            return rng.random()
        if dtype.is_struct():
            return {key: self.value(key, of, is_there=is_there) for key, of in dtype.items()}
        return [self.value(name, dtype.value_type) for _number in range(rng.randrange(3))]

    def some(self, of: list[Any]) -> list[Any]:
        """Few, half or most of them."""
        share = self.rng.choice([0.1, 0.5, 0.9])
        return [each for each in of if self.rng.random() < share]

    def table(self, columns: ibis.Schema, rows: list[Row]) -> ir.Table:
        """A table of rows."""
        arrow = pa.Table.from_pylist(rows, columns.to_pyarrow())
        return self.stored(ibis.memtable(arrow, schema=columns))

    def stored(self, rows: ir.Table) -> ir.Table:
        """A table of what an expression gives."""
        return self._con.create_table(f"table_{next(self._numbers)}", rows)

    def named(self, name: str, columns: ibis.Schema, rows: list[Row]) -> None:
        """A table of rows under a name, in place of the one before."""
        if self._named.get(name) != columns:
            self._con.create_table(name, schema=columns, overwrite=True)
            self._named[name] = columns
        self._con.con.register("given", pa.Table.from_pylist(rows, columns.to_pyarrow()))
        self._con.con.execute(f'DELETE FROM "{name}"; INSERT INTO "{name}" FROM given')

    def asking(self, unbound: ir.Table) -> Callable[[], pa.Table]:
        """What asks an expression on named tables, compiled once."""
        sql = self._con.compile(unbound)
        return lambda: self._con.con.sql(sql).to_arrow_table()

    def read(self, rows: ir.Table) -> list[Row]:
        """What an expression gives."""
        return self._con.to_pyarrow(rows).to_pylist()


def keys_of(contract: Contract, row: Row) -> set[Unit]:
    """What only one row may have: its grain, and of current lines their place in arrival order."""
    names = [contract.grain]
    if row.get("is_current") and "line_number" in row:
        names.append(("object_key", "line_number"))
    return {values_of(row, columns) for columns in names}


def values_of(row: Row, columns: tuple[str, ...]) -> Unit:
    return tuple(str(row[name]) for name in columns)
