"""Where raw objects lie: what a folder and a bucket both answer, and the folder.

Here: the two questions a store answers (which objects are there, and what is in these), how a
place is opened, and the local folder. Elsewhere: the bucket (``buckets``), which of the objects
are data and when they landed (``objects``).
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

BLOCK_BYTES = 1 << 22
_ARRIVAL_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})/\d{2}/")


class StoredObject(NamedTuple):
    """One object as a listing shows it.

    Attributes:
        key: Its name below the place.
        etag: Which version of it this is: other for every delivery, even of the same bytes.
        size_bytes: Its size as stored.
        modified_at: When it was written.
    """

    key: str
    etag: str
    size_bytes: int
    modified_at: datetime


class RawObject(NamedTuple):
    """One object version to be read."""

    object_key: str
    etag: str
    size_bytes: int
    landed_at: datetime
    load_id: int

    @property
    def key(self) -> str:
        """Its name, as a store asks for it."""
        return self.object_key


class Version(Protocol):
    """What names one version of an object: a ``StoredObject``, or a row of a ledger."""

    @property
    def key(self) -> str:
        """Its name below the place."""

    @property
    def etag(self) -> str:
        """The etag it was listed with."""

    @property
    def size_bytes(self) -> int:
        """The size it was listed with."""


class Store(Protocol):
    """A folder or a bucket."""

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """The objects there are, as they are found.

        Args:
            since: Folders ``<day>/<hour>/`` of earlier days are passed over; whatever lies
                elsewhere is listed all the same.

        Raises:
            LingokidsError: The place is missing or cannot be listed.
        """

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """The content of each version in turn, to be consumed before the next is asked for.

        Yields:
            The blocks of its bytes; None if it is gone, or was overwritten since it was listed.

        Raises:
            LingokidsError: It cannot be read, or was overwritten after some of it was yielded.
        """


def open_store(
    path: str, credentials: dict[str, Any] | None = None, s3: dict[str, Any] | None = None
) -> Store:
    """The store behind a local folder or file, or a URL such as ``s3://raw-events``.

    Args:
        path: The folder or URL.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: How its server is asked: see ``s3.Asking``.
    """
    if path.startswith("s3://"):
        from lingokids.storage.raw.buckets import (
            BucketStore,  # its client is loaded where it is used
        )

        return BucketStore(path, credentials or {}, s3 or {})
    if "://" in path.removeprefix("file://"):
        raise LingokidsError(f"{path} is neither a folder nor s3://…: change it in globals.yml.")
    return FolderStore(path.removeprefix("file://"))


def is_passed_over(folder: str, since: date | None) -> bool:
    """Whether a folder is, or lies in, a ``<day>/<hour>/`` one of a day before ``since``."""
    if since is None:
        return False
    arrival = _ARRIVAL_FOLDER.match(folder)
    day = arrival and day_of(arrival[1])
    return bool(day and day < since)


def day_of(text: str) -> date | None:
    """The day that a folder is named after, if it is one."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if len(text) == 10 else None
    except ValueError:
        return None


def changed_while_read(place: str) -> LingokidsError:
    """The refusal of an object of which a part was read before it was overwritten."""
    return LingokidsError(
        f"{place} was overwritten or deleted while it was read. Nothing was changed; run again."
    )


class FolderStore:
    """A local folder, or one file; whoever writes into it should write aside and rename."""

    def __init__(self, path: str) -> None:
        place = Path(path)
        self._only = place.name if place.is_file() else None
        self._root = place.parent if self._only else place

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """See ``Store``."""
        if self._only:
            yield _stored(self._only, os.stat(self._root / self._only))
            return
        if not self._root.is_dir():
            raise LingokidsError(
                f"{self._root} is not there: create it, or change it in globals.yml. Nothing was "
                "changed."
            )
        for folder, _, names in os.walk(self._root, onerror=self._refuse, followlinks=True):
            path = Path(folder).relative_to(self._root).as_posix()
            prefix = "" if path == "." else f"{path}/"
            if is_passed_over(prefix, since):
                continue
            for name in names:
                key = prefix + name
                try:
                    status = os.stat(f"{folder}/{name}")
                except FileNotFoundError:  # deleted since its folder was listed
                    continue
                yield _stored(key, status)

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """See ``Store``."""
        for version in versions:
            try:
                with (self._root / version.key).open("rb", buffering=0) as file:
                    is_as_listed = _file_etag(os.fstat(file.fileno())) == version.etag
                    yield self._blocks(file, version) if is_as_listed else None
            except FileNotFoundError:
                yield None
            except OSError as error:
                raise LingokidsError(
                    f"{self._root / version.key} cannot be read ({error.strerror}). Nothing was "
                    "changed; mend that and run again."
                ) from error

    def _blocks(self, file: Any, version: Version) -> Iterator[bytes]:
        while block := file.read(BLOCK_BYTES):
            yield block
        if _file_etag(os.fstat(file.fileno())) != version.etag:
            raise changed_while_read(str(self._root / version.key))

    def _refuse(self, error: OSError) -> None:
        raise LingokidsError(
            f"{error.filename} cannot be listed ({error.strerror}). Nothing was changed; mend that "
            "and run again."
        )


def _stored(key: str, status: os.stat_result) -> StoredObject:
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredObject(key, _file_etag(status), status.st_size, modified_at)


def _file_etag(status: os.stat_result) -> str:
    return f"{round(status.st_mtime * 1e6):x}-{status.st_size:x}"
