"""What a run does for the erased: refuses their lines, and takes out those that are stored.

Whom the record names: ``storage.erasures``. The command: ``privacy.erase``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.storage import BronzeDataset, ObjectsDataset
    from lingokids.storage.duckdb.warehouse import Warehouse


def begin(
    warehouse: Warehouse, sources: Iterable[ObjectsDataset], bronze: list[BronzeDataset]
) -> None:
    """Read the record, and take out what is stored of those it names, once.

    Args:
        warehouse: The tables, in a run.
        sources: The raw objects that it takes in: they know the record.
        bronze: The tables of lines; none: the run does not make all that follows from them.
    """
    from lingokids.storage.duckdb.compaction import has_traces

    warehouse.erasing.purge = None
    warehouse.erasing.leaves_no_trace |= bool(bronze) and has_traces(warehouse)
    records = [source.erasures for source in sources if source.erasures]
    if records:
        try:
            warehouse.erasing.erasures = records[0].read()
        except LingokidsError as error:
            raise LingokidsError(f"{error.message} Nothing was changed.") from error
    if not (records and bronze and warehouse.erasing.erasures.people):
        return
    from lingokids.storage.duckdb.erased import Purge
    from lingokids.storage.duckdb.rewritten import file_rewritten

    tables = [table.stored for table in bronze]
    file_rewritten(tables)
    purge = Purge(warehouse, tables)
    if purge.is_due:
        warehouse.erasing.purge = purge
        purge.make()


def complete(warehouse: Warehouse) -> None:
    """Let no mark name the erased, before the commit, and note that files still do."""
    if warehouse.erasing.purge is not None:
        warehouse.erasing.purge.end()
    if warehouse.erasing.leaves_no_trace:
        from lingokids.storage.duckdb.compaction import note_traces

        note_traces(warehouse, are_left=True)


def end(warehouse: Warehouse) -> None:
    """Leave no file that holds the erased, after an erasure was committed.

    A run that is killed before it could is made up for by the next plain one.
    """
    if warehouse.erasing.leaves_no_trace:
        warehouse.leave_no_trace()
        warehouse.erasing.leaves_no_trace = False
