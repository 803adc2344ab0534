"""Where published files lie: a local folder, or a bucket reached through fsspec.

Here: putting, replacing, listing, fetching and removing whole files by name. Elsewhere: which
files a publication consists of (``lake``), how their rows are written (``parquet``).

A name is replaced in one step: its reader has the old content or the new, never a part.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable


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

    def fetch(self, names: list[str], into: Path) -> list[Path]:
        """Local copies of files, in ``into``, or the files themselves if they are local."""


def storage_at(path: str, credentials: dict[str, Any] | None = None) -> Storage:
    """The storage at a path or URL."""
    return Bucket(path, credentials or {}) if "://" in path else Folder(Path(path))


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

    def fetch(self, names: list[str], into: Path) -> list[Path]:
        """The files themselves."""
        return [self._root / name for name in names]


class Bucket:
    """A bucket, or a prefix of one, such as ``s3://gold``."""

    def __init__(self, url: str, credentials: dict[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._opened: tuple[Any, str] | None = None

    def workspace(self, near: Path) -> Path:
        """Beside the warehouse: files are uploaded from there."""
        return near / f".writing-{self._url.rpartition('/')[2]}"

    def read(self, name: str) -> bytes | None:
        """The content of an object."""
        filesystem, root = self._filesystem()
        try:
            content: bytes = filesystem.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def replace(self, name: str, content: bytes) -> None:
        """One PUT."""
        filesystem, root = self._filesystem()
        filesystem.pipe_file(f"{root}/{name}", content)

    def put(self, files: list[tuple[Path, str]]) -> None:
        """Upload many at a time."""
        filesystem, root = self._filesystem()
        filesystem.put([str(file) for file, _ in files], [f"{root}/{name}" for _, name in files])
        for file, _ in files:
            file.unlink()

    def names_in(self, folder: str) -> list[str]:
        """The objects in a folder."""
        filesystem, root = self._filesystem()
        try:
            listed = filesystem.ls(f"{root}/{folder}", detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return [info["name"].removeprefix(f"{root}/") for info in listed if info["type"] == "file"]

    def remove(self, names: Iterable[str]) -> None:
        """Delete objects; S3 does not mind if they are gone."""
        filesystem, root = self._filesystem()
        if paths := [f"{root}/{name}" for name in names]:
            filesystem.rm(paths)

    def fetch(self, names: list[str], into: Path) -> list[Path]:
        """Download many at a time."""
        filesystem, root = self._filesystem()
        into.mkdir(parents=True, exist_ok=True)
        copies = [into / name.replace("/", "_") for name in names]
        if names:
            filesystem.get([f"{root}/{name}" for name in names], [str(copy) for copy in copies])
        return copies

    def _filesystem(self) -> tuple[Any, str]:
        if self._opened is None:
            if unset := [
                name for name in ("key", "secret") if self._credentials.get(name, "") is None
            ]:
                raise LingokidsError(
                    f"{self._url} needs credentials, and {' and '.join(unset)} is not set: set "
                    "MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY."
                )
            import fsspec

            filesystem, root = fsspec.url_to_fs(self._url, **self._credentials)
            self._opened = filesystem, root.rstrip("/")
        return self._opened


def empty_folder(folder: Path) -> Path:
    """Make a folder, without what a killed run may have left in it."""
    remove_folder(folder)
    folder.mkdir(parents=True)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
