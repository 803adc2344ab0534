"""A table published as Parquet files below a lake, and read back from there.

Here: which rows go into which file, and writing them. Elsewhere: which rows are owed, and making
the files the publication (``lake``); where files lie (``storage``).

Saving only offers the rows: they are written after the run's commit, from the committed tables.
So nothing that fails here can undo a run, and a run that is rolled back leaves no file behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.warehouse import Warehouse, no_rows
from lingokids.storage.lake.lake import Lake, sha256_of
from lingokids.storage.lake.manifest import PublishedFile
from lingokids.storage.lake.storage import temporary_folder
from lingokids.storage.previews import TablePreview

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from lingokids.schema import Contract
    from lingokids.storage.lake.manifest import Cell

# A row group is flushed before a file's size is looked at, so files end somewhat larger.
_FILE_BYTES = 192 << 20


class ParquetDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """A table of the warehouse as Parquet files that a manifest names.

    Args:
        table: The table; its columns are those of the contract of that name.
        lake: The folder or URL, such as ``s3://gold``, that holds the manifest.
        warehouse: The warehouse whose runs publish: see ``Warehouse.at``.
        unit: The column by which rows are owed: ``load_id``, ``date``, or None: the table is
            one file, owed whole.
        day: The column of days by which files are cut; the nodes add it where the table has
            not got it, and files do not hold it.
        rows_a_file: Days go into a file together until it has so many rows.
        grace_minutes: How long a file that is superseded stays for those who read it.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: How the bucket's server is asked: see ``s3.S3ClientOptions``.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        table: str,
        lake: str,
        warehouse: dict[str, Any],
        unit: str | None = None,
        day: str = "date",
        rows_a_file: int = 2_500_000,
        grace_minutes: float = 60,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.table = table
        self.lake = Lake(lake, credentials, s3, grace_minutes)
        self.unit = unit
        self.rows_a_file = rows_a_file
        self.metadata = metadata
        self.day = day
        self._contract = schema.CONTRACTS[table]
        self._warehouse = Warehouse.at(**warehouse)

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns and their types, as the contract has them."""
        return {name: str(dtype) for name, dtype in self._contract.nullable_schema.items()}

    def save(self, data: ir.Table) -> None:
        """Offer the rows: what of them is owed is published after the commit."""
        _ = self._warehouse.writer  # refuses outside a run
        self._warehouse.offers.append(Offer(self, data))

    def load(self) -> ir.Table:
        """The published rows; every file is checked against the manifest first.

        Raises:
            LingokidsError: Nothing is published, or a file is missing or damaged.
        """
        import ibis

        manifest = self.lake.manifest()
        if self.table not in manifest.tables:
            raise LingokidsError(f"{self.lake.place} has no publication of {self.table}.")
        if manifest.tables[self.table] != self.columns:
            raise LingokidsError(
                f"{self.lake.place}: {self.table} was published by another version, with other "
                "columns: restore it by that version, then run rebuild=bronze by this one."
            )
        folder = self._warehouse.database.parent
        # kept as long as the dataset: the table is read lazily
        self._fetched = temporary_folder(folder, ".fetched")
        files = self.lake.fetch(manifest.of(self.table), Path(self._fetched.name))
        if not self._warehouse.in_run:
            return _rows_of(files, ibis.duckdb.connect(), self._contract)
        self._warehouse.restored_loads[self.table] = manifest.reflects.get(self.table, {})
        return _rows_of(files, self._warehouse.writer, self._contract)

    def preview(self, nrows: int = 10) -> TablePreview:
        """The files that the manifest names, for kedro-viz."""
        try:
            files = self.lake.manifest().of(self.table)
        except Exception as error:  # each filesystem has errors of its own
            notice = f"{self.lake.place} cannot be read: {error}"
            return TablePreview({"index": [0], "columns": ["notice"], "data": [[notice]]})
        cells = [[file.path, file.rows, file.bytes, file.sha256] for file in files[-nrows:]]
        columns = ["path", "rows", "bytes", "sha256"]
        return TablePreview({"index": list(range(len(cells))), "columns": columns, "data": cells})

    def _exists(self) -> bool:
        return self.table in self.lake.manifest().tables

    def _describe(self) -> dict[str, Any]:
        return {"table": self.table, "lake": self.lake.place, "unit": self.unit}


@dataclass
class Offer:
    """The rows of a table that a run offers to be published."""

    dataset: ParquetDataset
    data: ir.Table
    _compiled: str = ""

    def count_cells(self, warehouse: Warehouse, units: Iterable[str]) -> dict[Cell, int]:
        """The rows of each cell of some units: days, or days of loads."""
        dataset = self.dataset
        type_ = "DATE" if dataset.unit == "date" else "INTEGER"
        listed = ", ".join(f"{type_} '{unit}'" for unit in sorted(units))
        sql = (
            f"SELECT {dataset.day}, {dataset.unit}, count(*) FROM ({self._query(warehouse)}) "
            f"WHERE {dataset.unit} IN ({listed}) GROUP BY ALL"
        )
        return {
            (str(day),) if dataset.unit == "date" else (str(day), unit): rows
            for day, unit, rows in warehouse.writer.con.execute(sql).fetchall()
        }

    def write(
        self, warehouse: Warehouse, cells: dict[Cell, int], folder: Path
    ) -> Iterator[tuple[Path, PublishedFile]]:
        """Write the rows of some cells into files of a bounded size."""
        if self.dataset.unit is None:
            yield from self._copy(warehouse, [], folder / self.dataset.table)
            return
        groups = group_cells(cells, self.dataset.rows_a_file)
        for number, group in enumerate(groups):
            yield from self._copy(warehouse, group, folder / f"{self.dataset.table}-{number}")

    def _query(self, warehouse: Warehouse) -> str:
        self._compiled = self._compiled or warehouse.writer.compile(self.data)
        return self._compiled

    def _copy(
        self, warehouse: Warehouse, cells: list[Cell], folder: Path
    ) -> Iterator[tuple[Path, PublishedFile]]:
        dataset = self.dataset
        columns = ", ".join(f'"{name}"' for name in dataset.columns)
        rows = f"SELECT {columns} FROM ({self._query(warehouse)}) {self._where(cells)}"
        target = str(folder).replace("'", "''")
        written = warehouse.writer.con.execute(
            f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, "
            f"FILE_SIZE_BYTES {_FILE_BYTES}, RETURN_STATS true)"
        ).fetchall()
        for name, count, size_bytes, *_ in written:
            digest = sha256_of(Path(name))
            path = self._path(cells, digest)
            stated = PublishedFile(dataset.table, path, count, size_bytes, digest, list(cells))
            yield Path(name), stated

    def _where(self, cells: list[Cell]) -> str:
        if not cells:
            return ""
        if len(cells[0]) == 1:
            listed = ", ".join(f"DATE '{day}'" for day, *_ in cells)
            return f"WHERE {self.dataset.day} IN ({listed})"
        pairs = ", ".join(f"(DATE '{day}', {unit})" for day, unit in cells)
        days, loads = (sorted(names) for names in zip(*cells, strict=True))
        return (
            f"WHERE ({self.dataset.day}, load_id) IN (VALUES {pairs}) "
            # ranges, by which the engine passes over most of a large table
            f"AND {self.dataset.day} BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}' "
            f"AND load_id BETWEEN {loads[0]} AND {loads[-1]}"
        )

    def _path(self, cells: list[Cell], digest: str) -> str:
        """The file's name: its month, days and loads, and its content."""
        table, short = self.dataset.table, digest[:12]
        if not cells:
            return f"{table}/{short}.parquet"
        days = _span([day for day, *_ in cells], "_")
        loads = [unit for _, *units in cells for unit in units]
        load = f"-load-{_span(loads, '_')}" if loads else ""
        return f"{table}/{cells[0][0][:7]}/{days}{load}-{short}.parquet"


def group_cells(cells: dict[Cell, int], rows_a_file: int) -> list[list[Cell]]:
    """Put cells together, in order, until they have enough rows for a file; months stay apart."""
    groups: list[list[Cell]] = []
    held, month = 0, ""
    for cell in sorted(cells):
        if not groups or held >= rows_a_file or cell[0][:7] != month:
            groups.append([])
            held, month = 0, cell[0][:7]
        groups[-1].append(cell)
        held += cells[cell]
    return groups


def _span(values: list[Any], between: str) -> str:
    first, last = min(values), max(values)
    return f"{first}" if first == last else f"{first}{between}{last}"


def _rows_of(files: list[Path], backend: Backend, contract: Contract) -> ir.Table:
    if files:
        return backend.read_parquet([str(file) for file in files]).select(contract.columns)
    return backend.sql(no_rows(contract.schema))
