"""The manifest: the one object that says which files a publication consists of.

Here: its form, reading and writing it. Elsewhere: when it is replaced (``lake``).

Readers take the files it names and no others, so replacing it is publishing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, TypeAdapter
from typing_extensions import TypedDict

from lingokids.errors import LingokidsError
from lingokids.schema.parameters import to_day

MANIFEST = "manifest.json"
FORMAT = 1

#: What of a table is written whole: a day, ``(day,)``, or a day of a load, ``(day, load_id)``.
Cell = tuple[Any, ...]

# What is read back becomes part of statements and paths: these types let no other text through.
_STRICT = ConfigDict(extra="forbid", strict=True)
_LARGEST_BYTES = 64 << 20
_Table = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
_File = Annotated[str, Field(pattern=r"^[a-z0-9_]+(/[0-9A-Za-z][0-9A-Za-z_.-]*)+\.parquet$")]
_Day = Annotated[str, AfterValidator(lambda day: str(to_day(day)))]
_Unit = Annotated[str, Field(pattern="^whole$")] | Annotated[str, Field(pattern="^[0-9]+$")] | _Day
_to_cell = TypeAdapter(tuple[_Day] | tuple[_Day, NonNegativeInt]).validate_python
_Cell = Annotated[Cell, AfterValidator(_to_cell)]


class Superseded(TypedDict):
    """A file that a newer one replaced, and since when, UTC."""

    path: _File
    since: Annotated[str, AfterValidator(lambda at: datetime.fromisoformat(at).isoformat())]


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

    __pydantic_config__ = _STRICT

    table: _Table
    path: _File
    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: str
    cells: list[_Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """A publication.

    Attributes:
        published_at: The instant, UTC.
        run_id: The run that published it.
        environment: The environment that it is of.
        tables: The columns of each table and their types.
        reflects: For each table, the run that last wrote each of its units: loads, days, or all of
            it.
        files: The files, by table and path.
        superseded: Files of earlier publications that are not removed yet: path and since
            when, UTC.
        version: The version of the object it was read from, or None: there was none. It is not
            stored.
    """

    __pydantic_config__ = _STRICT

    published_at: str = ""
    run_id: str = ""
    environment: str = ""
    tables: dict[_Table, dict[str, str]] = field(default_factory=dict)
    reflects: dict[_Table, dict[_Unit, str]] = field(default_factory=dict)
    files: list[PublishedFile] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
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
            if len(content) > _LARGEST_BYTES:
                raise ValueError
            found = json.loads(content)
            if found.pop("format") != FORMAT:
                raise ValueError
            found["version"] = version
            return TypeAdapter(cls).validate_json(json.dumps(found))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LingokidsError(
                f"{place}/{MANIFEST} is not a manifest that this version can read: put back the "
                "right one. Delete it only if the warehouse file is there and whole: the next run "
                "then publishes everything anew, and without it nothing could be restored."
            ) from error
