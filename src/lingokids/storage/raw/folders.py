"""Raw objects in a local folder; writers should write aside and rename."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.storage.raw.stores import StoredObject, Version, changed_while_read, day_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

BLOCK_BYTES = 1 << 22
_ARRIVAL_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})/\d{2}/")


class FolderStore:
    """A local folder, or one file."""

    def __init__(self, path: str) -> None:
        place = Path(path)
        self._only = place.name if place.is_file() else None
        self._root = place.parent if self._only else place

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """See ``stores.Store``."""
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
            if _is_passed_over(prefix, since):
                continue
            for name in names:
                key = prefix + name
                try:
                    status = os.stat(f"{folder}/{name}")
                except FileNotFoundError:  # deleted since its folder was listed
                    continue
                yield _stored(key, status)

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """See ``stores.Store``."""
        for version in versions:
            try:
                with self._path(version.key).open("rb", buffering=0) as file:
                    is_as_listed = _file_etag(os.fstat(file.fileno())) == version.etag
                    yield self._blocks(file, version) if is_as_listed else None
            except FileNotFoundError:
                yield None
            except OSError as error:
                raise LingokidsError(
                    f"{self._root / version.key} cannot be read ({error.strerror}). Nothing was "
                    "changed; fix that and run again."
                ) from error

    def _path(self, key: str) -> Path:
        """Where a key is; a ledger that was restored may have one that leads out of the folder."""
        if key.startswith("/") or ".." in key.split("/"):
            raise FileNotFoundError(key)
        return self._root / key

    def _blocks(self, file: Any, version: Version) -> Iterator[bytes]:
        while block := file.read(BLOCK_BYTES):
            yield block
        if _file_etag(os.fstat(file.fileno())) != version.etag:
            raise changed_while_read(str(self._root / version.key))

    def _refuse(self, error: OSError) -> None:
        raise LingokidsError(
            f"{error.filename} cannot be listed ({error.strerror}). Nothing was changed; fix that "
            "and run again."
        )


def _stored(key: str, status: os.stat_result) -> StoredObject:
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredObject(key, _file_etag(status), status.st_size, modified_at)


def _file_etag(status: os.stat_result) -> str:
    return f"{round(status.st_mtime * 1e6):x}-{status.st_size:x}"


def _is_passed_over(folder: str, since: date | None) -> bool:
    """Whether a folder is in a ``<day>/<hour>/`` one of a day before ``since``."""
    if since is None:
        return False
    arrival = _ARRIVAL_FOLDER.match(folder)
    day = arrival and day_of(arrival[1])
    return bool(day and day < since)
