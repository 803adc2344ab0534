"""The statements by which warehouses in the cloud load a published table: whole, or what changed.

A pointer has a checksum of each day, or of a few loads. Those that differ between the pointer of
the last load and this one are replaced: late events, and days that are no more, are among them.
Their rows are deleted and inserted in one step. A merge on keys would leave rows that vanished.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lingokids.errors import LingokidsError
from lingokids.storage.lake.pointer import POINTER, Pointer
from lingokids.storage.lake.publication import MOST_SPANS, predicate, spans

if TYPE_CHECKING:
    from lingokids.storage.lake.delta import DeltaDataset

_IN_A_TRANSACTION = """BEGIN TRANSACTION;
DELETE FROM {table} WHERE {due};
INSERT INTO {table} ({columns})
SELECT {columns} FROM {source} WHERE {due};
COMMIT;"""
_BY_A_MERGE = """MERGE INTO {table}
USING (SELECT {columns} FROM {source} WHERE {due}) AS published
ON FALSE
WHEN NOT MATCHED BY SOURCE AND ({due}) THEN DELETE
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({columns});"""
_WHOLE = "CREATE OR REPLACE TABLE {table} AS SELECT {columns} FROM {source};"


class _Warehouse(NamedTuple):
    """How one loads.

    Attributes:
        source: What the published table is called there.
        once: Makes that, before the first load.
        each_time: Before each later one.
        replace: Replaces the rows that are due.
    """

    source: str
    once: str
    each_time: str
    replace: str


#: MotherDuck takes what DuckDB does.
WAREHOUSES = {
    "snowflake": _Warehouse(
        "lake.{table}",
        "-- 'lake' is an external volume; 'delta' a catalog integration of the kind OBJECT_STORE "
        "with TABLE_FORMAT DELTA\n"
        "CREATE ICEBERG TABLE lake.{table}\n  EXTERNAL_VOLUME = 'lake'\n  CATALOG = 'delta'\n"
        "  BASE_LOCATION = '{bucket}/{table}';\n",
        "ALTER ICEBERG TABLE lake.{table} REFRESH;\n",
        _IN_A_TRANSACTION,
    ),
    "bigquery": _Warehouse(
        "lake.{table}",
        "-- `eu.lake` is a connection that may read the bucket\n"
        "CREATE EXTERNAL TABLE lake.{table}\nWITH CONNECTION `eu.lake`\n"
        "OPTIONS (format = 'DELTA_LAKE', uris = ['gs://{bucket}/{table}']);\n",
        "",
        _BY_A_MERGE,
    ),
    "motherduck": _Warehouse("delta_scan('{place}/{table}')", "", "", _IN_A_TRANSACTION),
}


def statements(
    warehouse: str, entry: dict[str, Any], credentials: dict[str, Any], since: Path | None
) -> str:
    """What loads a published table into a warehouse.

    Args:
        warehouse: One of ``WAREHOUSES``.
        entry: The published table's, of the catalog.
        credentials: ``credentials.yml``.
        since: The pointer that was kept of the last load; None: there was none.

    Raises:
        LingokidsError: It is no pointer, or nothing is published.
    """
    from kedro.io import DataCatalog

    dataset: Any = DataCatalog.from_config({"it": entry}, credentials)["it"]
    how, lake = WAREHOUSES[warehouse], dataset.lake
    names = {
        "table": dataset.table,
        "bucket": lake.place.partition("://")[2] or Path(lake.place).name,
        "place": lake.place.replace("'", "''"),
        "columns": ", ".join(dataset.published_schema.names),
    }
    names["source"] = how.source.format(**names)
    if since is None:
        return (how.once + _WHOLE).format(**names)
    then, (now, _) = _kept(since), lake.pointer()
    if now is None or dataset.table not in now.tables:
        raise LingokidsError(f"{lake.place} has no publication of {dataset.table}: run first.")
    units = changed(dataset, then, now)
    if units == []:
        return f"-- Nothing of {dataset.table} has changed since."
    if units is None or dataset.unit is None:
        return (how.each_time + _WHOLE).format(**names)
    return (how.each_time + how.replace).format(due=predicate(dataset.unit, units), **names)


def changed(dataset: DeltaDataset, loaded: Pointer, now: Pointer) -> list[tuple[int, int]] | None:
    """The units whose rows differ between two publications; None: any may."""
    then, noted = loaded.tables.get(dataset.table), now.tables[dataset.table]
    if then is None or (then.columns, loaded.hashing) != (noted.columns, now.hashing):
        return None
    both = then.sums.keys() | noted.sums.keys()
    differing = [block for block in both if then.sums.get(block) != noted.sums.get(block)]
    units = spans(differing, dataset.units_a_sum)
    return units if not units or (dataset.unit and len(units) <= MOST_SPANS) else None


def _kept(file: Path) -> Pointer:
    try:
        return Pointer.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise LingokidsError(
            f"{file} is no {POINTER}: keep the one of a load, and name it as --since of the next; "
            "or leave --since out, which loads the whole table."
        ) from error
