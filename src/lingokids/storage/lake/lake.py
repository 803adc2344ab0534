"""A lake: published files and the manifest that names them.

Here: reading the publication, checking its files, replacing it, and removing what nobody needs.
Elsewhere: what a publication owes (``publication``), where files lie (``storage``).
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.storage.lake.manifest import MANIFEST, Manifest
from lingokids.storage.lake.storage import storage_at

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lingokids.storage.lake.manifest import PublishedFile

LOGGER = logging.getLogger(__name__)


class Lake:
    """A folder or bucket of published files.

    Attributes:
        place: The folder or URL.
        storage: Its files.
    """

    def __init__(
        self,
        place: str,
        credentials: dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        grace_minutes: float = 60,
    ) -> None:
        self.place = place.rstrip("/")
        self.storage = storage_at(self.place, credentials, s3)
        self._grace = timedelta(minutes=grace_minutes)

    @property
    def name(self) -> str:
        """The place in a few words: the URL, or the name of the folder."""
        return self.place if "://" in self.place else self.place.rpartition("/")[2]

    def manifest(self) -> Manifest:
        """The publication as it is now; an empty one if there has been none."""
        stored = self.storage.read(MANIFEST)
        return Manifest() if stored is None else Manifest.from_json(*stored, self.place)

    def fetch(self, files: list[PublishedFile], into: Path) -> list[Path]:
        """Local copies of published files, each as the manifest says.

        Raises:
            LingokidsError: A file is missing, or its bytes or rows are others.
        """
        copies = self.storage.fetch([(file.path, file.bytes) for file in files], into)
        for file, copy in zip(files, copies, strict=True):
            if not copy.is_file():
                raise LingokidsError(self._is_broken(file.path, "is missing"))
            if (
                copy.stat().st_size != file.bytes
                or sha256_of(copy) != file.sha256
                or not _is_of_size(copy, file)
            ):
                raise LingokidsError(self._is_broken(file.path, "is not what was published"))
        return copies

    def replace(
        self,
        before: Manifest,
        after: Manifest,
        written: Iterable[str],
        present: Iterable[str] = (),
    ) -> None:
        """Make ``after`` the publication, and remove files that nobody can be reading.

        A file stays for the grace after it was superseded. The folders written to are tidied
        too, for a killed run may have left files there that no manifest ever named.

        Args:
            before: The publication that is replaced.
            after: The one that takes its place.
            written: The files that were put for it.
            present: Those that were there before.

        Raises:
            LingokidsError: Another run has published since ``before`` was read.
        """
        named = {file.path for file in after.files}
        now = datetime.now(UTC)
        stays = [
            entry
            for entry in before.superseded
            if now - datetime.fromisoformat(entry["since"]) < self._grace
        ]
        goes = [entry["path"] for entry in before.superseded if entry not in stays]
        stays += [
            {"path": file.path, "since": now.isoformat(timespec="seconds")} for file in before.files
        ]
        after.superseded.extend(entry for entry in stays if entry["path"] not in named)
        if not self.storage.replace(MANIFEST, after.to_json(), before.version):
            raise LingokidsError(
                "another run has published there meanwhile: let one warehouse publish to one "
                "place (lake, in globals.yml)"
            )
        try:
            needed = named | {entry["path"] for entry in after.superseded}
            self._tidy({*written, *goes}, present, needed)
        except Exception as error:  # the publication is made: this only wastes space
            LOGGER.warning("%s: files nobody needs could not be removed: %s", self.place, error)

    def _tidy(self, paths: set[str], present: Iterable[str], needed: set[str]) -> None:
        folders = {path.rpartition("/")[0] for path in paths}
        found = (name for name in present if name.rpartition("/")[0] in folders)
        self.storage.remove(name for name in found if name not in needed)

    def _is_broken(self, path: str, how: str) -> str:
        return (
            f"{self.place}: {path} {how}: bring the file back that {MANIFEST} names, or use "
            "another copy of the lake."
        )


def sha256_of(file: Path) -> str:
    """The checksum of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_of_size(copy: Path, file: PublishedFile) -> bool:
    """Whether it has its rows, and unpacks to no more than a file of its size may."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(copy)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    unpacked = sum(group.total_byte_size for group in groups)
    return metadata.num_rows == file.rows and unpacked <= _LEAST_BOUND + _MOST_PACKED * file.bytes


#: Bytes that any file may unpack to, and how many times its own bytes.
_LEAST_BOUND, _MOST_PACKED = 64 << 20, 100
