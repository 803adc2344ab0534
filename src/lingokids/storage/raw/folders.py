"""Raw objects in a local folder; writers should write aside and rename.

Only regular files are data. A link is passed over wherever it leads, so that what is read lies in
the folder; the place itself may be a link.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError, in_one_line
from lingokids.storage.raw.stores import (
    StoredObject,
    Version,
    changed_while_read,
    is_data,
    is_earlier,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from io import FileIO

LOGGER = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 22
_NAMED = 10
_ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


class FolderStore:
    """A local folder, or one file.

    Args:
        path: The folder or file.
        by_content: Whether the version of a file is its content, which is read to list it; else
            it is its time and size.
    """

    def __init__(self, path: str, *, by_content: bool = False) -> None:
        place = Path(path)
        self._by_content = by_content
        with _refusing(place, "listed"):
            self._only = place.name if place.is_file() else None
            if not self._only and not place.is_dir():
                fault = "is neither a folder nor a file" if place.exists() else "is not there"
                raise LingokidsError(
                    f"{place} {fault}: create the folder, or change the place in globals.yml. "
                    "Nothing was changed."
                )
        self._root = place.parent if self._only else place

    def find(self, since: date | None = None) -> Iterator[StoredObject]:
        """See ``stores.Store``."""
        passed_over: list[str] = []
        for name, entry in self._entries(since):
            key = os.fsencode(name).decode(errors="backslashreplace")
            with _refusing(entry, "listed"), contextlib.suppress(FileNotFoundError):
                listed = self._listed(key, entry)
                if isinstance(listed, StoredObject):
                    yield listed
                else:
                    passed_over.append(f"{in_one_line(key)} ({listed})")
        if passed_over:
            more = f" and {len(passed_over) - _NAMED:,} more" if len(passed_over) > _NAMED else ""
            names = ", ".join(passed_over[:_NAMED])
            LOGGER.warning("%s: passed over as no data: %s%s.", self._root, names, more)

    def fetch(self, versions: Iterable[Version]) -> Generator[Iterable[bytes] | None]:
        """See ``stores.Store``."""
        for version in versions:
            with contextlib.ExitStack() as opened:
                file, place = None, self._root / version.key
                with _refusing(place, "read"), contextlib.suppress(FileNotFoundError):
                    path = self._path(version.key)
                    file = opened.enter_context(open(path, "rb", buffering=0, opener=_open))
                is_as_listed = file and self._etag(file) == version.etag
                yield self._blocks(file, version) if file and is_as_listed else None

    def _blocks(self, file: FileIO, version: Version) -> Iterator[bytes]:
        path = self._path(version.key)
        with _refusing(path, "read"):
            while block := file.read(BLOCK_BYTES):
                yield block
            if self._etag(file) != version.etag:
                raise changed_while_read(str(path))

    def replace(self, found: StoredObject, content: bytes) -> str | None:
        """See ``stores.Store``."""
        path = self._path(found.key)
        aside = path.with_name(f"_{path.name}.part")  # no data, should it stay
        with _refusing(path, "written"):
            aside.write_bytes(content)
            shutil.copystat(path, aside)
            with open(path, "rb", buffering=0, opener=_open) as file:
                if self._etag(file) != found.etag:
                    aside.unlink()
                    return None
            aside.replace(path)
            with open(path, "rb", buffering=0, opener=_open) as file:
                return self._etag(file)

    def remove(self, found: StoredObject) -> bool:
        """See ``stores.Store``."""
        path = self._path(found.key)
        with _refusing(path, "removed"), contextlib.suppress(FileNotFoundError):
            with open(path, "rb", buffering=0, opener=_open) as file:
                if self._etag(file) != found.etag:
                    return False
            path.unlink()
            return True
        return False

    def _entries(self, since: date | None) -> Iterator[tuple[str, os.DirEntry[str] | Path]]:
        """What lies in the place, with its name below it."""
        if self._only:
            yield self._only, self._root / self._only
            return
        folders = [""]
        while folders:
            prefix = folders.pop()
            if is_earlier(prefix, since):
                continue
            entries: list[os.DirEntry[str]] = []
            with _refusing(self._root / prefix, "listed"), contextlib.suppress(FileNotFoundError):
                entries += os.scandir(self._root / prefix)
            for entry in filter(lambda entry: is_data(entry.name), entries):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name, entry

    def _listed(self, key: str, entry: os.DirEntry[str] | Path) -> StoredObject | str:
        """The object, or why it is none."""
        if entry.is_symlink() and not self._only:
            return "a link"
        if not entry.is_file():
            return "not a regular file"
        status = entry.stat()
        try:
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        except (ValueError, OverflowError):
            return "its time is no date: touch it"
        if not self._by_content:
            return StoredObject(key, _etag_of(status), status.st_size, modified_at)
        with open(entry, "rb", buffering=0, opener=_open) as file:
            return StoredObject(key, self._etag(file), status.st_size, modified_at)

    def _etag(self, file: FileIO) -> str:
        """The version that an open file has, to be read from its start or at its end."""
        if not self._by_content:
            return _etag_of(os.fstat(file.fileno()))
        file.seek(0)
        etag = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        file.seek(0)
        return etag

    def _path(self, key: str) -> Path:
        """Where a key is; bytes of its name that are not UTF-8 are escaped in the key.

        A key of a restored ledger may lead out of the folder: there is no such file.
        """
        if key.startswith("/") or ".." in key.split("/"):
            raise FileNotFoundError(key)
        path = self._root / key
        if "\\x" not in key or path.exists():
            return path
        escaped = _ESCAPED_BYTE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), key)
        return self._root / escaped


@contextlib.contextmanager
def _refusing(place: Path | os.DirEntry[str], done: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LingokidsError(
            f"{in_one_line(os.fspath(place), 200)} cannot be {done} ({error.strerror}). Nothing "
            "was changed; fix that and run again."
        ) from error


def _open(path: str, flags: int) -> int:
    """Open without waiting, should it have become a named pipe since it was listed."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _etag_of(status: os.stat_result) -> str:
    return f"{round(status.st_mtime * 1e6):x}-{status.st_size:x}"
