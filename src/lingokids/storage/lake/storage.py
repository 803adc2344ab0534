"""Where published tables lie: a local folder, or a bucket.

A name is replaced in one step: its reader has the old content or the new, never a part. And only
if it is still the version that was read: of two who replace it at once, one is told.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Iterator

    from lingokids.storage.s3 import Client


TOO_LATE = (
    "another run has published there meanwhile: let one warehouse publish to one place (lake, in "
    "globals.yml)"
)


class Stored(NamedTuple):
    """The content of a file, and which version of it this is."""

    content: bytes
    version: str


class Storage(Protocol):
    """A place of files, named relative to it.

    Attributes:
        options: What ``deltalake`` must know to reach it.
    """

    @property
    def options(self) -> dict[str, str]:
        """See above."""

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

    def sizes(self) -> dict[str, int]:
        """Every file and its bytes; none if nothing was put yet."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def fetch(self, files: dict[str, int], into: Path) -> list[Path]:
        """Local copies of files, in ``into``, or the files themselves if they are local.

        Args:
            files: Their names and sizes.
            into: A folder for the copies. A file that is missing has none.
        """

    def refusing(self, place: str) -> contextlib.AbstractContextManager[None]:
        """Raise errors of a table's reading and writing as sentences."""


def storage_at(
    path: str, credentials: dict[str, Any] | None = None, s3: dict[str, Any] | None = None
) -> Storage:
    """The storage at a local folder, or a URL such as ``s3://gold``: see ``places.open_store``."""
    return Bucket(path, credentials or {}, s3 or {}) if "://" in path else Folder(Path(path))


class Folder:
    """A local folder, made when the first file is put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def options(self) -> dict[str, str]:
        """None are needed."""
        return {}

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

    def sizes(self) -> dict[str, int]:
        """The files below the folder, but for those aside."""
        return {
            path.relative_to(self._root).as_posix(): path.stat().st_size
            for path in self._root.rglob("[!.]*")
            if path.is_file()
        }

    def remove(self, name: str) -> None:
        """Unlink it."""
        (self._root / name).unlink(missing_ok=True)

    def fetch(self, files: dict[str, int], into: Path) -> list[Path]:
        """The files themselves: links that lead out of the folder are not followed."""
        paths = [(self._root / name).resolve() for name in files]
        if astray := [path for path in paths if not path.is_relative_to(self._root.resolve())]:
            raise LingokidsError(f"{astray[0]} lies outside {self._root}: it is not read.")
        return paths

    @contextlib.contextmanager
    def refusing(self, place: str) -> Iterator[None]:
        """See ``Storage``."""
        try:
            with _as_os_errors():
                yield
        except OSError as error:
            reason = str(error).splitlines()[0]
            raise LingokidsError(f"{place} is not usable as a Delta table: {reason}") from error


class _Published(NamedTuple):
    """A published file, to be read whichever version is there: its rows are compared."""

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

    @property
    def options(self) -> dict[str, str]:
        """See ``Storage``."""
        return self._client.table_options

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

    def sizes(self) -> dict[str, int]:
        """The objects."""
        import obstore

        with self._client.refusing("listed", self._url):
            pages = obstore.list(self._client.store)
            return {meta["path"]: meta["size"] for page in pages for meta in page}

    def remove(self, name: str) -> None:
        """Delete an object; S3 does not mind if it is gone."""
        import obstore

        with self._client.refusing("removed", f"{self._url}/{name}"):
            obstore.delete(self._client.store, name)

    def fetch(self, files: dict[str, int], into: Path) -> list[Path]:
        """Download by many requests at a time; what is not there has no copy."""
        from lingokids.storage.raw.buckets import BucketStore

        into.mkdir(parents=True, exist_ok=True)
        copies = [into / name.replace("/", "_") for name in files]
        contents = BucketStore(*self._how).fetch(_Published(*file) for file in files.items())
        for copy, blocks in zip(copies, contents, strict=True):
            if blocks is not None:
                with copy.open("wb") as target:
                    target.writelines(blocks)
        return copies

    @contextlib.contextmanager
    def refusing(self, place: str) -> Iterator[None]:
        """See ``Storage``."""
        with self._client.refusing("written", place), self._client.trusting(), _as_os_errors():
            yield


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise the library's errors as those that other failures of a place are."""
    from deltalake.exceptions import CommitFailedError

    try:
        yield
    except CommitFailedError as error:
        raise LingokidsError(TOO_LATE) from error
    except LingokidsError:
        raise
    except Exception as error:  # it has several kinds, and raises some as no kind
        raise OSError(str(error) or type(error).__name__) from error


def temporary_folder(near: Path, prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A folder that goes with the object, or the process; those of killed ones are removed."""
    for folder in near.glob(f"{prefix}-*"):
        owner = re.match(rf"{re.escape(prefix)}-(\d+)-", folder.name)
        if owner and not _is_alive(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{prefix}-{os.getpid()}-", dir=near)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
