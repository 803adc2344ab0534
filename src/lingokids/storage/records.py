"""Tables that no node makes: the records of runs and checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kedro.io.core import VERSION_FORMAT

from lingokids import schema

if TYPE_CHECKING:
    from lingokids.storage.duckdb.stored import StoredTable
    from lingokids.storage.duckdb.warehouse import Warehouse

RECORDS = (schema.RUNS, schema.RUN_STEPS, schema.RUN_UNITS)
#: The tables that runs keep of themselves: state, records and what checks found.
OF_RUNS = {
    contract.table_name
    for contract in (
        *(schema.TABLE_STATE, schema.GONE, *RECORDS),
        *(schema.CHECK_RESULTS, schema.CHECK_FAILURES),
    )
}


@dataclass
class _ByContract:
    """See ``engine.Kept``: a table without a catalog entry."""

    contract: schema.Contract
    has_versions: bool
    unit: tuple[str, ...] = ()
    silent: frozenset[str] = frozenset()
    units_a_slice: int | None = None

    @property
    def table_name(self) -> str:
        return self.contract.table_name


def insert_records(
    warehouse: Warehouse, contract: schema.Contract, rows: list[dict[str, Any]]
) -> None:
    """Add rows to a table of records, which is made if it is not there.

    Raises:
        LingokidsError: The table takes no such rows, as after it was changed by hand.
    """
    kept_table(warehouse, contract).append(rows)


def kept_table(warehouse: Warehouse, contract: schema.Contract) -> StoredTable:
    """A table of the warehouse by its contract alone, without a catalog entry."""
    return warehouse.stored(_ByContract(contract, warehouse.has_versions(contract)))


def id_of_run(asked: str, last: str | None) -> str:
    """The id that a run is recorded by: ids never go back, whatever the clock says.

    Args:
        asked: The id it was asked for by: with Kedro's, the instant.
        last: The greatest id there is.
    """
    try:
        instant = datetime.strptime(asked, VERSION_FORMAT)
    except ValueError:
        instant = datetime.now(UTC)
    if last is not None and _id_at(instant) <= last:
        instant = datetime.strptime(last, VERSION_FORMAT) + timedelta(milliseconds=1)
    return _id_at(instant)


def _id_at(instant: datetime) -> str:
    return f"{instant.strftime(VERSION_FORMAT)[:-4]}Z"


def instant_of(run_id: str) -> int:
    """The instant in a run's id, in nanoseconds since 1970."""
    instant = datetime.strptime(run_id, VERSION_FORMAT).replace(tzinfo=UTC)
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
