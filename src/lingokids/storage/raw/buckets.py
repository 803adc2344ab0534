"""Raw objects in a bucket: listed by pages, fetched concurrently.

An object is requested by the ETag it was listed with, so that what is read is what was listed. A
large one is read in parts, each a request of its own: no request times out because the engine is
busy, and none is begun again from the start.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import obstore
from obstore.exceptions import BaseError, PreconditionError

from lingokids.errors import LingokidsError
from lingokids.storage.raw.odd_keys import OddKeys
from lingokids.storage.raw.stores import (
    StoredObject,
    Version,
    changed_while_read,
    day_of,
    is_data,
    is_earlier,
)
from lingokids.storage.s3 import Client

if TYPE_CHECKING:
    from obstore import ObjectMeta

PART_BYTES = 1 << 22
_TOGETHER_OBJECTS = 8
_TOGETHER_BYTES = 1 << 20
_UNDER_WAY_BYTES = 1 << 24
_PAGE_KEYS = 1_000
_TIME = re.compile(r"-\d{8}T\d{9}$")  # as _stored adds it
_NO_PATH = "Error parsing Path"
_REPLACED = "\ufffd"


class BucketStore:
    """One bucket, or a folder of it: see ``s3.Client`` for the arguments.

    Where the version of an object is its content, it is its ETag without its time.
    """

    def __init__(
        self,
        url: str,
        credentials: dict[str, Any],
        options: dict[str, Any],
        *,
        by_content: bool = False,
    ) -> None:
        with _nothing_changed():
            self._client = Client(url, credentials, options)
        self._odd_keys = OddKeys(self._client, credentials)
        self._by_content = by_content
        self._url, self._store = self._client.url, self._client.store
        self._concurrency = self._client.options.concurrency

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """See ``stores.Store``."""
        with self._refusing("listed", self._url):
            for found in self._find(since):
                if is_data(found.key) and not is_earlier(found.key, since):
                    yield found

    def _find(self, since: date | None) -> Iterator[StoredObject]:
        after = ""
        try:
            for metas, last in self._pages(since):
                if any(_REPLACED in meta["path"] for meta in metas):
                    raise ValueError(_NO_PATH)
                yield from map(self._stored, metas)
                after = last
        except (BaseError, ValueError) as error:
            if _NO_PATH not in str(error):
                raise
            yield from map(self._stored, self._odd_keys.list(after))

    def _pages(self, since: date | None) -> Iterator[tuple[Sequence[ObjectMeta], str]]:
        """What is listed, and the key up to which it is all there is."""
        if since:
            yield [*self._outside_arrival_folders(since.isoformat())], since.isoformat()
        offset = since.isoformat() if since else None
        for page in obstore.list(self._store, offset=offset, chunk_size=_PAGE_KEYS):
            yield page, page[-1]["path"]

    def _stored(self, meta: ObjectMeta) -> StoredObject:
        """The object as listed.

        An object put back to earlier content has its earlier ETag, but is a new delivery; the time,
        to the millisecond that a listing gives, tells them apart.
        """
        modified_at = meta["last_modified"]
        etag = (meta["e_tag"] or "W/").strip('"')
        if not (self._by_content and meta["e_tag"]):
            etag += f"-{modified_at:%Y%m%dT%H%M%S}{modified_at.microsecond // 1_000:03d}"
        return StoredObject(meta["path"], etag, meta["size"], modified_at)

    def _outside_arrival_folders(self, first_day: str) -> Iterator[ObjectMeta]:
        """What sorts before ``first_day`` and does not lie in a ``<day>/<hour>/`` folder.

        One request a day: the names of its hours, not those of its objects.
        """
        top = obstore.list_with_delimiter(self._store)
        yield from (meta for meta in top["objects"] if meta["path"] <= first_day)
        before = [name for name in top["common_prefixes"] if f"{name}/" < first_day]
        with ThreadPoolExecutor(self._concurrency) as pool:
            for metas in pool.map(self._outside_hours, before):
                yield from metas

    def _outside_hours(self, folder: str) -> Iterable[ObjectMeta]:
        if day_of(folder) is None:
            return obstore.list(self._store, folder).collect()
        found = obstore.list_with_delimiter(self._store, folder)
        metas = list(found["objects"])
        for name in found["common_prefixes"]:
            hour = name.removeprefix(f"{folder}/")
            if not (len(hour) == 2 and hour.isdecimal()):
                metas += obstore.list(self._store, name).collect()
        return metas

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """See ``stores.Store``."""
        with contextlib.closing(self._fetched(_parts(versions))) as fetched:
            by_object = itertools.groupby(fetched, key=lambda got: got[0].position)
            for parts in map(itemgetter(1), by_object):
                first, content = next(parts)
                yield None if content is None else self._blocks(first.version, content, parts)

    def replace(self, found: StoredObject, content: bytes) -> str | None:
        """See ``stores.Store``."""
        mode: Any = {"e_tag": f'"{_TIME.sub("", found.etag)}"'}
        with self._client.refusing("written", f"{self._url}/{found.key}"):
            try:
                put = obstore.put(self._store, found.key, content, mode=mode, use_multipart=False)
            except PreconditionError:
                return None
        return (put["e_tag"] or "").strip('"')

    def remove(self, found: StoredObject) -> bool:
        """See ``stores.Store``; a server has no condition for it, so it is asked right before."""
        with self._client.refusing("removed", f"{self._url}/{found.key}"):
            try:
                now = obstore.head(self._store, found.key)
            except FileNotFoundError:
                return False
            # it has whole seconds, where a listing has milliseconds
            is_later = now["last_modified"] > found.modified_at
            if is_later or (now["e_tag"] or "W/").strip('"') != _TIME.sub("", found.etag):
                return False
            obstore.delete(self._store, found.key)
        return True

    def _blocks(
        self, version: Version, first: bytes, rest: Iterator[tuple[_Part, bytes | None]]
    ) -> Iterator[bytes]:
        yield first
        for _, content in rest:
            if content is None:
                raise changed_while_read(f"{self._url}/{version.key}")
            yield content

    def _fetched(self, parts: Iterator[_Part]) -> Generator[tuple[_Part, bytes | None]]:
        """The parts with their bytes, in order, while the next are being fetched."""
        under_way: deque[tuple[int, Future[list[tuple[_Part, bytes | None]]]]] = deque()
        held = 0
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="get")
        try:
            for some in _together(parts):
                size = sum(part.end - part.start for part in some)
                under_way.append((size, pool.submit(self._get_all, some)))
                held += size
                while held > _UNDER_WAY_BYTES or len(under_way) > 2 * self._concurrency:
                    size, got = under_way.popleft()
                    yield from got.result()
                    held -= size
            while under_way:
                yield from under_way.popleft()[1].result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _get_all(self, parts: list[_Part]) -> list[tuple[_Part, bytes | None]]:
        return [(part, self._get(part)) for part in parts]

    def _get(self, part: _Part) -> bytes | None:
        version = part.version
        if version.size_bytes == 0:
            return b""
        options: dict[str, Any] = {}
        if not part.is_whole:
            options["range"] = (part.start, part.end)
        etag = _TIME.sub("", version.etag)
        if not etag.startswith("W/"):  # a weak one cannot be asked for
            options["if_match"] = f'"{etag}"'
        with self._refusing("read", f"{self._url}/{version.key}"):
            try:
                got = obstore.get(self._store, version.key, options=options)  # type: ignore[arg-type]
                content: bytes | None = bytes(got.bytes())
            except PreconditionError:
                content = None
            except (FileNotFoundError, BaseError, ValueError) as error:
                is_odd = isinstance(error, FileNotFoundError) or _NO_PATH in str(error)
                if "NoSuchBucket" in str(error) or not is_odd:
                    raise
                content = self._odd_keys.get(version.key, options)
        return content if content and len(content) == part.end - part.start else None

    @contextlib.contextmanager
    def _refusing(self, done: str, place: str) -> Iterator[None]:
        with _nothing_changed(), self._client.refusing(done, place):
            yield


@contextlib.contextmanager
def _nothing_changed() -> Iterator[None]:
    """Say so at the end of a refusal: tables are written after raw objects are read."""
    try:
        yield
    except LingokidsError as error:
        raise LingokidsError(f"{error.message} Nothing was changed.") from None


class _Part(NamedTuple):
    """A span of one object's bytes, at most ``PART_BYTES`` long."""

    position: int
    version: Version
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        return self.end - self.start == self.version.size_bytes


def _parts(versions: Iterable[Version]) -> Iterator[_Part]:
    for position, version in enumerate(versions):
        for start in range(0, max(version.size_bytes, 1), PART_BYTES):
            end = min(start + PART_BYTES, version.size_bytes)
            yield _Part(position, version, start, end)


def _together(parts: Iterator[_Part]) -> Iterator[list[_Part]]:
    """Small parts in groups: handing each to a thread alone costs as much again."""
    some: list[_Part] = []
    held = 0
    for part in parts:
        some.append(part)
        held += part.end - part.start
        if len(some) == _TOGETHER_OBJECTS or held >= _TOGETHER_BYTES:
            yield some
            some, held = [], 0
    if some:
        yield some
