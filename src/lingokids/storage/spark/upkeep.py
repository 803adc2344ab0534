"""Maintenance of the tables on Spark: fewer files, and none that nobody needs.

Files are compacted in a namespace of its own, like those of a run, and committed at once: readers
see the same rows before and after. What goes afterwards is of no table as anyone may read it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lingokids import schema
from lingokids.storage.duckdb.compaction import compact as compact_book
from lingokids.storage.spark.book import alone
from lingokids.storage.spark.catalog import MAIN, Book, expected_failures
from lingokids.storage.spark.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import Row

    from lingokids.storage.spark.warehouse import SparkWarehouse

#: Of files that no table has: of a run that is under way there are none, as it holds the catalog.
_ORPHAN_DAYS = 3
_OPTIONS = {
    # from so many small files, or files of deleted rows, a file is written anew; fewer are cheap
    "rewrite_data_files": "'delete-file-threshold', '5', 'remove-dangling-deletes', 'true'",
    "rewrite_position_delete_files": "'min-input-files', '5'",
}


class Files(NamedTuple):
    """How many files a table has.

    Attributes:
        data: With rows.
        deletes: That say which of these rows were deleted.
    """

    data: int
    deletes: int


def tables_of(warehouse: SparkWarehouse) -> list[str]:
    """The tables whose files lie in the warehouse's location, in order."""
    return sorted(warehouse.on_spark - {schema.UNKNOWN_KEYS.table_name})


def files_of(warehouse: SparkWarehouse, name: str) -> Files:
    """The files of a table as it is now."""
    query = f"SELECT content FROM {warehouse.name_of(name)}.files"
    kinds = [row.content for row in warehouse.spark.sql(query).collect()]
    return Files(kinds.count(0), len(kinds) - kinds.count(0))


def compact(warehouse: SparkWarehouse) -> dict[str, tuple[Files, Files]]:
    """Write files anew where a table has many small ones; returns those it changed.

    It is in a run: the caller commits.
    """
    changed = {}
    for name in tables_of(warehouse):
        before = files_of(warehouse, name)
        for procedure, options in _OPTIONS.items():
            _call(warehouse, procedure, name, options=f"map({options})")
        if (after := files_of(warehouse, name)) != before:
            changed[name] = before, after
    return changed


def expire(warehouse: SparkWarehouse, before: datetime) -> int:
    """Remove what was replaced before an instant, after a commit; returns how many files.

    A snapshot is as old as the one that took its place: what was current since then stays.
    """
    removed = 0
    for name in tables_of(warehouse):
        taken = f"SELECT unix_millis(committed_at) FROM {warehouse.name_of(name)}.snapshots"
        instants = sorted(row[0] for row in warehouse.spark.sql(taken).collect())
        replaced = [each for each in instants if each <= before.timestamp() * 1000]
        if len(replaced) > 1:
            older_than = _literal(datetime.fromtimestamp(replaced[-1] / 1000, UTC))
            (counts,) = _call(warehouse, "expire_snapshots", name, older_than=older_than)
            removed += sum(counts)
    return removed


def remove_orphans(warehouse: SparkWarehouse, before: datetime) -> int:
    """Remove files older than an instant that no table has; returns how many.

    Killed and rolled-back runs leave them. A table of which a reader has an older state waits.
    """
    removed = 0
    for name in sorted({*tables_of(warehouse)} - warehouse.catalog.read_elsewhere()):
        listed = {"older_than": _literal(before), "prefix_listing": "true"}
        removed += len(_call(warehouse, "remove_orphan_files", name, **listed))
    return removed


def drop_deleted_rows(warehouse: SparkWarehouse) -> None:
    """Write files anew that hold deleted rows, in a run: it commits."""
    options = "map('delete-file-threshold', '1', 'remove-dangling-deletes', 'true')"
    for name in tables_of(warehouse):
        if files_of(warehouse, name).deletes:
            _call(warehouse, "rewrite_data_files", name, options=options)


def leave_no_trace(warehouse: SparkWarehouse) -> None:
    """Remove all that tables were before, after a commit, and write the book anew.

    Whoever reads a table as it was before is left without its files. It is noted in the book last,
    so a run that is killed before is made up for.
    """
    with expected_failures("Nothing of the erased is in a table any more, but old files hold it"):
        warehouse.namespace = MAIN
        for name in tables_of(warehouse):
            _forget_history(warehouse, name)
    with alone(warehouse.database):
        compact_book(warehouse)
        warehouse.catalog.replace_book(Book(warehouse.number, warehouse.database.read_bytes()))


def _forget_history(warehouse: SparkWarehouse, name: str) -> None:
    """Remove every file that a table as it is does not need.

    Spark's procedures spare files of the last day; no run writes meanwhile.
    """
    session, jvm = warehouse.spark._jsparkSession, cast("Any", warehouse.spark._jvm)
    spark = jvm.org.apache.iceberg.spark
    now = int(time.time() * 1000) + 1
    table = spark.Spark3Util.loadIcebergTable(session, warehouse.name_of(name))
    expiry = table.expireSnapshots().expireOlderThan(now).retainLast(1)
    expiry.cleanExpiredFiles(False).commit()
    removal = spark.actions.SparkActions.get(session).deleteOrphanFiles(table)
    removal.usePrefixListing(True).olderThan(now).execute()


def maintain(
    warehouse: SparkWarehouse, keep_days: int, now: datetime
) -> tuple[dict[str, tuple[Files, Files]], int]:
    """Compact, and remove what nobody needs; returns the tables changed, and files removed.

    Args:
        warehouse: The tables; runs are refused meanwhile.
        keep_days: Days for which a state that was replaced can be read.
        now: The clock.
    """
    try:
        with expected_failures("The tables were not maintained, and are as they were"):
            warehouse.begin()
            compacted = compact(warehouse)
            warehouse.catalog.commit(warehouse.namespace, None)
        with expected_failures("The tables were compacted, but not all that is old was removed"):
            warehouse.namespace = MAIN
            removed = expire(warehouse, now - timedelta(days=keep_days))
            removed += remove_orphans(warehouse, now - timedelta(days=_ORPHAN_DAYS))
    finally:
        warehouse.close()
    return compacted, removed


def _call(warehouse: SparkWarehouse, procedure: str, name: str, **arguments: Any) -> list[Row]:
    given = {"table": f"'{warehouse.namespace}.{name}'", **arguments}
    listed = ", ".join(f"{key} => {value}" for key, value in given.items())
    return warehouse.spark.sql(f"CALL {CATALOG}.system.{procedure}({listed})").collect()


def _literal(instant: datetime) -> str:
    return f"TIMESTAMP_LTZ '{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}Z'"
