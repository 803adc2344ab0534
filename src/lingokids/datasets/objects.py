"""Raw objects in a folder or a bucket: found by listing, fetched concurrently, read once.

Here: the listing and bounded fetching. Elsewhere: cutting bytes into lines (``lines``), turning
lines into records (``records``), which objects are new (the ingestion pipeline), what a line must
hold (``quality``).

Small objects are gathered into batches of some 64 MiB, so that the engine sees few large
batches instead of many small files; one batch is fetched while the engine works on another.
"""

from __future__ import annotations

import itertools
import logging
import queue
import re
import threading
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import ibis
import pyarrow as pa
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from lingokids import contracts
from lingokids.datasets import lines as line_cutting
from lingokids.datasets.progress import progress_bar
from lingokids.datasets.records import RawObject, RecordReader
from lingokids.datasets.warehouse import Warehouse
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.types as ir

    from lingokids.contracts import Field, RawSource

LOGGER = logging.getLogger(__name__)

_FETCH_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 22
_ARRIVAL_IN_KEY = re.compile(r"(?:^|/)(\d{4}-\d{2}-\d{2})/(\d{2})/")


class ObjectsDataset(AbstractDataset[None, "RawSource"]):
    """Raw JSON Lines objects below one folder or bucket.

    Loading gives a ``contracts.RawSource``: nothing is listed or read before it is asked to.
    An object whose name begins with a dot or an underscore is not data and is passed over.

    Args:
        path: A local folder or a URL such as ``s3://raw-events``.
        dataset: The name under which its objects stand in the ledger.
        fields: Name of the record's fields in ``contracts.py``.
        warehouse: The warehouse whose run reads the lines: see ``Warehouse.at``.
        arrival: What says when an object landed: ``modified``, its last modification, or
            ``key``, the ``<day>/<hour>/`` in its name, for copies that do not keep times (a
            git checkout).
        batch_mebibytes: How much text the engine is given at a time; three times as much is
            held.
        credentials: Arguments of the filesystem, such as ``key`` and ``secret``.
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
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if arrival not in {"modified", "key"}:
            raise LingokidsError(f"{dataset}: arrival is {arrival!r}: write modified or key.")
        self.metadata = metadata
        self.path = path.rstrip("/")
        self.dataset = dataset
        self._fields: tuple[Field, ...] = getattr(contracts, fields)
        self._warehouse = Warehouse.at(**warehouse)
        self._arrival = arrival
        self._batch_bytes = batch_mebibytes << 20
        self._credentials = credentials or {}

    def load(self) -> RawSource:
        """The source, ready to list and read."""
        return self

    def save(self, data: None) -> None:
        """Refused: raw objects are delivered, not written."""
        raise LingokidsError(f"{self.path} is delivered to, not written.")

    def listing(self) -> ir.Table:
        """One row per object present: ``contracts.RAW_OBJECTS``.

        Raises:
            LingokidsError: The folder or bucket is missing, or cannot be listed.
        """
        try:
            found = self._find()
        except LingokidsError:
            raise
        except Exception as error:  # each filesystem has errors of its own
            raise LingokidsError(
                f"{self.path} cannot be listed ({type(error).__name__}: {error}): check the place "
                "in globals.yml, the credentials and the server. Nothing was changed."
            ) from error
        schema = contracts.RAW_OBJECTS.schema.to_pyarrow()
        columns = [list(column) for column in zip(*found, strict=True)] or [[], [], [], []]
        return ibis.memtable(
            pa.table(
                {
                    field.name: pa.array(column, field.type)
                    for field, column in zip(schema, columns, strict=True)
                },
                schema,
            )
        )

    def _find(self) -> list[tuple[str, str, int, datetime]]:
        filesystem, root = self._filesystem()
        if not filesystem.exists(root):
            raise LingokidsError(
                f"{self.path} is not there: create it, or change raw.{self.dataset} in "
                "globals.yml. Nothing was changed."
            )
        return [
            self._listed(path.removeprefix(root).lstrip("/"), info)
            for path, info in filesystem.find(root, detail=True).items()
            if _is_data(path)
        ]

    def lost_from(self, ledger: ir.Table) -> list[str]:
        """The keys of object versions that the ledger has and the source has no longer."""
        known = ledger.filter(ledger.dataset == self.dataset)
        lost = known.anti_join(self.listing(), ["object_key", "etag"]).order_by("object_key")
        return lost.object_key.to_pyarrow().to_pylist()

    def read(
        self, objects: ir.Table, judge: Callable[[ir.Table], ir.Table]
    ) -> Iterator[tuple[ir.Table, ir.Table]]:
        """Read objects once, in batches: see ``contracts.RawSource``."""
        due = self._due(objects)
        engine = RecordReader(self._warehouse, self.dataset, self._fields, due, judge)
        with progress_bar(self.dataset, len(due)) as advance:
            for batch in _ahead(self._batches(due)):
                yield engine.read(batch)
                advance(len({piece.object_index for piece in batch}))

    def preview(self, nrows: int = 10) -> TablePreview:
        """Some of the objects present, for kedro-viz: folders are listed until there are enough."""
        filesystem, root = self._filesystem()
        listed = (
            self._listed(info["name"].removeprefix(root).lstrip("/"), info)
            for _, _, files in filesystem.walk(root, detail=True)
            for info in files.values()
            if _is_data(info["name"])
        )
        cells = [
            [key, size_bytes, str(landed_at)]
            for key, _, size_bytes, landed_at in itertools.islice(listed, nrows)
        ]
        columns = ["object_key", "size_bytes", "landed_at"]
        return TablePreview({"index": list(range(len(cells))), "columns": columns, "data": cells})

    def _due(self, objects: ir.Table) -> list[RawObject]:
        """The objects of this dataset, in order of arrival."""
        rows = objects.filter(objects.dataset == self.dataset).select(
            "object_key", "etag", "size_bytes", "landed_at", "load_id"
        )
        return sorted(
            (RawObject(*row.values()) for row in rows.to_pyarrow().to_pylist()),
            key=lambda item: (item.landed_at, item.key),
        )

    def _filesystem(self) -> tuple[Any, str]:
        if unset := [name for name in ("key", "secret") if self._credentials.get(name, "") is None]:
            raise LingokidsError(
                f"{self.path} needs credentials, and {' and '.join(unset)} is not set: set "
                "MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY. Nothing was changed."
            )
        filesystem, root = fsspec.url_to_fs(self.path, **self._credentials)
        filesystem.invalidate_cache()
        return filesystem, root

    def _listed(self, key: str, info: dict[str, Any]) -> tuple[str, str, int, datetime]:
        size = info["size"]
        if "ETag" in info:
            # an object put back to earlier content has the earlier ETag, but is a new delivery
            modified = info["LastModified"]
            etag = f"{info['ETag'].strip(chr(34))}-{modified:%Y%m%dT%H%M%S}"
        else:
            etag = f"{round(info['mtime'] * 1e6):x}-{size:x}"
            modified = datetime.fromtimestamp(info["mtime"], UTC)
        landed_at = self._arrival_in_key(key) if self._arrival == "key" else modified
        return key, etag, size, landed_at.astimezone(UTC).replace(tzinfo=None)

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

    def _batches(self, due: list[RawObject]) -> Iterator[list[line_cutting.Piece]]:
        """Gather the lines of objects until a batch is full.

        There is always a last batch, if an empty one: Kedro wants a generator to yield.
        """
        batch: list[line_cutting.Piece] = []
        held = 0
        for piece in self._pieces(due):
            batch.append(piece)
            held += len(piece.data)
            if held >= self._batch_bytes:
                yield batch
                batch, held = [], 0
        yield batch

    def _pieces(self, due: list[RawObject]) -> Iterator[line_cutting.Piece]:
        for index, blocks in self._contents(due):
            is_gzip = due[index].key.endswith(".gz")
            yield from line_cutting.cut_into_pieces(
                index, line_cutting.gunzip(blocks) if is_gzip else blocks, self._batch_bytes
            )

    def _contents(self, due: list[RawObject]) -> Iterator[tuple[int, Iterable[bytes]]]:
        """The bytes of each object; small ones are fetched many at a time.

        An object that is gone or has changed since it was listed is left for the next run,
        which lists it anew.
        """
        filesystem, root = self._filesystem()
        for group in _groups(due):
            paths = {f"{root}/{due[index].key}": index for index in group}
            if len(group) == 1 and due[group[0]].size_bytes > _FETCH_BYTES:
                yield from self._streamed(filesystem, next(iter(paths)), due, group[0])
                continue
            # not `cat`, which takes a name with [ ] or * for a pattern
            contents = filesystem.cat_ranges(list(paths), None, None, on_error="return")
            for index, content in zip(paths.values(), contents, strict=True):
                if isinstance(content, FileNotFoundError) or (
                    isinstance(content, bytes) and len(content) != due[index].size_bytes
                ):
                    LOGGER.warning(
                        "%s changed while it was read: the next run takes it in.", due[index].key
                    )
                elif isinstance(content, Exception):
                    raise LingokidsError(
                        f"{self.path}/{due[index].key} cannot be read: {content}. Nothing was "
                        "changed; run again."
                    ) from content
                else:
                    yield index, [content]

    def _streamed(
        self, filesystem: Any, path: str, due: list[RawObject], index: int
    ) -> Iterator[tuple[int, Iterable[bytes]]]:
        try:
            file = filesystem.open(path, "rb", block_size=_BLOCK_BYTES)
        except FileNotFoundError:
            LOGGER.warning("%s is gone: it is not taken in.", due[index].key)
            return
        with file:
            yield index, iter(lambda: file.read(_BLOCK_BYTES), b"")

    def _describe(self) -> dict[str, Any]:
        return {"path": self.path, "dataset": self.dataset, "arrival": self._arrival}


def _is_data(path: str) -> bool:
    return not PurePosixPath(path).name.startswith((".", "_"))


def _groups(due: list[RawObject]) -> Iterator[list[int]]:
    """Objects to fetch together, by position: some 16 MiB, or one that is larger."""
    group: list[int] = []
    held = 0
    for index, item in enumerate(due):
        if group and held + item.size_bytes > _FETCH_BYTES:
            yield group
            group, held = [], 0
        group.append(index)
        held += item.size_bytes
    if group:
        yield group


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
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
