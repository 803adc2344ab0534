"""Where published files lie: a local folder, or a bucket.

Here: putting, replacing, listing, fetching and removing whole files by name. Elsewhere: which
files a publication consists of (``lake``), how their rows are written (``parquet``), how a server
is asked (``s3``).

A name is replaced in one step: its reader has the old content or the new, never a part.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.datasets.s3 import Client


class Storage(Protocol):
    """A place of files, named relative to it."""

    def workspace(self, near: Path) -> Path:
        """A local folder to write files in before they are put; ``near`` is one that is there."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None: there is no such file."""

    def replace(self, name: str, content: bytes) -> None:
        """Write a file, or replace it, in one step."""

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Move local files to their names."""

    def names_in(self, folder: str) -> list[str]:
        """The names of the files directly in a folder; none if it is not there."""

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
    """The storage at a local folder, or a URL such as ``s3://gold``: see ``stores.open_store``."""
    return Bucket(path, credentials or {}, s3 or {}) if "://" in path else Folder(Path(path))


class Folder:
    """A local folder, made when the first file is put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def workspace(self, near: Path) -> Path:
        """Inside the folder, so that putting a file is renaming it."""
        return self._root / ".writing"

    def read(self, name: str) -> bytes | None:
        """The content of a file."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Write aside, then rename."""
        self._root.mkdir(parents=True, exist_ok=True)
        aside = self._root / f".{name}.{os.getpid()}"
        aside.write_bytes(content)
        aside.replace(self._root / name)

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Rename files."""
        for file, name in files:
            target = self._root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def names_in(self, folder: str) -> list[str]:
        """The files in a folder."""
        if not (self._root / folder).is_dir():
            return []
        with os.scandir(self._root / folder) as entries:
            return [f"{folder}/{entry.name}" for entry in entries if entry.is_file()]

    def remove(self, names: Iterable[str]) -> None:
        """Unlink files."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def fetch(self, files: list[tuple[str, int]], into: Path) -> list[Path]:
        """The files themselves."""
        return [self._root / name for name, _ in files]


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
        from lingokids.datasets.s3 import Client  # loaded where it is used

        return Client(*self._how)

    def workspace(self, near: Path) -> Path:
        """Beside the warehouse: files are uploaded from there."""
        return near / f".writing-{self._url.rpartition('/')[2]}"

    def read(self, name: str) -> bytes | None:
        """The content of an object."""
        import obstore

        with self._client.refusing("read", f"{self._url}/{name}"):
            try:
                return bytes(obstore.get(self._client.store, name).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def replace(self, name: str, content: bytes) -> None:
        """One PUT."""
        import obstore

        with self._client.refusing("written", f"{self._url}/{name}"):
            obstore.put(self._client.store, name, content, use_multipart=False)

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Upload one after another, large ones by many parts at a time."""
        import obstore

        for file, name in files:
            with self._client.refusing("written", f"{self._url}/{name}"):
                obstore.put(self._client.store, name, file)
            file.unlink()

    def names_in(self, folder: str) -> list[str]:
        """The objects in a folder."""
        import obstore

        with self._client.refusing("listed", f"{self._url}/{folder}"):
            found = obstore.list_with_delimiter(self._client.store, folder)
        return [meta["path"] for meta in found["objects"]]

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; S3 does not mind if they are gone."""
        import obstore

        if paths := list(names):
            with self._client.refusing("removed", self._url):
                obstore.delete(self._client.store, paths)

    def fetch(self, files: list[tuple[str, int]], into: Path) -> list[Path]:
        """Download by many requests at a time; what is not there has no copy."""
        from lingokids.datasets.raw.buckets import BucketStore

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


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
