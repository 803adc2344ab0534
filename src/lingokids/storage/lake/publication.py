"""What a run publishes after its commit: what the lakes do not reflect yet, and no more.

Here: what is owed, and the order of writing. Elsewhere: which rows a table offers (the
publication pipeline), how they are cut into files (``parquet``), replacing a manifest (``lake``).

What is owed is a difference of data, as everywhere: a manifest notes for each load, day or table
the run that last wrote it; the warehouse's own records say which run that is now. So a run that
was killed before it could publish, or could not reach the lake, is made up for by the next one.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.storage.lake.manifest import MANIFEST, Manifest, PublishedFile
from lingokids.storage.lake.storage import empty_folder, remove_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.lake.lake import Lake
    from lingokids.storage.lake.manifest import Cell
    from lingokids.storage.lake.parquet import Offer, ParquetDataset

LOGGER = logging.getLogger(__name__)

WHOLE = "whole"
# More files of one table and month than this that are not full are put together.
_UNFULL_FILES = 8
_UPLOAD_BYTES = 64 << 20


def publish(warehouse: Warehouse, run_id: str) -> None:
    """Publish what the committed tables have and the lakes have not.

    Raises:
        LingokidsError: A lake cannot be brought up to date. The tables are, and so are the
            other lakes.
    """
    failures = []
    for lake, offers in _by_lake(warehouse.offers):
        try:
            Publication(lake, offers, warehouse, run_id).make()
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

    def __init__(self, lake: Lake, offers: list[Offer], warehouse: Warehouse, run_id: str) -> None:
        self._lake = lake
        self._offers = offers
        self._warehouse = warehouse
        self._before = lake.manifest()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        environment = warehouse.origin.get("environment", "")
        self._after = Manifest(now, run_id, environment)
        self._missing: list[PublishedFile] = []
        self._waiting: list[tuple[Path, str]] = []
        self._waiting_bytes = 0

    def make(self) -> None:
        """Write the files that are owed, then replace the manifest; or do nothing."""
        if self._before.environment not in ("", self._after.environment):
            raise LingokidsError(
                f"it is of environment {self._before.environment}: give this one places of its own "
                "(lake, in globals.yml)"
            )
        owed = [self._note_units(offer) for offer in self._offers]
        present = self._lake.storage.sizes()
        self._missing = [
            file for file in self._before.files if present.get(file.path) != file.bytes
        ]
        if not any(owed) and not self._missing:
            return
        if self._missing:
            LOGGER.warning(
                "%s: %s files that the manifest names are gone, such as %s: they are written anew.",
                self._lake.place,
                f"{len(self._missing):,}",
                self._missing[0].path,
            )
        near = self._warehouse.database.parent
        workspace = empty_folder(self._lake.storage.workspace(near))
        try:
            self._refuse_to_lose_objects(workspace)
            written = [
                file
                for offer, units in zip(self._offers, owed, strict=True)
                for file in self._write(offer, units, workspace)
            ]
            self._upload()
        finally:
            remove_folder(workspace)
        self._lake.replace(self._before, self._after, [file.path for file in written], present)
        LOGGER.info(
            "Published: %s rows in %s files, in %s.",
            f"{sum(file.rows for file in written):,}",
            f"{len(written):,}",
            self._lake.name,
        )

    def _note_units(self, offer: Offer) -> set[str]:
        """The units of a table that the lake does not reflect, or reflects and should not."""
        dataset = offer.dataset
        key = dataset.table
        self._after.reflects[key] = self._units_now(dataset)
        self._after.tables[dataset.table] = dataset.columns
        now, before = self._after.reflects[key], self._before.reflects.get(key, {})
        if self._is_new(offer):
            return {*now, *before}
        return {unit for unit in {*now, *before} if now.get(unit) != before.get(unit)}

    def _is_new(self, offer: Offer) -> bool:
        """Whether the table has other columns there, or was published by another version."""
        table = offer.dataset.table
        is_same = self._before.tables.get(table) == offer.dataset.columns
        return not is_same or table not in self._before.reflects

    def _units_now(self, dataset: ParquetDataset) -> dict[str, str]:
        """Each unit that the table has, and the run that wrote it last."""
        con, tables = self._warehouse.writer.con, self._warehouse.tables
        if dataset.unit is None:
            if "run_steps" not in tables:
                return {}
            rows = con.execute(
                f"SELECT '{WHOLE}', max(run_id) FROM run_steps "
                "WHERE table_name = ? AND rows_deleted + rows_inserted > 0 GROUP BY ALL",
                [dataset.table],
            )
            return dict(rows.fetchall())
        if "run_units" not in tables:
            return {}
        rows = con.execute(
            f"SELECT {dataset.unit}::VARCHAR, max(run_id) FROM run_units "
            f"SEMI JOIN main.{dataset.table} USING ({dataset.unit}) "
            "WHERE table_name = ? GROUP BY ALL ORDER BY ALL",
            [dataset.table],
        )
        return dict(rows.fetchall())

    def _write(self, offer: Offer, owed: set[str], workspace: Path) -> Iterator[PublishedFile]:
        """Write a table's files that are owed; the others stay as they are."""
        is_new = self._is_new(offer)
        stale: list[PublishedFile] = []
        kept: list[PublishedFile] = []
        for files in _by_cells(self._before.of(offer.dataset.table)):
            is_missing = any(file in self._missing for file in files)
            is_owed = bool(owed) and _has_any(files[0], owed)
            (stale if is_new or is_missing or is_owed else kept).extend(files)
        cells: dict[Cell, int] = {}
        if offer.dataset.unit is not None:
            cells = self._cells_of(offer, owed, stale)
            if unfull := _too_many_unfull(kept, cells, offer.dataset.rows_a_file):
                cells |= self._cells_of(offer, set(), unfull)
                kept = [file for file in kept if file not in unfull]
        self._after.files.extend(kept)
        if not cells and (offer.dataset.unit is not None or not (owed or stale)):
            return
        for local, file in offer.write(self._warehouse, cells, workspace):
            self._after.files.append(file)
            self._waiting.append((local, file.path))
            self._waiting_bytes += file.bytes
            if self._waiting_bytes >= _UPLOAD_BYTES:
                self._upload()
            yield file

    def _cells_of(
        self, offer: Offer, owed: set[str], stale: list[PublishedFile]
    ) -> dict[Cell, int]:
        """The cells of the units that are owed, and of files that go, with their rows."""
        going = {cell for file in stale for cell in _cells(file)}
        units = {str(cell[-1]) for cell in going} | owed
        if not units:
            return {}
        counted = offer.count_cells(self._warehouse, units)
        return {
            cell: rows for cell, rows in counted.items() if str(cell[-1]) in owed or cell in going
        }

    def _upload(self) -> None:
        if self._waiting:
            self._lake.storage.put(self._waiting)
        self._waiting, self._waiting_bytes = [], 0

    def _refuse_to_lose_objects(self, workspace: Path) -> None:
        """The lake may be of another warehouse, and hold what raw has no longer.

        An object that was sent again is not lost: raw has its last version only.
        """
        now = self._after.reflects.get("ingested_objects", {})
        before = self._before.reflects.get("ingested_objects", {})
        ledger = [
            file
            for file in self._before.of("ingested_objects")
            if file not in self._missing
            and any(now.get(str(load)) != before.get(str(load), "") for _, load in file.cells)
        ]
        if not ledger:
            return
        copies = [str(file) for file in self._lake.fetch(ledger, workspace / "ledger")]
        rows = self._warehouse.writer.con.execute(
            "SELECT DISTINCT dataset || '/' || object_key FROM read_parquet(?) "
            "ANTI JOIN ingested_objects USING (dataset, object_key)",
            [copies],
        ).fetchall()
        if rows:
            raise LingokidsError(
                f"it holds {len(rows):,} objects that {self._warehouse.database.name} has not, "
                f"such as {min(rows)[0]}. Bring them back into an empty warehouse (kedro run "
                f"--pipeline restore); or, to forget them, delete {self._lake.place}/{MANIFEST}."
            )


