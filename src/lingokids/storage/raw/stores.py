"""What a store of raw objects answers, be it a folder or a bucket."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_ARRIVAL_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})/\d{2}/")


class StoredObject(NamedTuple):
    """One object as a listing shows it.

    Attributes:
        key: Its name below the place.
        etag: Which version of it this is: by its content alone, or by its time as well.
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
    """A folder or a bucket.

    What stands below a name that begins with a dot or an underscore is no data, as for Hive and
    Spark (``_temporary/``, ``.snapshot/``): it is passed over.
    """

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """The objects there are, as they are found.

        Args:
            since: Folders ``<day>/<hour>/`` of earlier days are passed over; whatever lies
                elsewhere is listed all the same.

        Raises:
            LingokidsError: The place is missing or cannot be listed.
        """

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """The content of each version in turn, to be consumed before the next.

        Yields:
            The blocks of its bytes; None if it is gone, or was overwritten since it was listed.

        Raises:
            LingokidsError: It cannot be read, or was overwritten after some of it was yielded.
        """

    def replace(self, found: StoredObject, content: bytes) -> str | None:
        """Write an object again, in one step, if it is as it was listed; a folder keeps its time.

        Returns:
            What the etag of the new version begins with; None: it was another version.

        Raises:
            LingokidsError: It cannot be written.
        """

    def remove(self, found: StoredObject) -> bool:
        """Remove an object if it is as it was listed; returns whether it was.

        Raises:
            LingokidsError: It cannot be removed.
        """


def day_of(text: str) -> date | None:
    """The day that a folder is named after, if it is one."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if len(text) == 10 else None
    except ValueError:
        return None


def is_data(key: str) -> bool:
    """Whether no part of the key begins with a dot or an underscore."""
    return not any(part.startswith((".", "_")) for part in key.split("/"))


def is_earlier(key: str, since: date | None) -> bool:
    """Whether a key, or folder, lies in a ``<day>/<hour>/`` folder of a day before ``since``."""
    arrival = _ARRIVAL_FOLDER.match(key) if since else None
    day = arrival and day_of(arrival[1])
    return bool(since and day and day < since)


def changed_while_read(place: str) -> LingokidsError:
    """The refusal of an object of which a part was read before it was overwritten."""
    return LingokidsError(
        f"{place} was overwritten or deleted while it was read. Nothing was changed; run again."
    )
