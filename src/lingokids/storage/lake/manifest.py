"""The manifest: the one object that says which files a publication consists of.

Here: its form, reading and writing it. Elsewhere: when it is replaced (``lake``).

Readers take the files it names and no others, so replacing it is publishing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lingokids.errors import LingokidsError

MANIFEST = "manifest.json"
FORMAT = 1

#: What of a table is written whole: a day, ``(day,)``, or a day of a load, ``(day, load_id)``.
Cell = tuple[Any, ...]


@dataclass(frozen=True)
class PublishedFile:
    """One file of a publication.

    Attributes:
        table: The table whose rows it holds.
        path: Its name below the lake; it says the days, the loads and the content.
        rows: How many rows.
        bytes: How many bytes.
        sha256: Of its bytes.
        cells: What of the table it holds whole: days, as ``[day]``, or days of loads, as
            ``[day, load_id]``; none: all of the table.
    """

    table: str
    path: str
    rows: int
    bytes: int
    sha256: str
    cells: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """A publication.

    Attributes:
        published_at: The instant, UTC.
        run_id: The run that published it.
        tables: The columns of each table and their types.
        reflects: For each table, the run that last wrote each of its units: loads, days, or all of
            it.
        files: The files, by table and path.
        superseded: Files of earlier publications that are not removed yet: path and since
            when, UTC.
        version: The version of the object it was read from, or None: there was none. It is not
            stored.
    """

    published_at: str = ""
    run_id: str = ""
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    reflects: dict[str, dict[str, str]] = field(default_factory=dict)
    files: list[PublishedFile] = field(default_factory=list)
    superseded: list[dict[str, str]] = field(default_factory=list)
    version: str | None = None

    def of(self, table: str) -> list[PublishedFile]:
        """The files of one table."""
        return [file for file in self.files if file.table == table]

    def to_json(self) -> bytes:
        """The manifest as it is stored: one file a line."""
        head = {"format": FORMAT, **asdict(self)}
        del head["version"]
        files = [json.dumps(file) for file in head.pop("files")]
        text = json.dumps(head)[:-1] + ', "files": [\n' + ",\n".join(files) + "\n]}\n"
        return text.encode()

    @classmethod
    def from_json(cls, content: bytes, version: str, place: str) -> Manifest:
        """Read a manifest.

        Raises:
            LingokidsError: It is none, or of a format that this version does not know.
        """
        try:
            found = json.loads(content)
            if found.pop("format") != FORMAT:
                raise ValueError
            found["files"] = [PublishedFile(**file) for file in found["files"]]
            for file in found["files"]:
                _refuse_other_types(file, PublishedFile("", "", 0, 0, ""))
            _refuse_other_types(manifest := cls(**found, version=version), cls(version=""))
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LingokidsError(
                f"{place}/{MANIFEST} is not a manifest that this version can read: put back the "
                "right one. Delete it only if the warehouse file is there and whole: the next run "
                "then publishes everything anew, and without it nothing could be restored."
            ) from error


def _refuse_other_types(found: Manifest | PublishedFile, example: Manifest | PublishedFile) -> None:
    for name, value in vars(example).items():
        if type(getattr(found, name)) is not type(value):
            raise TypeError(name)
