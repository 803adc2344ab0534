"""Raw objects in a folder or a bucket: found by listing, fetched concurrently, read once.

Here: which objects are data, when they landed, and gathering their lines into batches.
Elsewhere: listing and fetching (``stores``, ``buckets``), cutting bytes into lines (``lines``),
turning lines into records (``records``), which objects are new (the ingestion pipeline), what a
line must hold (``quality``).

Small objects are gathered into batches of some 64 MiB, so that the engine sees few large
batches instead of many small files; one batch is fetched while the engine works on another.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import queue
import re
import threading
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.raw import lines as line_cutting
from lingokids.storage.raw import memory
from lingokids.storage.raw.progress import progress_bar
from lingokids.storage.raw.records import RawObject, RecordReader, judge_texts
from lingokids.storage.raw.stores import StoredObject, open_store
from lingokids.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import ibis.expr.types as ir

    from lingokids.schema import Field, RawSource

LOGGER = logging.getLogger(__name__)

_PAGE_OBJECTS = 10_000
_ARRIVAL_IN_KEY = re.compile(r"(?:^|/)(\d{4}-\d{2}-\d{2})/(\d{2})/")


class ObjectsDataset(AbstractDataset[None, "RawSource"]):
    """Raw JSON Lines objects below one folder or bucket.

    Loading gives a ``schema.RawSource``: nothing is listed or read before it is asked to.
    An object whose name begins with a dot or an underscore is not data and is passed over.

    Args:
        path: A local folder or a URL such as ``s3://raw-events``.
        dataset: The name under which its objects stand in the ledger.
        fields: Name of the record's fields in ``schema.raw``.
        warehouse: The warehouse whose run reads the lines: see ``Warehouse.at``.
        arrival: What says when an object landed: ``modified``, its last modification, or
            ``key``, the ``<day>/<hour>/`` in its name, for copies that do not keep times (a
            git checkout).
        batch_mebibytes: How much text the engine is given at a time; three times as much is
            held.
        engine_mebibytes: How much the engine holds at most while it reads: see
            ``memory.bounded``.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: How the bucket's server is asked: see ``s3.Asking``.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        path: str,
        dataset: str,
        fields: str,
        warehouse: dict[str, Any],
        arrival: str = "modified",
        batch_mebibytes: int = 64,
        engine_mebibytes: int | None = None,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if arrival not in {"modified", "key"}:
            raise LingokidsError(f"{dataset}: arrival is {arrival!r}: write modified or key.")
        self.metadata = metadata
        self.path = path.rstrip("/")
        self.dataset = dataset
        self.fields: tuple[Field, ...] = getattr(schema, fields)
        self._warehouse = Warehouse.at(**warehouse)
        self._arrival = arrival
        self._batch_bytes = batch_mebibytes << 20
        self._engine_mebibytes = engine_mebibytes
        self._store = functools.partial(open_store, self.path, credentials, s3)

    def load(self) -> RawSource:
        """The source, ready to list and read."""
        return self

    def save(self, data: None) -> None:
        """Refused: raw objects are delivered, not written."""
        raise LingokidsError(f"{self.path} is delivered to, not written.")

    def listing(self, since: date | None = None) -> ir.Table:
        """One row per object present: see ``schema.RawSource``.

        Raises:
            LingokidsError: The folder or bucket is missing, or cannot be listed.
        """
        columns = schema.RAW_OBJECTS.schema.to_pyarrow()
        found = self._data_objects(since)
        pages = []
        while page := list(itertools.islice(found, _PAGE_OBJECTS)):
            rows = [(each.key, each.etag, each.size_bytes, self._landed_at(each)) for each in page]
            pages.append(
                pa.record_batch(
                    [pa.array(column) for column in zip(*rows, strict=True)], columns.names
                ).cast(columns)
            )
        return ibis.memtable(pa.Table.from_batches(pages, columns))

    def _data_objects(self, since: date | None = None) -> Iterator[StoredObject]:
        return (found for found in self._store().find(since) if _is_data(found.key))

    def lost_from(self, ledger: ir.Table) -> list[str]:
        """The keys of object versions that the ledger has and the source has no longer."""
        # no more columns than these: the ledger may be of another version, and made anew
        known = ledger.select("dataset", "object_key", "etag").filter(
            ibis._.dataset == self.dataset
        )
        lost = known.anti_join(self.listing(), ["object_key", "etag"]).order_by("object_key")
        return lost.object_key.to_pyarrow().to_pylist()

    def read(
        self,
        objects: ir.Table,
        judge: Callable[[ir.Table], ir.Table],
        if_gone: str = "the next run takes it in",
    ) -> Iterator[tuple[ir.Table, ir.Table]]:
        """Read objects once, in batches: see ``schema.RawSource``."""
        due = self._due(objects)
        engine = RecordReader(self._warehouse, self.dataset, self.fields, due, judge)
        with (
            memory.bounded(self._warehouse.writer.con, self._engine_mebibytes),
            progress_bar(self.dataset, len(due)) as advance,
        ):
            for batch in _ahead(self._batches(due, if_gone)):
                yield engine.read(batch)
                advance(len({piece.object_index for piece in batch}))

    def judge_texts(self, quarantined: ir.Table, judge: Callable[[ir.Table], ir.Table]) -> ir.Table:
        """Judge quarantined lines by their text: see ``schema.RawSource``."""
        mine = quarantined.filter(quarantined.dataset == self.dataset)
        return judge_texts(self._warehouse, self.dataset, self.fields, mine, judge)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Some of the objects present, for kedro-viz: folders are listed until there are enough."""
        cells = [
            [found.key, found.size_bytes, str(self._landed_at(found))]
            for found in itertools.islice(self._data_objects(), nrows)
        ]
        columns = ["object_key", "size_bytes", "landed_at"]
        return TablePreview({"index": list(range(len(cells))), "columns": columns, "data": cells})

    def _due(self, objects: ir.Table) -> list[RawObject]:
        """The objects of this dataset, in order of arrival."""
        mine = objects.filter(objects.dataset == self.dataset).order_by("landed_at", "object_key")
        columns = mine.select("object_key", "etag", "size_bytes", "landed_at", "load_id")
        values = (column.to_pylist() for column in columns.to_pyarrow().columns)
        return [RawObject(*row) for row in zip(*values, strict=True)]

    def _landed_at(self, found: StoredObject) -> datetime:
        by_key = self._arrival == "key"
        landed_at = self._arrival_in_key(found.key) if by_key else found.modified_at
        return landed_at.astimezone(UTC).replace(tzinfo=None)

    def _arrival_in_key(self, key: str) -> datetime:
        found = _ARRIVAL_IN_KEY.search(key)
        try:
            if found is not None:
                return datetime.fromisoformat(f"{found[1]}T{found[2]}:00:00+00:00")
            raise ValueError
        except ValueError:
            raise LingokidsError(
                f"{self.path}/{key} has no <YYYY-MM-DD>/<HH>/ in its name to say when it landed: "
                "move it, or set arrival: modified in the catalog."
            ) from None

    def _batches(self, due: list[RawObject], if_gone: str) -> Generator[list[line_cutting.Piece]]:
        """Gather the lines of objects until a batch is full.

        There is always a last batch, if an empty one: Kedro wants a generator to yield.
        """
        batch: list[line_cutting.Piece] = []
        held = 0
        for piece in self._pieces(due, if_gone):
            batch.append(piece)
            held += len(piece.data)
            if held >= self._batch_bytes:
                yield batch
                batch, held = [], 0
        yield batch

    def _pieces(self, due: list[RawObject], if_gone: str) -> Iterator[line_cutting.Piece]:
        """The lines of each object in turn, but for one that is gone or has changed."""
        with contextlib.closing(self._store().fetch(due)) as contents:
            for index, blocks in enumerate(contents):
                key = due[index].key
                if blocks is None:
                    LOGGER.warning("%s changed or is gone: %s.", key, if_gone)
                    continue
                if key.endswith(".gz"):
                    blocks = line_cutting.gunzip(blocks)  # noqa: PLW2901
                yield from line_cutting.cut_into_pieces(index, blocks, self._batch_bytes)

    def _describe(self) -> dict[str, Any]:
        return {"path": self.path, "dataset": self.dataset, "arrival": self._arrival}


def _is_data(path: str) -> bool:
    return not path.rpartition("/")[2].startswith((".", "_"))


def _ahead(batches: Generator[Any]) -> Iterator[Any]:
    """Make the next batch in another thread while the consumer works on one."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=1)
    stopped = threading.Event()
    done = object()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def fill() -> None:
        try:
            with contextlib.closing(batches):
                for batch in batches:
                    put(batch)
                    if stopped.is_set():
                        return
        except BaseException as error:  # raised again where the batches are consumed
            put(error)
        else:
            put(done)

    thread = threading.Thread(target=fill, name="fetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not done:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
