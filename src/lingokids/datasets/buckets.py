"""Buckets of MinIO, or any S3: listed by pages, fetched by many requests at a time.

Here: the client, how long and how often a server is asked, and reading in order with bounded
memory. Elsewhere: what is wrong when a server does not answer as it should (``refusals``), which
objects are data (``objects``).

An object is asked for by the ETag it was listed with, so that what is read is what was listed. A
large one is read in parts, each a request of its own: no request outlives its time because the
engine is busy, and none is begun again from the start.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from lingokids.datasets.refusals import Server, refusal
from lingokids.datasets.stores import StoredObject, Version, changed_while_read, day_of
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig

PART_BYTES = 1 << 22
_TOGETHER_OBJECTS = 8
_TOGETHER_BYTES = 1 << 20
_UNDER_WAY_BYTES = 1 << 24
_PAGE_KEYS = 1_000


@dataclass(frozen=True)
class Asking:
    """How long, how often and with how many requests a server is asked.

    Attributes:
        concurrency: Requests at a time.
        connect_seconds: For a connection to be made.
        stall_seconds: For the next byte of an answer.
        request_seconds: For the whole answer to one request, of at most 4 MiB.
        retries: How often a request is made again after a 5xx answer, a cut connection or a
            time that ran out; the waits between grow from 0.1 s to 10 s, with jitter.
        retry_seconds: After so long, it is not made again.
    """

    concurrency: int = 16
    connect_seconds: float = 5
    stall_seconds: float = 15
    request_seconds: float = 300
    retries: int = 6
    retry_seconds: float = 60

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "retries" else 1
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or value < least:
                raise LingokidsError(
                    f"s3.{name} is {value!r}: write a number, {least} or more, in globals.yml."
                )


class BucketStore:
    """One bucket, or a folder of it.

    Args:
        url: ``s3://<bucket>``, or ``s3://<bucket>/<folder>``.
        credentials: ``key`` and ``secret``; in ``client_kwargs`` the ``endpoint_url`` of the
            server, its ``region_name``, and ``verify``, the file of the authority that
            certifies it: the words that s3fs has for them.
        asking: Fields of ``Asking``.
    """

    def __init__(self, url: str, credentials: dict[str, Any], asking: dict[str, Any]) -> None:
        self._url = url.rstrip("/")
        bucket, _, folder = self._url.removeprefix("s3://").partition("/")
        self._asking = _asking(asking)
        client = credentials.get("client_kwargs") or {}
        endpoint = client.get("endpoint_url")
        keys = _keys(self._url, credentials)
        self._server = Server(_shown(endpoint), asdict(self._asking))
        options: dict[str, Any] = {"aws_endpoint_url_s3": endpoint} if endpoint else {}
        if region := client.get("region_name"):
            options["region"] = region
        with self._refusing("listed", self._url):
            self._store = S3Store(
                bucket,
                prefix=folder or None,
                # a function, so that keys of the environment (AWS_…) are not mixed in, and no
                # description of the client has them
                credential_provider=lambda: keys,  # type: ignore[arg-type]
                client_options=_client_options(endpoint, client.get("verify"), self._asking),
                retry_config={
                    "max_retries": self._asking.retries,
                    "retry_timeout": timedelta(seconds=self._asking.retry_seconds),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=10),
                        "base": 2,
                    },
                },
                **options,
            )

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """See ``stores.Store``."""
        with self._refusing("listed", self._url):
            if since:
                yield from self._outside_arrival_folders(since.isoformat())
            offset = since.isoformat() if since else None
            for page in obstore.list(self._store, offset=offset, chunk_size=_PAGE_KEYS):
                yield from map(_stored, page)

    def _outside_arrival_folders(self, first_day: str) -> Iterator[StoredObject]:
        """What sorts before ``first_day`` and does not lie in a ``<day>/<hour>/`` folder.

        One request a day: the names of its hours, not those of its objects.
        """
        top = obstore.list_with_delimiter(self._store)
        yield from (_stored(meta) for meta in top["objects"] if meta["path"] <= first_day)
        before = [name for name in top["common_prefixes"] if f"{name}/" < first_day]
        with ThreadPoolExecutor(self._asking.concurrency) as pool:
            for metas in pool.map(self._outside_hours, before):
                yield from map(_stored, metas)

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

    def _blocks(
        self, version: Version, first: bytes, rest: Iterator[tuple[_Part, bytes | None]]
    ) -> Iterator[bytes]:
        yield first
        for _, content in rest:
            if content is None:
                raise changed_while_read(f"{self._url}/{version.key}")
            yield content

    def _fetched(self, parts: Iterator[_Part]) -> Generator[tuple[_Part, bytes | None]]:
        """The parts with their bytes, in order; those that follow are under way meanwhile."""
        under_way: deque[tuple[int, Future[list[tuple[_Part, bytes | None]]]]] = deque()
        held = 0
        pool = ThreadPoolExecutor(self._asking.concurrency, thread_name_prefix="get")
        try:
            for some in _together(parts):
                size = sum(part.end - part.start for part in some)
                under_way.append((size, pool.submit(self._get_all, some)))
                held += size
                while held > _UNDER_WAY_BYTES or len(under_way) > 2 * self._asking.concurrency:
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
        etag = version.etag.rpartition("-")[0]
        if not etag.startswith("W/"):  # a weak one cannot be asked for
            options["if_match"] = f'"{etag}"'
        with self._refusing("read", f"{self._url}/{version.key}"):
            try:
                got = obstore.get(self._store, version.key, options=options)  # type: ignore[arg-type]
                content = bytes(got.bytes())
            except (FileNotFoundError, PreconditionError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
        return content if len(content) == part.end - part.start else None

    @contextlib.contextmanager
    def _refusing(self, done: str, place: str) -> Iterator[None]:
        """Turn the client's errors into a sentence: they quote answers that may name keys."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise LingokidsError(refusal(self._server, done, place, str(error))) from None


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
    """Some small parts for one thread to get: handing each over alone costs as much again."""
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


