"""What a run publishes after its commit: what the lakes do not reflect yet, and no more.

A pointer says which run its rows are of; the warehouse knows what later runs wrote, and by
checksums of it what differs. So a run that was killed before it could publish, or could not reach
the lake, is made up for by the next one. Tables are written first, the pointer last: until then
its versions are the publication, and what was written beyond them is undone by the next run.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ibis
from ibis import _

from lingokids import schema
from lingokids.errors import LingokidsError, in_one_line
from lingokids.storage.lake.delta import (
    EPOCH,
    MANIFEST,
    SECOND_LOAD,
    active_files,
    as_sums,
    hashing,
)
from lingokids.storage.lake.pointer import POINTER, Pointer, PublishedTable
from lingokids.storage.lake.storage import TOO_LATE
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir
    from deltalake import CommitProperties, DeltaTable, WriterProperties

    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.lake.delta import DeltaDataset, Lake, Offer
    from lingokids.storage.lake.pointer import Sum

LOGGER = logging.getLogger(__name__)

# So many files that are not full are put together.
_UNFULL_FILES = 10
# More spans of units than this are no predicate any more: the table is written whole.
MOST_SPANS = 200


def publish(warehouse: Warehouse, *, anew: bool) -> None:
    """Publish what the committed tables have and the lakes have not.

    Args:
        warehouse: The tables, after the commit.
        anew: Whether a lake of the version before may be replaced.

    Raises:
        LingokidsError: A lake cannot be brought up to date. The tables are, and so are the
            other lakes.
    """
    failures = []
    for lake, offers in _by_lake(warehouse.offers):
        try:
            with warehouse.reading_through():
                Publication(lake, offers, warehouse).make(anew=anew)
            if warehouse.erasing.leaves_no_trace:
                Publication(lake, offers, warehouse).sweep()
        except Exception as error:  # each filesystem has errors of its own
            failures.append((lake.place, error))
    if failures:
        reasons = "; ".join(f"{place} is not ({_reason(error)})" for place, error in failures)
        raise LingokidsError(
            f"The run is committed and its tables are up to date, but {reasons}: readers there see "
            "the publication before. Mend that and run again."
        ) from failures[0][1]


def _reason(error: Exception) -> str:
    if isinstance(error, LingokidsError):
        return error.message.rstrip(". ")
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


class Publication:
    """One publication in the making."""

    def __init__(self, lake: Lake, offers: list[Offer], warehouse: Warehouse) -> None:
        self._lake = lake
        self._offers = offers
        self._warehouse = warehouse
        self._before, self._etag = lake.pointer()
        self._noted = self._before.tables if self._before else {}
        # None: the run is not one of this warehouse
        self._newer = warehouse.runs_since(self._before.run_id if self._before else None)
        self._found = lake.find()
        self._hashing = 0
        self._written: list[str] = []

    def make(self, *, anew: bool) -> None:
        """Write what is owed, then replace the pointer; or do nothing."""
        if self._newer == [] and (self._before is None or self._is_as_noted()):
            return
        is_older = self._before is None and self._lake.is_older
        if is_older and not anew:
            raise LingokidsError(
                f"{MANIFEST} there is of the version before: if this warehouse is whole, uv run "
                "kedro run --pipeline publication --params rebuild=bronze publishes it as Delta "
                "tables in their place"
            )
        if self._newer is None:
            self._refuse_another_origin()
            self._refuse_to_lose_objects()
        self._hashing = hashing(self._warehouse.backend)
        tables = {offer.dataset.table: self._bring_up_to_date(offer) for offer in self._offers}
        self._replace_pointer(tables)
        if is_older:
            self._lake.storage.remove(MANIFEST)

    def sweep(self) -> None:
        """Remove every file that the publication does not need: those replaced hold the erased.

        The pointer names the version that is swept: a kill before it moves loses no row.
        """
        if self._before is None:
            return
        tables = {}
        for name, noted in self._noted.items():
            with self._lake.storage.refusing("written", name):
                table = self._lake.table(name)
                self._vacuum(table, name, retention_hours=0)
            tables[name] = noted.model_copy(update={"version": table.version()})
        self._hashing = self._before.hashing
        self._replace_pointer(tables)

    def _is_as_noted(self) -> bool:
        names = {offer.dataset.table for offer in self._offers}
        return names == self._noted.keys() <= self._found.keys() and all(
            self._found[name].is_as_noted(noted) for name, noted in self._noted.items()
        )

    def _refuse_another_origin(self) -> None:
        there = self._before.origin if self._before else {}
        for what, theirs in there.items():
            if (ours := self._warehouse.origin.get(what)) not in {None, theirs}:
                raise LingokidsError(
                    f"it is of {what} {in_one_line(theirs)}, and this run of {ours}: "
                    "name another place under lake in globals.yml of this environment; or, to "
                    f"have it replaced, delete {self._lake.place}/{POINTER}"
                )

    def _refuse_to_lose_objects(self) -> None:
        """The lake may be of another warehouse, and hold what raw has no longer.

        An object that was sent again is not lost: raw has its last version only.
        """
        key = ["dataset", "object_key"]
        for offer in self._offers:
            if offer.dataset.table not in self._noted or not {*key, "lines"} <= {
                *offer.data.columns
            }:
                continue
            # asked apart: engines may differ, and tables are lost as seldom as this is asked
            theirs, ours = (
                {*self._warehouse.rows(rows.select(key).distinct())}
                for rows in (offer.dataset.load(), offer.data)
            )
            if lost := theirs - ours:
                raise LingokidsError(
                    f"it holds {len(lost):,} objects that {self._warehouse.name} has not, such as "
                    f"{in_one_line('/'.join(min(lost)))}. Bring them back into an empty warehouse "
                    "(kedro run --pipeline restore); or, to forget them, delete "
                    f"{self._lake.place}/{POINTER}."
                )

    def _bring_up_to_date(self, offer: Offer) -> PublishedTable:
        """Write the rows of a table that are owed; the others stay as they are."""
        dataset = offer.dataset
        noted = self._noted.get(dataset.table)
        is_same = (
            self._before
            and noted
            and ((noted.columns, self._before.hashing) == (dataset.columns, self._hashing))
        )
        version = self._undo(dataset, noted) if is_same and noted else None
        if version is None or noted is None:
            return self._write(offer, None, None, self._sums(dataset, offer.data))
        # None: any may differ
        is_known = self._newer is not None and dataset.unit is not None
        due = self._written_since[dataset.table] if is_known else None
        size = dataset.units_a_sum
        then = noted.sums
        looked_at = None
        if due is not None:
            blocks = {unit // size for unit in due}
            then = {block: of_it for block, of_it in then.items() if block in blocks}
            looked_at = spans(blocks, size)
        now = self._sums(dataset, within(dataset, offer.data, looked_at))
        owed = {block for block in now.keys() | then.keys() if now.get(block) != then.get(block)}
        if not owed:
            return noted.model_copy(update={"version": version})
        units = spans(owed, size) if due is None else spans(u for u in due if u // size in owed)
        sums = {block: of_it for block, of_it in noted.sums.items() if block not in owed} | now
        is_all = dataset.units_a_sum == 1 and noted.sums.keys() <= owed
        is_whole = dataset.unit is None or is_all or len(units) > MOST_SPANS
        return self._write(offer, None if is_whole else units, version, sums)

    def _undo(self, dataset: DeltaDataset, noted: PublishedTable) -> int | None:
        """Make the version of the pointer the newest one again; None: it is not whole."""
        name, found = dataset.table, self._found.get(dataset.table)
        if found is None or found.is_as_noted(noted):
            return found and noted.version
        with self._lake.storage.refusing("written", name):
            table = self._lake.table(name)
        try:
            with self._lake.storage.refusing("written", name):
                if table.version() != noted.version:
                    table.restore(noted.version, commit_properties=_on_top())
                    table = self._lake.table(name)
                files = active_files(table)
        except LingokidsError as error:
            LOGGER.warning("%s: %s: it is written anew.", self._lake.place, error.message)
            return None
        gone = [file for file, (size, _) in files.items() if found.files.get(file) != size]
        rows = sum(of_one for _, of_one in files.values())
        if gone:
            lost = f"{len(gone)} files of the publication are gone, such as {name}/{gone[0]}"
        elif rows != sum(block.rows for block in noted.sums.values()):
            lost = f"the log of {name} has lost rows of the publication"
        else:
            return table.version()
        LOGGER.warning("%s: %s: %s is written anew.", self._lake.place, lost, name)
        return None

    @cached_property
    def _written_since(self) -> dict[str, set[int]]:
        """By table the units that runs wrote after the one of the pointer."""
        units = kept_table(self._warehouse, schema.RUN_UNITS).load()
        written: defaultdict[str, set[int]] = defaultdict(set)
        for table, load, day in self._warehouse.rows(
            units.filter(_.run_id.isin(self._newer))
            .select("table_name", "load_id", "date")
            .distinct()
        ):
            written[table].add((day - EPOCH).days if load is None else load - SECOND_LOAD)
        return written

    def _sums(self, dataset: DeltaDataset, rows: ir.Table) -> dict[int, Sum]:
        return as_sums(self._warehouse.rows(dataset.sums(rows)))

    def _write(
        self,
        offer: Offer,
        units: list[tuple[int, int]] | None,
        version: int | None,
        sums: dict[int, Sum],
    ) -> PublishedTable:
        """Replace units of a table, or all of it, on top of a version."""
        from deltalake import write_deltalake

        dataset, name = offer.dataset, offer.dataset.table
        rows = within(dataset, offer.data, units)
        if dataset.unit == "date":
            rows = rows.order_by("date")
        with self._lake.storage.refusing("written", name):
            there = self._lake.table(name, version) if name in self._found else None
            write_deltalake(
                there or self._lake.uri(name),
                self._warehouse.batches(rows).cast(dataset.published_schema),
                mode="overwrite",
                predicate=predicate(str(dataset.unit), units) if units else None,
                schema_mode=None if units else "overwrite",
                # statistics of ids would stay in the log when their rows are gone
                configuration=None
                if there
                else {"delta.dataSkippingStatsColumns": dataset.unit or ""},
                storage_options=self._lake.storage.options,
                target_file_size=dataset.file_bytes,
                writer_properties=_properties(dataset.unit),
                commit_properties=_on_top(),
            )
            table = there or self._lake.table(name)
            self._tidy(table, dataset)
        self._written.append(name)
        return PublishedTable(version=table.version(), columns=dataset.columns, sums=sums)

    def _tidy(self, table: DeltaTable, dataset: DeltaDataset) -> None:
        """Put small files together, and remove those that nobody can be reading."""
        sizes = [size for size, _ in active_files(table).values()]
        if sum(size < dataset.file_bytes // 2 for size in sizes) > _UNFULL_FILES:
            table.optimize.compact(
                target_size=dataset.file_bytes,
                writer_properties=_properties(dataset.unit),
                commit_properties=_on_top(),
            )
        noted = self._noted.get(dataset.table)
        found = self._found.get(dataset.table)
        is_there = noted and found and noted.version <= found.version
        keep = [noted.version] if noted and is_there else None
        hours = self._lake.grace_hours
        self._vacuum(table, dataset.table, retention_hours=hours, keep_versions=keep)

    def _vacuum(self, table: DeltaTable, name: str, **how: Any) -> None:
        # full: else files of killed runs stay
        how |= {"enforce_retention_duration": False, "full": True}
        if old := table.vacuum(dry_run=True, **how):
            # or what a link leads to would be removed, too
            self._lake.storage.paths(f"{name}/{file}" for file in old)
            table.vacuum(dry_run=False, commit_properties=_on_top(), **how)

    def _replace_pointer(self, tables: dict[str, PublishedTable]) -> None:
        found = self._lake.find()
        if any(found[name].version != table.version for name, table in tables.items()):
            raise LingokidsError(TOO_LATE)
        after = Pointer(
            published_at=datetime.now(UTC).replace(microsecond=0),
            run=max(self._warehouse.number, self._before.run if self._before else 0),
            run_id=(self._warehouse.runs_since(None) or [""])[-1],
            origin=self._warehouse.origin,
            hashing=self._hashing,
            tables={
                name: table.model_copy(update=found[name].counts) for name, table in tables.items()
            },
        )
        if not self._lake.storage.replace(POINTER, after.model_dump_json().encode(), self._etag):
            raise LingokidsError(TOO_LATE)
        if self._written:
            LOGGER.info("Published: %s, in %s.", ", ".join(self._written), self._lake.name)


def _by_lake(offers: list[Offer]) -> list[tuple[Lake, list[Offer]]]:
    by_place: dict[str, list[Offer]] = {}
    for offer in offers:
        by_place.setdefault(offer.dataset.lake.place, []).append(offer)
    return [(of_one[0].dataset.lake, of_one) for of_one in by_place.values()]


def spans(units: Iterable[int], size: int = 1) -> list[tuple[int, int]]:
    """Numbers as first and last of those in a row; of blocks, the units in them."""
    found: list[tuple[int, int]] = []
    for unit in sorted(units):
        first, last = unit * size, unit * size + size - 1
        if found and found[-1][1] + 1 == first:
            first = found.pop()[0]
        found.append((first, last))
    return found


def within(dataset: DeltaDataset, rows: ir.Table, units: list[tuple[int, int]] | None) -> ir.Table:
    """The rows of some units; None: all rows."""
    if units is None or dataset.unit is None:
        return rows
    unit = rows[dataset.unit]
    in_span = (unit.between(*_bounds(dataset.unit, span)) for span in units)
    return rows.filter(ibis.or_(ibis.literal(False), *in_span))


def _bounds(unit: str, span: tuple[int, int]) -> tuple[Any, Any]:
    first, last = span
    if unit == "date":
        return EPOCH + timedelta(first), EPOCH + timedelta(last)
    return first + SECOND_LOAD, last + SECOND_LOAD


def predicate(unit: str, units: list[tuple[int, int]]) -> str:
    """The units as a condition, in SQL that all understand: numbers and days, never text."""
    a = "DATE " if unit == "date" else ""
    bounds = [[f"{a}'{x}'" if a else x for x in _bounds(unit, span)] for span in units]
    return " OR ".join(f"({unit} >= {first} AND {unit} <= {last})" for first, last in bounds)


def _on_top() -> CommitProperties:
    """Commit on top of the version that was opened, or not at all."""
    from deltalake import CommitProperties

    return CommitProperties(max_commit_retries=0)


def _properties(unit: str | None) -> WriterProperties:
    from deltalake import ColumnProperties, WriterProperties

    # ids make large dictionaries: with the usual limit bronze is twice as large
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        max_row_group_size=1_000_000,
        dictionary_page_size_limit=8 << 20,
        default_column_properties=ColumnProperties(statistics_enabled="NONE"),
        column_properties={unit: ColumnProperties(statistics_enabled="CHUNK")} if unit else None,
    )
