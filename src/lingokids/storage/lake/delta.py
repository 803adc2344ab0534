"""A table published in the Delta format, and read back from there.

Saving only offers the rows: they are written after the run's commit, from the committed tables.
So nothing that fails here can undo a run, and a run that is rolled back leaves no file behind.
"""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import ibis
from kedro.io import AbstractDataset

from lingokids import schema
from lingokids.errors import LingokidsError, in_one_line
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.lake.pointer import POINTER, Pointer, Sum
from lingokids.storage.lake.storage import Bucket, Storage, temporary_folder
from lingokids.storage.previews import TablePreview, preview_of_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa
    from deltalake import DeltaTable
    from ibis.backends import BaseBackend
    from ibis.backends.duckdb import Backend

    from lingokids.storage.lake.pointer import PublishedTable

LOGGER = logging.getLogger(__name__)

#: The manifest of the version before, which published plain Parquet files.
MANIFEST = "manifest.json"
_UNSPEAKABLE = re.compile(r"[][\\^|%\x00-\x1f]")
_COMMIT = re.compile(r"_delta_log/(\d{20})\.json")
#: Units are numbers: days since this one, and loads since the second, for the first one, which
#: is often by far the largest, has a checksum of its own.
EPOCH, SECOND_LOAD = date(1970, 1, 1), 2
#: How many units have one checksum together: loads come without end, days do not.
_UNITS_A_SUM = {"load_id": 4, "date": 1}


class Found(NamedTuple):
    """What a listing shows of one table.

    Attributes:
        version: The newest one of its log.
        files: The files in its folder, those of its log among them, and their bytes.
    """

    version: int
    files: dict[str, int]

    def is_as_noted(self, noted: PublishedTable) -> bool:
        """Whether nothing was written or removed since its publication."""
        return noted.model_copy(update=self.counts | {"version": self.version}) == noted

    @property
    def counts(self) -> dict[str, int]:
        """The fields of a pointer's table by which a change is seen."""
        return {"files": len(self.files), "bytes": sum(self.files.values())}


