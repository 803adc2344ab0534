"""The book on this machine: a copy of the catalog's, which a run works on and commands look at."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import duckdb

from lingokids.storage.duckdb import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lingokids.storage.spark.catalog import Book


@contextlib.contextmanager
def alone(database: Path) -> Iterator[None]:
    """Have no other process of this machine put a book there, or open it for a run."""
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(database.with_name(f"{database.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def put(database: Path, book: Book | None) -> None:
    """Put a book in the place of the one that is there; none: take that one away."""
    wal_of(database).unlink(missing_ok=True)
    if book is None:
        database.unlink(missing_ok=True)
        return
    aside = database.with_name(f".{database.name}.part")
    aside.write_bytes(book.content)
    aside.replace(database)


def wal_of(database: Path) -> Path:
    """The log of a book, which is there while a run writes it, or when one was killed."""
    return database.with_name(f"{database.name}.wal")


def is_held(database: Path) -> bool:
    """Whether a run has a book open."""
    try:
        duckdb.connect(str(database), read_only=True).close()
    except duckdb.Error as error:
        return sentences.is_held(error)
    return False