def _stored(meta: ObjectMeta) -> StoredObject:
    """The object as listed.

    An object put back to earlier content has its earlier ETag, but is a new delivery; the time,
    to the millisecond that a listing gives, tells them apart.
    """
    modified_at = meta["last_modified"]
    time = f"{modified_at:%Y%m%dT%H%M%S}{modified_at.microsecond // 1_000:03d}"
    etag = (meta["e_tag"] or "W/").strip('"')
    return StoredObject(meta["path"], f"{etag}-{time}", meta["size"], modified_at)


def _asking(given: dict[str, Any]) -> Asking:
    if unknown := sorted(set(given) - set(Asking.__dataclass_fields__)):
        names = ", ".join(Asking.__dataclass_fields__)
        raise LingokidsError(f"There is no s3.{unknown[0]}. There are: {names}. See globals.yml.")
    return Asking(**given)


def _keys(url: str, credentials: dict[str, Any]) -> dict[str, Any]:
    if unset := [name for name in ("key", "secret") if not credentials.get(name)]:
        raise LingokidsError(
            f"{url} needs credentials, and {' and '.join(unset)} is not set: set MINIO_ENDPOINT, "
            "MINIO_ACCESS_KEY and MINIO_SECRET_KEY. Nothing was changed."
        )
    key, secret = itemgetter("key", "secret")(credentials)
    return {
        "access_key_id": str(key),
        "secret_access_key": str(secret),
        "token": credentials.get("token"),
        "expires_at": None,
    }


def _shown(endpoint: str | None) -> str:
    """The server's address as a message may show it.

    Raises:
        LingokidsError: It is not a URL.
    """
    if not endpoint:
        return "S3"
    with contextlib.suppress(ValueError):
        address = urlsplit(endpoint)
        if address.scheme in {"http", "https"} and address.hostname and address.username is None:
            return f"{address.scheme}://{address.netloc}"
    raise LingokidsError(
        "MINIO_ENDPOINT is not the URL of a server: write http:// or https://, a host and a port, "
        "such as http://127.0.0.1:9000. Nothing was changed."
    )


def _client_options(endpoint: str | None, ca_file: str | None, asking: Asking) -> ClientConfig:
    options: ClientConfig = {
        "allow_http": bool(endpoint) and str(endpoint).startswith("http://"),
        "connect_timeout": timedelta(seconds=asking.connect_seconds),
        "read_timeout": timedelta(seconds=asking.stall_seconds),
        "timeout": timedelta(seconds=asking.request_seconds),
        "pool_max_idle_per_host": str(2 * asking.concurrency),
    }
    if ca_file and not options["allow_http"]:
        try:
            options["root_certificate"] = Path(ca_file).read_bytes()
        except OSError as error:
            raise LingokidsError(
                f"{ca_file}, the certificate of the server's authority, cannot be read "
                f"({error.strerror}): check MINIO_CA_FILE. Nothing was changed."
            ) from error
    return options
