"""The pointer: the one object that says which versions of the tables are one publication.

It is put after the tables, in one step. It names no file and no query: what is read of it are
numbers, an instant, names of tables that are known, and texts that are only compared.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from lingokids import schema
from lingokids.errors import LingokidsError

POINTER = "publication.json"
#: Days since 1970 as the calendar has them, or blocks of loads, which are fewer.
_Block = Annotated[int, Field(ge=-719_162, le=2_932_896)]


class Sum(NamedTuple):
    """What some rows are, whatever their order: how many, and their hashes combined by XOR."""

    rows: NonNegativeInt
    checksum: int


class PublishedTable(BaseModel):
    """One table of a publication.

    Attributes:
        version: Of its Delta log.
        columns: A checksum of its columns and their types.
        files: Files in its folder, those of its log and replaced ones among them.
        bytes: Their bytes.
        sums: By block of units, of its rows.
    """

    model_config = ConfigDict(frozen=True)

    version: Annotated[int, Field(ge=0, lt=1 << 63)]
    columns: int
    files: NonNegativeInt = 0
    bytes: NonNegativeInt = 0
    sums: dict[_Block, Sum] = {}


class Pointer(BaseModel):
    """A publication.

    Attributes:
        published_at: The instant, UTC.
        run: The number of the run that published it; never goes back.
        run_id: The last run whose rows it has.
        origin: The environment, and the places of raw objects.
        hashing: The checksum of a row that never changes: another says that hashes are others.
        tables: The tables.
    """

    format: Literal[2] = 2
    published_at: AwareDatetime
    run: NonNegativeInt
    run_id: str
    origin: dict[str, str]
    hashing: int
    tables: dict[str, PublishedTable]

    @field_validator("tables", mode="before")
    @classmethod
    def _known(cls, tables: Any) -> Any:
        """Leave out tables that this version does not know."""
        if not isinstance(tables, dict):
            return tables
        return {name: table for name, table in tables.items() if name in schema.CONTRACTS}

    @classmethod
    def parse(cls, content: bytes, place: str) -> Pointer:
        """Read a pointer.

        Raises:
            LingokidsError: It is none, or of a format that this version does not know.
        """
        try:
            return cls.model_validate_json(content)
        except ValueError as error:
            raise LingokidsError(
                f"{place}/{POINTER} is not one that this version can read: put back the right one. "
                "Delete it only if the warehouse file is there and whole: the next run then "
                "publishes everything anew, and without it nothing could be restored."
            ) from error
