"""The engine's errors as sentences, with the cure."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb


def out_of_room(error: duckdb.Error) -> str:
    """What to do when the engine ran out of memory or could not write a file."""
    cause = str(error).splitlines()[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            "the engine ran out of memory: raise warehouse.memory_limit in "
            f"conf/base/globals.yml, or free disk space. ({cause})"
        )
    return (
        f"a file could not be written or read ({cause}): free disk space and run again. Every "
        "table is as it was."
    )


def is_locked(error: BaseException | None) -> bool:
    """Whether another process has the file open."""
    return "Could not set lock on file" in str(error)


def _is_open_here(error: BaseException | None) -> bool:
    """Whether this process has the file open in another way."""
    said = str(error)
    return "different configuration" in said or "Unique file handle conflict" in said


def is_held(error: BaseException | None) -> bool:
    """Whether the file is in use, here or by another process."""
    return is_locked(error) or _is_open_here(error)


def cannot_open(database: Path, error: duckdb.Error, cure: str) -> str:
    """Why a file cannot be opened, and which process holds it."""
    if is_locked(error):
        holder = re.search(r"held in (.*?) \(PID (\d+)\)", str(error))
        process = f" (PID {holder[2]}, {Path(holder[1]).name})" if holder else ""
        return f"{database.name} is in use by another process{process}. {cure}"
    if _is_open_here(error):
        return f"{database.name} is open in this process already: close that connection first."
    return (
        f"{database} cannot be opened as a DuckDB file ({first_line(error)}). If it is a damaged "
        "warehouse: uv run kedro backup restore --replace, or another way back of "
        "operations/README.md."
    )


def first_line(error: duckdb.Error) -> str:
    """What the engine says, without where in a statement."""
    return str(error).splitlines()[0]