def _by_lake(offers: list[Offer]) -> list[tuple[Lake, list[Offer]]]:
    by_place: dict[str, list[Offer]] = {}
    for offer in offers:
        by_place.setdefault(offer.dataset.lake.place, []).append(offer)
    return [(of_one[0].dataset.lake, of_one) for of_one in by_place.values()]


def _cells(file: PublishedFile) -> list[Cell]:
    return [tuple(cell) for cell in file.cells]


def _has_any(file: PublishedFile, units: set[str]) -> bool:
    return not file.cells or any(str(cell[-1]) in units for cell in file.cells)


def _by_cells(files: list[PublishedFile]) -> list[list[PublishedFile]]:
    """The files in groups of the same cells: one write cut them, and any may have a cell's row."""
    together: dict[tuple[Cell, ...], list[PublishedFile]] = {}
    for file in files:
        together.setdefault(tuple(_cells(file)), []).append(file)
    return list(together.values())


def _too_many_unfull(
    kept: list[PublishedFile], written: Iterable[Any], rows_a_file: int
) -> list[PublishedFile]:
    """The files that are not full, of months that are written to and have too many of them."""
    months = {cell[0][:7] for cell in written}
    unfull: dict[str, list[list[PublishedFile]]] = {}
    for files in _by_cells(kept):
        month = files[0].cells[0][0][:7]
        if month in months and sum(file.rows for file in files) < rows_a_file:
            unfull.setdefault(month, []).append(files)
    return [
        file
        for groups in unfull.values()
        if len(groups) >= _UNFULL_FILES
        for files in groups
        for file in files
    ]
