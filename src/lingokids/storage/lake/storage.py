"""Where published files lie: a local folder, or a bucket.

Here: putting, replacing, listing, fetching and removing whole files by name. Elsewhere: which
files a publication consists of (``lake``), how their rows are written (``parquet``), how a server
is asked (``s3``).

A name is replaced in one step: its reader has the old content or the new, never a part. And only
if it is still the version that was read: of two who replace it at once, one is told.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.storage.s3 import Client


class Stored(NamedTuple):
    """The content of a file, and which version of it this is."""

    content: bytes
    version: str


class Storage(Protocol):
    """A place of files, named relative to it."""

    def workspace(self, near: Path) -> Path:
        """A local folder to write files in before they are put; ``near`` is one that is there."""

    def read(self, name: str) -> Stored | None:
        """A file; None: there is no such file."""

    def replace(self, name: str, content: bytes, version: str | None) -> bool:
        """Write a file, or replace it, in one step.

        Args:
            name: Its name.
            content: The new content.
            version: The version to be replaced; None: there is no such file yet.

        Returns:
            Whether it was that version: otherwise it is as it was.
        """

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Move local files to their names."""

    def sizes(self) -> dict[str, int]:
        """Every file and its bytes; none if nothing was put yet."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already is no error."""

    def fetch(self, files: list[tuple[str, int]], into: Path) -> list[Path]:
        """Local copies of files, in ``into``, or the files themselves if they are local.

        Args:
            files: Their names and sizes.
            into: A folder for the copies. A file that is missing has none.
        """


def storage_at(
    path: str, credentials: dict[str, Any] | None = None, s3: dict[str, Any] | None = None
) -> Storage:
    """The storage at a local folder, or a URL such as ``s3://gold``: see ``places.open_store``."""
    return Bucket(path, credentials or {}, s3 or {}) if "://" in path else Folder(Path(path))


class Folder:
    """A local folder, made when the first file is put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def workspace(self, near: Path) -> Path:
        """Inside the folder, so that putting a file is renaming it."""
        return self._root / ".writing"

    def read(self, name: str) -> Stored | None:
        """A file; its version is its checksum."""
        try:
            content = (self._root / name).read_bytes()
        except FileNotFoundError:
            return None
        return Stored(content, hashlib.sha256(content).hexdigest())

    def replace(self, name: str, content: bytes, version: str | None) -> bool:
        """Write aside, then rename."""
        self._root.mkdir(parents=True, exist_ok=True)
        aside = self._root / f".{name}.{os.getpid()}"
        aside.write_bytes(content)
        now = self.read(name)
        if (now and now.version) != version:
            aside.unlink()
            return False
        aside.replace(self._root / name)
        return True

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Rename files."""
        for file, name in files:
            target = self._root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def sizes(self) -> dict[str, int]:
        """The files below the folder, but for those aside."""
        return {
            path.relative_to(self._root).as_posix(): path.stat().st_size
            for path in self._root.rglob("[!.]*")
            if path.is_file() and self.workspace(self._root) not in path.parents
        }

    def remove(self, names: Iterable[str]) -> None:
        """Unlink files."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def fetch(self, files: list[tuple[str, int]], into: Path) -> list[Path]:
        """The files themselves: links that lead out of the folder are not followed."""
        paths = [(self._root / name).resolve() for name, _ in files]
        if astray := [path for path in paths if not path.is_relative_to(self._root.resolve())]:
            raise LingokidsError(f"{astray[0]} lies outside {self._root}: it is not read.")
        return paths


class _Published(NamedTuple):
    """A published file, to be read whichever version is there: its checksum is compared."""

    key: str
    size_bytes: int
    etag: str = "W/-"  # a weak one is not asked for


class Bucket:
    """A bucket, or a prefix of one, such as ``s3://gold``: see ``s3.Client``."""

    def __init__(self, url: str, credentials: dict[str, Any], asking: dict[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._how = (self._url, credentials, asking)

    @functools.cached_property
    def _client(self) -> Client:
        from lingokids.storage.s3 import Client  # loaded where it is used

        return Client(*self._how)

    def workspace(self, near: Path) -> Path:
        """Beside the warehouse: files are uploaded from there."""
        return near / f".writing-{self._url.rpartition('/')[2]}"

    def read(self, name: str) -> Stored | None:
        """An object; its version is its ETag."""
        import obstore

        with self._client.refusing("read", f"{self._url}/{name}"):
            try:
                found = obstore.get(self._client.store, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            return Stored(bytes(found.bytes()), found.meta["e_tag"] or "")

    def replace(self, name: str, content: bytes, version: str | None) -> bool:
        """One conditional PUT."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if version is None else {"e_tag": version}
        with self._client.refusing("written", f"{self._url}/{name}"):
            try:
                obstore.put(self._client.store, name, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                # a PUT whose answer was lost is made again, and finds its own object
                now = self.read(name)
                return now is not None and now.content == content
        return True

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Upload one after another, large ones by many parts at a time."""
        import obstore

        for file, name in files:
            with self._client.refusing("written", f"{self._url}/{name}"):
                obstore.put(self._client.store, name, file)
            file.unlink()

    def sizes(self) -> dict[str, int]:
        """The objects."""
        import obstore

        with self._client.refusing("listed", self._url):
            pages = obstore.list(self._client.store)
            return {meta["path"]: meta["size"] for page in pages for meta in page}

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; S3 does not mind if they are gone."""
        import obstore

        if paths := list(names):
            with self._client.refusing("removed", self._url):
                obstore.delete(self._client.store, paths)

    def fetch(self, files: list[tuple[str, int]], into: Path) -> list[Path]:
        """Download by many requests at a time; what is not there has no copy."""
        from lingokids.storage.raw.buckets import BucketStore

        into.mkdir(parents=True, exist_ok=True)
        copies = [into / name.replace("/", "_") for name, _ in files]
        contents = BucketStore(*self._how).fetch(_Published(*file) for file in files)
        for copy, blocks in zip(copies, contents, strict=True):
            if blocks is not None:
                with copy.open("wb") as target:
                    target.writelines(blocks)
        return copies


def empty_folder(folder: Path) -> Path:
    """Make a folder, without what a killed run may have left in it."""
    remove_folder(folder)
    folder.mkdir(parents=True)
    return folder


def temporary_folder(near: Path, prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A folder that goes with the object, or the process; those of killed ones are removed."""
    for folder in near.glob(f"{prefix}-*"):
        owner = re.match(rf"{re.escape(prefix)}-(\d+)-", folder.name)
        if owner and not _is_alive(int(owner[1])):
            remove_folder(folder)
    return tempfile.TemporaryDirectory(prefix=f"{prefix}-{os.getpid()}-", dir=near)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
