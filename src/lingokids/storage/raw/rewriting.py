"""Raw objects that name someone: found, and written again without their lines."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from lingokids.errors import in_one_line
from lingokids.storage.erasures import Rewritten, RewrittenObject

if TYPE_CHECKING:
    from lingokids.storage.erasures import ErasureRecord, Erasures, Person
    from lingokids.storage.raw.objects import ObjectsDataset
    from lingokids.storage.raw.stores import StoredObject

LOGGER = logging.getLogger(__name__)
_GZIP = b"\x1f\x8b"


class Holding(NamedTuple):
    """An object that names someone.

    Attributes:
        found: As it was listed.
        content: Its bytes, unzipped.
        is_zipped: Whether they are zipped where they lie.
    """

    found: StoredObject
    content: bytes
    is_zipped: bool

    def lines(self, person: Person) -> Iterator[tuple[int, bytes]]:
        """The lines that name them, by their numbers."""
        for number, line in enumerate(self.content.split(b"\n"), start=1):
            if person.spellings.are_in(line):
                yield number, line


def holding(
    source: ObjectsDataset, person: Person, keys: Collection[str] | None = None
) -> Iterator[Holding]:
    """The objects that name someone.

    Args:
        source: The raw objects of a dataset.
        person: Whom to look for.
        keys: The objects to look into; None: all there are.
    """
    if keys is not None and not keys:
        return
    store = source.store()
    listed = [found for found in store.find() if keys is None or found.key in keys]
    spellings = person.spellings
    with contextlib.closing(store.fetch(listed)) as contents:
        for found, blocks in zip(listed, contents, strict=True):
            content = b"" if blocks is None else b"".join(blocks)
            is_zipped = content.startswith(_GZIP)
            if is_zipped:
                try:
                    content = gzip.decompress(content)
                except (OSError, EOFError, zlib.error):
                    LOGGER.warning("%s is damaged gzip: not looked into.", in_one_line(found.key))
                    continue
            if spellings.are_in(content):
                yield Holding(found, content, is_zipped)


def rewrite(
    source: ObjectsDataset, person: Person, objects: Iterable[Holding], record: ErasureRecord
) -> list[RewrittenObject]:
    """Write objects again: the person's lines blank, so that the others keep their numbers.

    A user's record only loses an erased child.

    Returns:
        Those that are rewritten, as they are now: not those that were overwritten meanwhile.

    Raises:
        LingokidsError: One cannot be written.
    """
    done = {held.found.key: (held.found, _write(source, person, held, record)) for held in objects}
    # a listing tells the time of an object as a run will find it
    listed = source.store().find() if done else ()
    return [
        RewrittenObject(source.dataset, now.key, before.etag, now.etag, now.size_bytes, blank)
        for now in listed
        for before, blank in [done.get(now.key, (None, None))]
        if before is not None and blank is not None
    ]


def _write(
    source: ObjectsDataset, person: Person, held: Holding, record: ErasureRecord
) -> list[int] | None:
    """Write an object again; returns its lines that are blank now, None if it was overwritten."""
    is_redacted = (person.kind, source.dataset) == ("child", "users")
    lines, blank, spellings = held.content.split(b"\n"), [], person.spellings
    for number, line in held.lines(person):
        lines[number - 1] = spellings.redact(line) if is_redacted else b""
        if not is_redacted:
            blank.append(number)
    if len(lines) in blank:
        lines.append(b"")  # the last line needs an end, or it would be none
    content = b"\n".join(lines)
    if held.is_zipped:
        content = gzip.compress(content, mtime=0)
    if source.is_dated_by_writing:
        # before it is written: else a kill between would have it land again, after all others
        _keep_landing(source, held.found, hashlib.md5(content).hexdigest(), record)
    etag = source.store().replace(held.found, content)
    if etag is None:
        return None
    if source.is_dated_by_writing:
        _keep_landing(source, held.found, etag, record)
    return blank


def _keep_landing(
    source: ObjectsDataset, found: StoredObject, etag: str, record: ErasureRecord
) -> None:
    landed_at = source.landed_at(found)
    if landed_at is None:
        return
    kept = Rewritten(etag=etag, landed_at=landed_at)

    def add(erasures: Erasures) -> Erasures:
        of_dataset = erasures.rewritten.get(source.dataset, {}) | {found.key: kept}
        rewritten = erasures.rewritten | {source.dataset: of_dataset}
        return erasures.model_copy(update={"rewritten": rewritten})

    record.change(add)