class Lake:
    """A folder or bucket of Delta tables, and their pointer.

    Attributes:
        place: The folder or URL.
        storage: Its files.
        grace_hours: How long a file that is superseded stays for those who read it.
    """

    def __init__(
        self,
        place: str,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        grace_hours: int = 1,
    ) -> None:
        self.place = place.rstrip("/")
        is_local = "://" not in self.place
        self.storage = (
            Storage(self.place) if is_local else Bucket(self.place, credentials or {}, s3 or {})
        )
        self.grace_hours = max(1, grace_hours)

    @property
    def name(self) -> str:
        """The place in a few words: the URL, or the name of the folder."""
        return self.place if "://" in self.place else self.place.rpartition("/")[2]

    def pointer(self) -> tuple[Pointer | None, str | None]:
        """The publication as it is now, and the version of its file; None: there is none."""
        stored = self.storage.read(POINTER)
        return (
            (Pointer.parse(stored.content, self.place), stored.version) if stored else (None,) * 2
        )

    @property
    def is_older(self) -> bool:
        """Whether plain Parquet files of the version before lie there."""
        return self.storage.read(MANIFEST) is not None

    def find(self) -> dict[str, Found]:
        """What a listing shows of each table."""
        found: dict[str, Found] = {}
        for path, size in self.storage.sizes().items():
            table, _, name = path.partition("/")
            version, files = found.get(table, Found(-1, {}))
            files[name] = size
            if commit := _COMMIT.fullmatch(name):
                version = max(version, int(commit[1]))
            found[table] = Found(version, files)
        return {table: of_one for table, of_one in found.items() if of_one.version >= 0}

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """A table, as of a version or the newest.

        Raises:
            LingokidsError: Its log is damaged.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        uri, options = self.uri(name), self.storage.options
        try:
            return DeltaTable(uri, version=version, storage_options=options)
        except DeltaError as error:  # an OSError where the place cannot be reached
            reason = in_one_line(str(error).splitlines()[0])
            raise LingokidsError(
                f"the log of {uri} cannot be read ({reason}): use another copy of the lake; or, if "
                "the warehouse is there and whole, remove this folder and run again, which writes "
                "it anew"
            ) from error

    def uri(self, name: str) -> str:
        """Where a table lies.

        Raises:
            LingokidsError: The library takes the folder for another, or panics.
        """
        if "://" not in self.place and (found := _UNSPEAKABLE.search(self.place)):
            raise LingokidsError(
                f"Delta tables cannot lie below a folder with {found[0]!r} in its name: name "
                "another place under lake in globals.yml, or move the project"
            )
        return f"{self.place}/{name}"


def active_files(table: DeltaTable) -> dict[str, tuple[int, int]]:
    """The files of a version: their bytes and rows.

    Raises:
        LingokidsError: Its log names a file outside its folder.
    """
    import pyarrow as pa

    files = {}
    for added in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        path = unquote(added["path"])
        if ":" in path or path.startswith("/") or ".." in path.split("/"):
            raise LingokidsError(
                f"{table.table_uri}: its log names {path}, outside its folder, which is not read: "
                "use another copy of the lake."
            )
        files[path] = (added["size_bytes"], added["num_records"] or 0)
    return files


class DeltaDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """A table of the warehouse as a Delta table.

    Args:
        table: The table; its columns are those of the contract of that name.
        lake: The folder or URL, such as ``s3://gold``, that holds the pointer.
        warehouse: The warehouse whose runs publish: see ``Warehouse.at``.
        unit: The column by which rows are owed: ``load_id``, ``date``, or None: all at once.
        file_mebibytes: How large a file is where there are so many rows; smaller ones are put
            together.
        grace_hours: How long a file that is superseded stays for those who read it; 1 or more.
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
        file_mebibytes: int = 64,
        grace_hours: int = 1,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.table = table
        self.lake = Lake(lake, credentials, s3, grace_hours)
        self.unit = unit
        self.file_bytes = file_mebibytes << 20
        self.metadata = metadata
        self._contract = schema.CONTRACTS[table]
        self._warehouse = Warehouse.at(**warehouse)

    @cached_property
    def columns(self) -> int:
        """A checksum of the columns and their types, as the contract has them."""
        return zlib.crc32(str(self._contract.nullable_schema).encode())

    @cached_property
    def published_schema(self) -> pa.Schema:
        """The columns as they are published: other readers have no UUID, and guess at zones."""
        columns = self._contract.nullable_schema.items()
        return ibis.schema({name: _published(dtype) for name, dtype in columns}).to_pyarrow()

    @property
    def units_a_sum(self) -> int:
        """How many units have one checksum together."""
        return _UNITS_A_SUM.get(self.unit or "", 1)

    def save(self, data: ir.Table) -> None:
        """Offer the rows: what of them is owed is published after the commit."""
        _ = self._warehouse.writer  # refuses outside a run
        self._warehouse.offers.append(Offer(self, data))

    def load(self) -> ir.Table:
        """The published rows, of the version that the pointer names; they are checked first.

        Raises:
            LingokidsError: Nothing is published, or a file is missing or damaged.
        """
        pointer, _ = self.lake.pointer()
        if pointer is None or self.table not in pointer.tables:
            is_older = pointer is None and self.lake.is_older
            raise LingokidsError(
                f"{self.lake.place} has no publication of {self.table}"
                + f": its {MANIFEST} is of the version before, which can restore it" * is_older
                + "."
            )
        noted = pointer.tables[self.table]
        if noted.columns != self.columns:
            raise LingokidsError(
                f"{self.lake.place}: {self.table} was published by another version, with other "
                "columns: restore it by that version, then run rebuild=bronze by this one."
            )
        with self.lake.storage.refusing("read", self.table):
            files = active_files(self.lake.table(self.table, noted.version))
        # kept as long as the dataset: the table is read lazily
        self._fetched = temporary_folder(self._warehouse.database.parent, ".fetched")
        named = {f"{self.table}/{name}": size for name, (size, _) in files.items()}
        copies = self.lake.storage.fetch(named, Path(self._fetched.name))
        self._check(pointer, dict(zip(copies, named, strict=True)), files)
        in_run = self._warehouse.in_run
        return self._read(self._warehouse.writer if in_run else ibis.duckdb.connect(), copies)

    def _check(
        self, pointer: Pointer, copies: dict[Path, str], files: dict[str, tuple[int, int]]
    ) -> None:
        """Refuse rows that are not those of the publication, by the name of their file."""
        # file by file, apart from the warehouse, and in bounded memory: files may hold anything
        reader = ibis.duckdb.connect(threads=1, memory_limit="1GB")
        is_comparable = pointer.hashing == hashing(reader)
        if not is_comparable:
            LOGGER.warning(
                "%s: the engine was another one when it was published: rows are counted, not "
                "compared.",
                self.lake.uri(self.table),
            )
        found: dict[int, Sum] = {}
        blocks_of: dict[str, set[int]] = {}
        for (copy, name), (size, rows) in zip(copies.items(), files.values(), strict=True):
            if not copy.exists():
                raise self._damaged(name, "is missing")
            try:
                if copy.stat().st_size != size:
                    raise ValueError(f"it has not {size:,} bytes")
                answer = reader.to_pyarrow(self.sums(self._read(reader, [copy])))
                sums = as_sums(tuple(row.values()) for row in answer.to_pylist())
                if sum(each.rows for each in sums.values()) != rows:
                    raise ValueError(f"it has not {rows:,} rows")
            except Exception as error:  # the engine has an error for each kind of damage
                reason = str(error).splitlines()[0]
                raise self._damaged(name, f"is not what was published ({reason})") from error
            blocks_of[name] = {*sums}
            for block, part in sums.items():
                whole = found.get(block, Sum(0, 0))
                found[block] = Sum(whole.rows + part.rows, whole.checksum ^ part.checksum)
        noted = pointer.tables[self.table].sums
        for block in found.keys() | noted.keys():
            now, then = found.get(block), noted.get(block)
            if now == then or (now and then and not is_comparable and now.rows == then.rows):
                continue
            suspects = [name for name, blocks in blocks_of.items() if block in blocks]
            raise self._damaged(
                suspects[0] if suspects else self.table, "is not what was published"
            )

    def _damaged(self, name: str, how: str) -> LingokidsError:
        return LingokidsError(
            f"{self.lake.place}: {name} {how}: bring the file back that was there, or use another "
            "copy of the lake."
        )

    def _read(self, backend: Backend, files: list[Path]) -> ir.Table:
        """The rows of files, with the types of the contract: a lake has not all of them."""
        if files:
            rows = backend.read_parquet([str(file) for file in files])
        else:
            rows = ibis.memtable(self.published_schema.empty_table())
        return rows.select(self._contract.columns).cast(self._contract.nullable_schema)

    def sums(self, rows: ir.Table) -> ir.Table:
        """A question: by block of units, how many rows and their checksum."""
        row = ibis.struct({name: rows[name] for name in self._contract.columns})
        sums = rows.group_by(block=self.unit_of(rows) // self.units_a_sum)
        return sums.aggregate(rows=rows.count(), checksum=row.hash().bit_xor())

    def unit_of(self, rows: ir.Table) -> ir.Value:
        """The unit of each row, as a number."""
        if self.unit is None:
            return ibis.literal(0)
        unit = rows[self.unit]
        return unit.epoch_days() if unit.type().is_date() else unit - SECOND_LOAD

    def preview(self, nrows: int = 0) -> TablePreview:
        """What it is and what the pointer says of it, for kedro-viz; its rows are those below."""
        facts = {"place": f"{self.lake.place}/{self.table}, a Delta table"}
        try:
            pointer, _ = self.lake.pointer()
        except Exception as error:  # each filesystem has errors of its own
            facts["notice"] = f"{self.lake.place} cannot be read: {error}"
        else:
            if pointer and (noted := pointer.tables.get(self.table)):
                facts["published"] = f"{pointer.published_at}, by run {pointer.run}"
                facts["version"] = str(noted.version)
                facts["rows"] = f"{sum(each.rows for each in noted.sums.values()):,}"
        return preview_of_table(schema.CONTRACTS[self.table], facts)

    def _exists(self) -> bool:
        pointer, _ = self.lake.pointer()
        return pointer is not None and self.table in pointer.tables

    def _describe(self) -> dict[str, Any]:
        return {"table": self.table, "lake": self.lake.place, "unit": self.unit}


@dataclass
class Offer:
    """The rows of a table that a run offers to be published."""

    dataset: DeltaDataset
    data: ir.Table


def as_sums(rows: Iterable[tuple[int, int, int]]) -> dict[int, Sum]:
    """The answer to ``DeltaDataset.sums``, by block."""
    return {block: Sum(count, checksum) for block, count, checksum in rows}


def _published(dtype: dt.DataType) -> dt.DataType:
    if dtype.is_array():
        return dtype.copy(value_type=_published(dtype.value_type))
    if dtype.is_timestamp():
        return dtype.copy(timezone="UTC")
    return ibis.dtype("string") if dtype.is_uuid() else dtype


def hashing(backend: BaseBackend) -> int:
    """The checksum of a row that never changes: an engine that hashes otherwise gives another."""
    row = {"a": ibis.literal("a"), "b": ibis.literal(1), "c": ibis.timestamp("2021-01-01 00:00:00")}
    return int(backend.to_pyarrow(ibis.struct(row).hash()).as_py())
