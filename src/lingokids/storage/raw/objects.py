"""Raw objects as a dataset: which are new, and their lines in batches."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import re
import zlib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
from kedro.io import AbstractDataset

from lingokids import schema
from lingokids.errors import LingokidsError, in_one_line, refuse_out_of_range
from lingokids.schema import Delivery
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.erasures import ErasureRecord
from lingokids.storage.previews import TablePreview, preview_of
from lingokids.storage.raw.places import open_store
from lingokids.storage.raw.reading import Reading
from lingokids.storage.raw.stores import RawObject, StoredObject
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ibis.expr.types as ir

    from lingokids.schema import RawSource

LOGGER = logging.getLogger(__name__)

_IF_GONE = "lines of it that quarantine holds in part stay there"
_SHOWN = ("object_key", "size_bytes", "landed_at")
_PAGE_OBJECTS = 10_000
_ARRIVAL_IN_KEY = re.compile(r"(?:^|/)(\d{4}-\d{2}-\d{2})/(\d{2})/")


class ObjectsDataset(AbstractDataset[None, "RawSource"]):
    """Raw JSON Lines objects below one folder or bucket.

    Loading gives a ``schema.RawSource``: nothing is listed or read before it is asked to.
    What is not data is passed over: see ``stores.Store``.

    Args:
        path: A local folder or a URL such as ``s3://raw-events``.
        dataset: The name of its objects in the ledger.
        warehouse: The warehouse whose run reads the lines: see ``Warehouse.at``.
        arrival: What says when an object landed: ``modified``, its last modification, or
            ``key``, the ``<day>/<hour>/`` in its name, for copies that do not keep times (a
            git checkout).
        versions: What tells a version of an object from another: ``modified``, its time and size
            (in a bucket its ETag), or ``content``, for which every file is read to be listed.
        share: Of the objects there, how many are looked at: by their keys, so always the same
            ones.
        batch_mebibytes: How much text the engine is given at a time; three times as much is
            held.
        engine_mebibytes: How much the engine holds at most while it reads: see
            ``duckdb.memory``.
        erasures: The file that says whose lines are refused; None: nobody's are.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: Time-outs and retries: see ``s3.S3ClientOptions``.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        path: str,
        dataset: str,
        warehouse: dict[str, Any],
        arrival: str = "modified",
        versions: str = "modified",
        share: float = 1,
        batch_mebibytes: int = 64,
        engine_mebibytes: int | None = None,
        erasures: str | None = None,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        for name, given, other in ("arrival", arrival, "key"), ("versions", versions, "content"):
            if given not in {"modified", other}:
                raise LingokidsError(f"{dataset}: {name} is {given!r}: write modified or {other}.")
        refuse_out_of_range(f"raw.{dataset}_share", share, 0.0001, 1)
        refuse_out_of_range("raw.batch_mebibytes", batch_mebibytes, 1, 1_024)
        if engine_mebibytes is not None:
            refuse_out_of_range("raw.engine_mebibytes", engine_mebibytes, 1, 1 << 20)
        self.metadata = metadata
        self.path = path.rstrip("/")
        self.dataset = dataset
        #: When the oldest objects landed that are taken in; None: all are.
        self.since: datetime | None = None
        self.warehouse = Warehouse.at(**warehouse)
        self._arrival = arrival
        self._share = share
        self._batch_bytes = batch_mebibytes << 20
        self._engine_mebibytes = engine_mebibytes
        self.erasures = ErasureRecord(erasures, credentials, s3) if erasures else None
        self.store = functools.partial(
            open_store, self.path, credentials, s3, by_content=versions == "content"
        )

    def load(self) -> RawSource:
        """The source, ready to list and read."""
        return self

    def save(self, data: None) -> None:
        """Refused: raw objects are delivered, not written."""
        raise LingokidsError(f"{self.path} is delivered to, not written.")

    def listing(self, since: date | None = None) -> ir.Table:
        """One row per object present: ``RAW_OBJECTS``; see ``arrivals``."""
        columns = schema.RAW_OBJECTS.schema.to_pyarrow()
        found = self.arrivals(since)
        pages = []
        while page := list(itertools.islice(found, _PAGE_OBJECTS)):
            rows = [(each.key, each.etag, each.size_bytes, landed_at) for each, landed_at in page]
            pages.append(
                pa.record_batch(
                    [pa.array(column) for column in zip(*rows, strict=True)], columns.names
                ).cast(columns)
            )
        return ibis.memtable(self._of_one_name(pa.Table.from_batches(pages, columns)))

    def arrivals(self, since: date | None) -> Iterator[tuple[StoredObject, datetime]]:
        """The objects and when they landed; those that do not say it are named.

        Raises:
            LingokidsError: The folder or bucket is missing, or cannot be listed; or no object
                says when it landed.
        """
        timeless: list[str] = []
        is_any_placed = False
        for found in self.store().find(since):
            if not self._is_of_sample(found.key):
                continue
            if (landed_at := self.landed_at(found)) is None:
                timeless.append(found.key)
                continue
            is_any_placed = True
            if landed_at >= (self.since or landed_at):
                yield found, landed_at
        if not timeless:
            return
        why = (
            f"{self.path}: no <YYYY-MM-DD>/<HH>/ in the name says when it landed: "
            f"{in_one_line(', '.join(timeless), 300)}. Move it, or set arrival: modified in "
            "globals.yml."
        )
        if since is None and not is_any_placed:
            raise LingokidsError(why)
        LOGGER.warning("Not read: %s", why)

    def _is_of_sample(self, key: str) -> bool:
        """Whether an object is looked at, where a share of them is."""
        return zlib.crc32(key.encode(errors="replace")) < self._share * (1 << 32)

    def _of_one_name(self, listed: pa.Table) -> pa.Table:
        """The objects whose key is theirs alone; others could not be told apart when read."""
        counts = listed.group_by("object_key").aggregate([([], "count_all")])
        shared = counts.filter(pc.greater(counts["count_all"], 1))["object_key"]
        if not len(shared):
            return listed
        LOGGER.warning(
            "%s: not read, as several objects have this key, but for a slash at an end or for "
            "bytes that are not UTF-8: %s. Rename all but one.",
            self.path,
            in_one_line(", ".join(sorted(shared.to_pylist())), 300),
        )
        return listed.filter(pc.invert(pc.is_in(listed["object_key"], shared)))

    def lost(self) -> list[str]:
        """The keys of objects that bronze has and the source has no longer."""
        known = self.warehouse.known_objects(self.dataset)
        lost = known.anti_join(self.listing(), "object_key").order_by("object_key")
        return lost.object_key.to_pyarrow().to_pylist()

    def new(
        self, validate: Callable[[ir.Table], ir.Table], since: date | None = None
    ) -> Iterator[Delivery]:
        """Read each object that the ledger has not got: see ``schema.RawSource``."""
        if due := self.due(self.listing(since)):
            yield from self._read(due, validate, "the next run takes it in")

    def due(self, listed: ir.Table) -> list[RawObject]:
        """The objects that the run in hand takes in, of those listed."""
        known = self.warehouse.known_objects(self.dataset)
        new = listed.anti_join(known, ["object_key", "etag", "landed_at"])
        return self._in_order(new.mutate(load_id=ibis.literal(self.warehouse.number, "int32")))

    def quarantined(self, validate: Callable[[ir.Table], ir.Table]) -> Iterator[Delivery]:
        """Validate quarantined lines again: see ``schema.RawSource``."""
        lines = kept_table(self.warehouse, schema.QUARANTINED_LINES).load()
        # a row that counts others stays: what they say is taken in with those that are kept
        lines = lines.filter((lines.dataset == self.dataset) & (lines.lines_alike == 1))
        lines = lines.filter(lines.reason != schema.ERASED)
        is_whole = lines.reason.notin(schema.TEXT_IS_NOT_WHOLE) & (lines.line_text != "")
        past = lines.select(*schema.LINE, past_reason=lines.reason, is_open=~is_whole)
        by_text = self.warehouse.validate_texts(self.dataset, lines.filter(is_whole), validate)
        ledger = kept_table(self.warehouse, schema.INGESTED_OBJECTS).load()
        objects = ledger.filter(ledger.dataset == self.dataset).semi_join(
            lines.filter(~is_whole), ["object_key", "load_id"]
        )
        none_read = objects.select("object_key", "load_id").limit(0)
        yield Delivery(by_text.inner_join(past.drop("is_open"), schema.LINE), none_read)
        if due := self._in_order(objects):
            for read in self._read(due, validate, _IF_GONE):
                yield Delivery(_still_open(read.lines, past, objects), read.objects)

    def _read(
        self, due: list[RawObject], validate: Callable[[ir.Table], ir.Table], if_gone: str
    ) -> Iterator[Delivery]:
        """Read objects once, in batches."""

        def pass_over(gone: RawObject) -> None:
            LOGGER.warning("%s changed or is gone: %s.", gone.key, if_gone)

        reading = Reading(
            self.dataset, self.store, validate, self._batch_bytes, self._engine_mebibytes
        )
        return self.warehouse.read_objects(reading, due, pass_over)

    def probe(self) -> str:
        """List and read the first object there is; says which.

        Raises:
            LingokidsError: The place cannot be listed, or the object not be read.
        """
        first = next(self.store().find(), None)
        if first is None:
            return "empty"
        with contextlib.closing(self.store().fetch([first])) as contents:
            for block in next(contents) or ():
                return f"{first.key} was read, {len(block):,} bytes of it"
        return f"{first.key} is gone"

    def preview(self, nrows: int = 5) -> TablePreview:
        """What is delivered: objects, of which the first are shown, and the fields of a record."""
        about = {
            "table": f"The {self.dataset} as delivered: objects of JSON Lines.",
            "grain": "a line of an object",
            "owner": f"{schema.DATA_ENGINEERING}; restricted",
            "place": self.path,
        }
        fields = {field.path: schema.COLUMNS[field.column] for field in schema.FIELDS[self.dataset]}
        columns = {
            name: (str(schema.RAW_OBJECTS.nullable_schema[name]), schema.COLUMNS[name].comment)
            for name in _SHOWN
        } | {path: (column.type, column.comment) for path, column in fields.items()}
        return preview_of(about, columns, lambda: self._first_objects(nrows))

    def _first_objects(self, nrows: int) -> pa.Table:
        """Those that are found first: listing stops when there are enough."""
        found = itertools.islice(self.store().find(), nrows)
        values = [(each.key, each.size_bytes, self.landed_at(each)) for each in found]
        return pa.Table.from_pylist([dict(zip(_SHOWN, each, strict=True)) for each in values])

    def _in_order(self, objects: ir.Table) -> list[RawObject]:
        """Objects to be read, in order of arrival."""
        columns = objects.order_by("landed_at", "object_key").select(*RawObject._fields)
        values = (column.to_pylist() for column in columns.to_pyarrow().columns)
        return [RawObject(*row) for row in zip(*values, strict=True)]

    @property
    def is_dated_by_writing(self) -> bool:
        """Whether an object that is written again lands again: a bucket's times cannot be set."""
        return self._arrival == "modified" and "://" in self.path

    def landed_at(self, found: StoredObject) -> datetime | None:
        """When an object landed, in UTC; None if its key ought to say it and does not."""
        if self._arrival == "modified":
            rewritten = self.warehouse.erasing.erasures.rewritten.get(self.dataset, {})
            again = rewritten.get(found.key)
            if again and found.etag.startswith(again.etag):
                return again.landed_at
            return found.modified_at.astimezone(UTC).replace(tzinfo=None)
        in_key = _ARRIVAL_IN_KEY.search(found.key)
        with contextlib.suppress(ValueError):  # a day that there is not
            return in_key and datetime.fromisoformat(f"{in_key[1]}T{in_key[2]}:00:00")
        return None

    def _describe(self) -> dict[str, Any]:
        return {"path": self.path, "dataset": self.dataset, "arrival": self._arrival}


def _still_open(lines: ir.Table, past: ir.Table, objects: ir.Table) -> ir.Table:
    """Of objects read again, the lines whose text in quarantine is not whole.

    And those beyond the last line there was, as of a damaged gzip that can be decompressed now.
    The others were validated by their text, or are usable.
    """
    ends = objects.select("object_key", "load_id", lines_before="lines")
    known = (
        lines.left_join(past, schema.LINE)
        .drop(*(f"{column}_right" for column in schema.LINE))
        .inner_join(ends, ["object_key", "load_id"])
    )
    due = known.filter(known.is_open | (known.line_number > known.lines_before))
    return due.drop("lines_before", "is_open")
