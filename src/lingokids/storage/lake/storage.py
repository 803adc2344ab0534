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
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lingokids.storage.s3 import Client


TOO_LATE = (
    "another run has published there meanwhile: let one warehouse publish to one place (lake, in "
    "globals.yml)"
)


_LARGEST_BYTES = 64 << 20
#: Of one request: see ``s3.S3ClientOptions``.
_PART_BYTES = 4 << 20


class Stored(NamedTuple):
    """The content of a file, and which version of it this is."""

    content: bytes
    version: str


class Storage:
    """A place of files, named relative to it.

    Attributes:
        options: What ``deltalake`` must know to reach it.
    """

    options: ClassVar[dict[str, str]] = {}

    def __init__(self, place: str) -> None:
        self._place = place

    @functools.cached_property
    def _store(self) -> Any:
        from obstore.store import LocalStore

        return LocalStore(self._place, mkdir=True)

    def read(self, name: str) -> Stored | None:
        """A file, as if it were empty if it is huge; None: there is no such file."""
        import obstore

        with self.refusing("read", name):
            try:
                found = obstore.get(self._store, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None
            is_sane = found.meta["size"] <= _LARGEST_BYTES
            return Stored(bytes(found.bytes()) if is_sane else b"", found.meta["e_tag"] or "")

    def replace(self, name: str, content: bytes, version: str | None) -> bool:
        """Write a file, or replace it, in one step.

        Args:
            name: Its name.
            content: The new content.
            version: The version to be replaced; None: there is no such file yet.

        Returns:
            Whether it was that version: otherwise it is as it was.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self.refusing("written", name):
            try:
                mode: Any = "create" if version is None else self._replacing(name, version)
                obstore.put(self._store, name, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                # a PUT whose answer was lost is made again, and finds its own object
                now = self.read(name)
                return now is not None and now.content == content
        return True

    def _replacing(self, name: str, version: str) -> Any:
        """The mode of a put that replaces one version; a folder cannot say so by itself."""
        from obstore.exceptions import PreconditionError

        if (now := self.read(name)) is None or now.version != version:
            raise PreconditionError(name)
        return "overwrite"

    def put_file(self, name: str, file: Path) -> None:
        """Write a file from a local one, however large, in one step."""
        target = Path(self._place, name)
        aside = target.with_name(f".{name}.part")
        with self.refusing("written", name):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, aside)
                with aside.open("rb") as written:
                    os.fsync(written.fileno())
                aside.replace(target)
            except OSError:
                aside.unlink(missing_ok=True)  # the disk may be full
                raise

    def get_file(self, name: str, into: Path) -> str:
        """Copy a file, however large, and give the SHA-256 of what was read."""
        import obstore

        digest = hashlib.sha256()
        with self.refusing("read", name), into.open("wb") as copy:
            size = obstore.head(self._store, name)["size"]
            for start in range(0, size, _PART_BYTES):
                end = min(size, start + _PART_BYTES)
                part = bytes(obstore.get_range(self._store, name, start=start, end=end))
                digest.update(part)
                copy.write(part)
        return digest.hexdigest()

    def sizes(self) -> dict[str, int]:
        """Every file and its bytes; none if nothing was put yet."""
        import obstore

        with self.refusing("listed"):
            pages = obstore.list(self._store)
            return {meta["path"]: meta["size"] for page in pages for meta in page}

    def remove(self, name: str) -> None:
        """Remove a file."""
        import obstore

        with self.refusing("removed", name):
            obstore.delete(self._store, name)

    def fetch(self, files: dict[str, int], into: Path) -> list[Path]:
        """Local copies of files, in ``into``, or the files themselves if they are local.

        Args:
            files: Their names and sizes. One that is missing has no copy.
            into: A folder for the copies.
        """
        return self.paths(files)

    def paths(self, names: Iterable[str]) -> list[Path]:
        """Where files lie, if they are local.

        Raises:
            LingokidsError: A link leads one out of the folder.
        """
        root = Path(self._place).resolve()
        paths = [(root / name).resolve() for name in names]
        if astray := [path for path in paths if not path.is_relative_to(root)]:
            raise LingokidsError(
                f"{astray[0]} lies outside {root}, and a link there leads to it, which is not "
                "followed: remove the link"
            )
        return paths

    @contextlib.contextmanager
    def refusing(self, done: str, name: str = "") -> Iterator[None]:
        """Raise errors as sentences: what was not ``done``, and to what."""
        try:
            with _as_os_errors():
                yield
        except OSError as error:
            reason = str(error).splitlines()[0]
            raise LingokidsError(f"{self._place}/{name} could not be {done}: {reason}") from error


class _Published(NamedTuple):
    """A published file, to be read whichever version is there: its rows are compared."""

    key: str
    size_bytes: int
    etag: str = "W/-"  # a weak one is not asked for


class Bucket(Storage):
    """A bucket, or a prefix of one, such as ``s3://gold``: see ``s3.Client``."""

    def __init__(self, url: str, credentials: dict[str, Any], s3: dict[str, Any]) -> None:
        super().__init__(url)
        self._how = (url, credentials, s3)

    @functools.cached_property
    def _client(self) -> Client:
        from lingokids.storage.s3 import Client  # loaded where it is used

        return Client(*self._how)

    @property
    def _store(self) -> Any:
        return self._client.store

    @property
    def options(self) -> dict[str, str]:  # type: ignore[override]
        """See ``Storage``."""
        return self._client.table_options

    def _replacing(self, name: str, version: str) -> Any:
        return {"e_tag": version}

    def put_file(self, name: str, file: Path) -> None:
        """See ``Storage``: an upload in parts is there when it is complete."""
        import obstore

        with self.refusing("written", name):
            obstore.put(self._store, name, file)

    def paths(self, names: Iterable[str]) -> list[Path]:
        """See ``Storage``: here are no links."""
        return []

    def fetch(self, files: dict[str, int], into: Path) -> list[Path]:
        """Download by many requests at a time."""
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
    def refusing(self, done: str, name: str = "") -> Iterator[None]:
        """See ``Storage``."""
        place = f"{self._place}/{name}".rstrip("/")
        with self._client.refusing(done, place), self._client.trusting(), _as_os_errors():
            yield


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise the libraries' errors as those that other failures of a place are."""
    try:
        yield
    except LingokidsError:
        raise
    except Exception as error:  # they have several kinds, and raise some as no kind
        if type(error).__name__ == "CommitFailedError":  # of a library that may not be loaded
            raise LingokidsError(TOO_LATE) from error
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
