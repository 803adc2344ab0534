"""``kedro migrate`` and ``kedro maintain``: what they do, in sentences.

The engine's side: ``storage.spark.migration`` and ``storage.spark.upkeep``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lingokids.errors import LingokidsError
from lingokids.operations.project import Project
from lingokids.operations.words import columns, counted

#: What a raw object is known by.
_OF_OBJECTS = ("events", "users", "activities", "arrival", "versions")


def migrate(folder: Path, env: str | None, to: str) -> Iterator[str]:
    """Take the tables of an environment over into one on Spark."""
    began = time.perf_counter()
    source, target = Project.read(folder, env), Project.read(folder, to)
    _refuse_other_engines(source, target)
    _refuse_other_objects(source, target)
    from lingokids.storage.spark.migration import take_over
    from lingokids.storage.spark.warehouse import SparkWarehouse

    assert isinstance(target.warehouse, SparkWarehouse)
    entries = {table.table_name: table for table in target.tables.values()}
    rows = take_over(
        *(source.warehouse, target.warehouse, target.environment, entries),
        lambda: _take_over_files(source, target),
    )
    yield (
        f"Took over {len(rows)} tables of {source.warehouse.name}, {sum(rows.values()):,} rows, "
        f"in {time.perf_counter() - began:,.1f} s; it is as it was."
    )
    yield (
        f"uv run kedro run --env {target.environment} goes on from there, and publishes the tables."
    )


def _is_on_spark(project: Project) -> bool:
    return "catalog" in project.places["warehouse"]


def _refuse_other_engines(source: Project, target: Project) -> None:
    if not _is_on_spark(target):
        raise LingokidsError(
            f"{target.environment} keeps its tables in DuckDB: uv run kedro run --env "
            f"{target.environment} makes them from raw objects, or with --pipeline restore from "
            "the lake."
        )
    if _is_on_spark(source):
        raise LingokidsError(
            f"{source.environment} keeps its tables on Spark already: name an environment of "
            "DuckDB as --env."
        )


def _refuse_other_objects(source: Project, target: Project) -> None:
    """Refuse another raw place: its objects would be taken in beside those that are in already."""
    ours, theirs = source.places["raw"], target.places["raw"]
    for name in _OF_OBJECTS:
        if ours[name] != theirs[name]:
            raise LingokidsError(
                f"raw.{name} is {ours[name]} in {source.environment} and {theirs[name]} in "
                f"{target.environment}, which would not know the objects again: migrate from an "
                f"environment of the same raw objects, or take them in by uv run kedro run --env "
                f"{target.environment}. Nothing was changed."
            )


def _take_over_files(source: Project, target: Project) -> None:
    _take_over_erasures(source, target)
    _take_over_weeks(source, target)


def _take_over_erasures(source: Project, target: Project) -> None:
    ours, theirs = (
        next((it.erasures for it in project.sources.values() if it.erasures), None)
        for project in (source, target)
    )
    known = ours.read() if ours else None
    if theirs is None or known is None or not known.people:
        return
    if theirs.change(lambda here: here if here.people else known) != known:
        raise LingokidsError(
            f"The record of erasures of {target.environment} names others than that of "
            f"{source.environment}: name one place for both as erasures in globals.yml. Nothing "
            "was changed."
        )


def _take_over_weeks(source: Project, target: Project) -> None:
    """What was shown of closed weeks stays as it was."""
    here, there = (Path(project.places["shared"]) for project in (source, target))
    if here == there or any(there.glob("*.parquet")):
        return
    for file in here.glob("*.parquet"):
        there.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copy(file, there)  # with its mode: it is for everyone


def maintain(folder: Path, env: str | None, keep_days: int) -> Iterator[str]:
    """Compact the tables of an environment on Spark, and remove files that nobody needs."""
    project = Project.read(folder, env)
    if not _is_on_spark(project):
        yield (
            f"{project.warehouse.name} needs no maintenance: DuckDB writes into the space of what "
            "was deleted."
        )
        return
    from lingokids.storage.spark import upkeep
    from lingokids.storage.spark.warehouse import SparkWarehouse

    assert isinstance(project.warehouse, SparkWarehouse)
    compacted, removed = upkeep.maintain(project.warehouse, keep_days, datetime.now(UTC))
    yield f"{counted(len(compacted), 'table')} compacted, {counted(removed, 'old file')} removed."
    yield from columns(
        [name, *(f"{files.data:,} files and {files.deletes:,} of deletes" for files in both)]
        for name, both in compacted.items()
    )
