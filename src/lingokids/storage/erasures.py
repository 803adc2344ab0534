"""The record of erasures: whose lines are refused, without their ids.

One file beside the tables, not a table: it outlives a lost warehouse, and tables made again from
raw or the lake must not bring anyone back. An id stands in it as a salted hash. Whoever is to be
recognised by it is looked for in text, in any spelling that the engine reads as a uuid.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NaiveDatetime

from lingokids.errors import LingokidsError
from lingokids.storage.lake.storage import Bucket, Storage

if TYPE_CHECKING:
    from lingokids.storage.duckdb.erased import Purge

Kind = Literal["user", "child"]
_ATTEMPTS = 5
_LOWER = bytes(range(256)).lower()


class Person(NamedTuple):
    """Someone to be erased: a user, or one child of users; a child may be kept by a pseudonym."""

    kind: Kind
    id: UUID
    pseudonym: UUID | None = None

    @property
    def ids(self) -> list[str]:
        """The digits of what they are known by."""
        return [each.hex for each in (self.id, self.pseudonym) if each is not None]

    @property
    def spellings(self) -> Spellings:
        """How they are written, wherever that may be."""
        return Spellings(self.ids)


class Erasure(BaseModel):
    """One erasure.

    Attributes:
        erased_at: When it was asked for.
        kind: Whether all lines that name the id are refused, or a user's record only loses it.
        hashes: The salted hashes of the id, and of its pseudonym if there was a key.
        raw_rewritten: Whether raw objects were written again without their lines.
    """

    model_config = ConfigDict(frozen=True)

    erased_at: AwareDatetime
    kind: Kind
    hashes: tuple[str, ...]
    raw_rewritten: bool = False

    @property
    def mark(self) -> str:
        """What a warehouse notes of it once it is reflected there."""
        return self.kind[0] + "".join(each[:16] for each in self.hashes)


class Rewritten(BaseModel):
    """An object of a bucket written again: it landed when the lines that are left did.

    Attributes:
        etag: Of the new content.
        landed_at: When the content before it landed.
    """

    etag: str
    landed_at: NaiveDatetime


class Erasures(BaseModel):
    """What the record says.

    Attributes:
        salt: What is hashed before an id.
        people: One erasure a person.
        rewritten: By dataset and key.
    """

    salt: str = ""
    people: tuple[Erasure, ...] = ()
    rewritten: dict[str, dict[str, Rewritten]] = {}

    def hash_of(self, hexadecimal: str) -> str:
        """The salted hash of an id: its 32 hexadecimal digits, in lower case."""
        return hashlib.sha256((self.salt + hexadecimal).encode()).hexdigest()

    def with_person(self, person: Person, *, raw_rewritten: bool = False) -> Erasures:
        """The same with someone who is erased now, or was before."""
        own = tuple(map(self.hash_of, person.ids))
        before = [each for each in self.people if each.hashes[0] == own[0]]
        entry = Erasure(
            erased_at=before[0].erased_at if before else datetime.now(UTC),
            # who was erased as a child may turn out to be a user
            kind="user" if any(each.kind == "user" for each in before) else person.kind,
            hashes=tuple(dict.fromkeys([*own, *(it for each in before for it in each.hashes)])),
            raw_rewritten=raw_rewritten or any(each.raw_rewritten for each in before),
        )
        others = tuple(each for each in self.people if each not in before)
        return self.model_copy(update={"people": (*others, entry)})


class NamedLine(NamedTuple):
    """A line that names someone, as raw objects have it.

    Attributes:
        dataset: Its raw dataset.
        object_key: The object.
        etag: The version of it.
        line_number: From 1.
    """

    dataset: str
    object_key: str
    etag: str
    line_number: int


class RewrittenObject(NamedTuple):
    """A raw object that was written again.

    Attributes:
        dataset: Its raw dataset.
        object_key: Its key.
        etag_before: The version that was replaced.
        etag: The version that is there now.
        size_bytes: Its size now.
        lines: The numbers of the lines that are blank now.
    """

    dataset: str
    object_key: str
    etag_before: str
    etag: str
    size_bytes: int
    lines: list[int]


@dataclass
class Erasing:
    """What the run in hand must know of erasures.

    Attributes:
        erasures: Whose lines are refused.
        leaves_no_trace: Whether no file may hold what was deleted: not until it is overwritten,
            as otherwise.
        rewritten: Raw objects to be known in their new version.
        looked_for: The hashes of those whose lines were looked for in raw objects.
        lines_named: These lines.
        lines: How many lines were taken out, or parts of them.
        purge: What takes them out, to be ended before the commit; None: nobody is due.
    """

    purge: Purge | None = None

    looked_for: set[str] = field(default_factory=set)
    lines_named: list[NamedLine] = field(default_factory=list)

    lines: int = 0
    erasures: Erasures = field(default_factory=Erasures)
    leaves_no_trace: bool = False
    rewritten: list[RewrittenObject] = field(default_factory=list)


class ErasureRecord:
    """The file of the record, in a folder or bucket.

    Args:
        place: A path, or a URL such as ``s3://bronze/erasures.json``.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: How the bucket's server is asked: see ``s3.S3ClientOptions``.
    """

    def __init__(
        self, place: str, credentials: dict[str, Any] | None, s3: dict[str, Any] | None
    ) -> None:
        self.place = place
        self._how = (credentials or {}, s3 or {})

    @property
    def _name(self) -> str:
        return self.place.rpartition("/")[2]

    @cached_property
    def _storage(self) -> Storage:
        folder = self.place.rpartition("/")[0]
        return Bucket(folder, *self._how) if "://" in folder else Storage(folder)

    def read(self) -> Erasures:
        """What is recorded; nothing if there is no file.

        Raises:
            LingokidsError: It cannot be read: no run may take lines in without it.
        """
        return self._read()[0]

    def _read(self) -> tuple[Erasures, str | None]:
        if "://" not in self.place and not Path(self.place).exists():
            return Erasures(), None  # as a rule: no library is loaded for it
        if (stored := self._storage.read(self._name)) is None:
            return Erasures(), None
        try:
            return Erasures.model_validate_json(stored.content), stored.version
        except ValueError as error:
            raise LingokidsError(
                f"{self.place} is no record of erasures that this version can read: put the right "
                "one back; without it, lines of erased people would be taken in again."
            ) from error

    def change(self, change: Callable[[Erasures], Erasures]) -> Erasures:
        """Replace the record by what ``change`` makes of it; of two at once, none is lost."""
        for _ in range(_ATTEMPTS):
            before, version = self._read()
            salted = before.model_copy(update={"salt": before.salt or secrets.token_hex(32)})
            after = change(salted)
            content = after.model_dump_json(indent=1).encode()
            if after == before or self._storage.replace(self._name, content, version):
                return after
        raise LingokidsError(
            f"{self.place} is written by others all the time: run the command again."
        )


class Spellings:
    """Ids as a line may spell them: in upper case, with hyphens or without, escaped as in JSON.

    Attributes:
        pattern: A regular expression, for Python and the engine alike.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = [*ids]
        self.pattern = "(?i)(?:" + "|".join(map(_spelled, self._ids)) + ")"
        self._quick = [each.encode() for each in self._ids]

    @cached_property
    def _expression(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern.encode())

    @cached_property
    def _redactions(self) -> list[tuple[re.Pattern[bytes], bytes]]:
        return [(re.compile(find.encode()), put.encode()) for find, put in self.redactions]

    @property
    def quoted(self) -> str:
        """The pattern of one in quotes."""
        return f'(?i)"{self.pattern.removeprefix("(?i)")}"'

    @property
    def redactions(self) -> list[tuple[str, str]]:
        r"""What to replace by what, in this order, for JSON to stay JSON without the ids."""
        quoted = f'"[^"]*{self.pattern.removeprefix("(?i)")}[^"]*"'
        return [
            (rf"(?i){quoted}(\s*:)", r'""\1'),  # a key
            (rf"(?i)(:\s*){quoted}", r'\1""'),  # its value
            (rf"(?i){quoted}\s*,\s*", ""),  # one of a list, and the last of it
            (rf"(?i)(?:,\s*)?{quoted}", ""),
            (self.pattern, ""),
        ]

    def __bool__(self) -> bool:
        return bool(self._ids)

    def are_in(self, content: bytes) -> bool:
        """Whether one of them stands in it, as text or as the 16 bytes of a uuid."""
        # a search for plain bytes is a hundred times as quick as the expression
        plain = content.translate(_LOWER, b"-")
        if any(each in plain for each in self._quick):
            return True
        if b"\\u00" in content and self._expression.search(content):
            return True
        return any(form in content for each in self._ids for form in bytes_of(UUID(each)))

    def redact(self, line: bytes) -> bytes:
        """The line without them."""
        for find, put in self._redactions:
            line = find.sub(put, line)
        return line


def bytes_of(uuid: UUID) -> list[bytes]:
    """A uuid in 16 bytes: as such, and as the engine orders and stores it."""
    number = uuid.int ^ (1 << 127)
    low, high = number & ((1 << 64) - 1), number >> 64
    return [uuid.bytes, low.to_bytes(8, "little") + high.to_bytes(8, "little")]


def _spelled(hexadecimal: str) -> str:
    return r"(?:-|\\u002d)*".join(map(_digit, hexadecimal))


def _digit(digit: str) -> str:
    escaped = f"3{digit}" if digit.isdecimal() else f"[46]{ord(digit) - ord('a') + 1}"
    return rf"(?:{digit}|\\u00{escaped})"
