"""``kedro backup``, ``compare`` and ``swap``: what they do, in sentences.

Backups themselves: ``storage.backups``; files of warehouses: ``storage.duckdb.whole_file``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kedro.framework.session import KedroSession

from lingokids.operations.project import Project
from lingokids.operations.words import columns, counted, size_of
from lingokids.runtime.faults import leave_mark
from lingokids.storage.duckdb import whole_file

_SHOWN_DAYS = 10


class Recovery:
    """The backups of an environment's warehouse.

    Args:
        folder: Of the project.
        env: The environment.
        place: Where they are, if not where ``globals.yml`` says.
    """

    def __init__(self, folder: Path, env: str | None, place: str | None) -> None:
        self._folder, self._env = folder, env
        project = Project.read(folder, env)
        project.refuse_apart_from_its_file()
        self._environment, self._database = project.environment, project.database
        self._backups = project.backups(place, is_patient=True)
        path = Path(self._backups.place)
        is_inside = path.is_relative_to(folder)
        self._place = str(path.relative_to(folder)) if is_inside else self._backups.place

    def back_up(self) -> Iterator[str]:
        """Make a backup; says what it holds."""
        began = time.perf_counter()
        made = self._backups.make()
        rows = sum(each.rows for each in made.tables.values())
        yield (
            f"Backed up to {self._place}/{made.name}.duckdb: {len(made.tables)} tables, "
            f"{rows:,} rows, {size_of(made.size_bytes)}, read back and checked, in "
            f"{time.perf_counter() - began:,.1f} s."
        )

    def listed(self) -> Iterator[str]:
        """Each backup on a line."""
        erased = {each.name for each in self._backups.holding_erased()}
        yield f"{counted(len(self._backups.made()), 'backup')} in {self._place}"
        yield from columns(
            [
                name,
                size_of(self._backups.manifest(name).size_bytes),
                "made before an erasure" if name in erased else "",
            ]
            for name in self._backups.made()
        )

    def restore(self, name: str | None, *, replace: bool) -> Iterator[str]:
        """Restore a backup, and take out of it who was erased since."""
        manifest, holds_erased = self._backups.restore(name, self._environment, replace=replace)
        if holds_erased:
            self._begin_to_take_out()
        rows = sum(each.rows for each in manifest.tables.values())
        yield (
            f"Restored the warehouse of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{len(manifest.tables)} tables, {rows:,} rows, checked."
        )
        if not holds_erased:
            yield "What arrived since is taken in by: uv run kedro run"
            return
        yield "Someone was erased since: a run takes them out, and takes in what arrived since."
        self._run({})
        if self._backups.holds_erased():
            yield "Of an erased child no id is kept: all lines are taken in from raw, but theirs."
            self._begin_to_take_out()
            self._run({"rebuild": "raw"})
        yield "The warehouse is up to date, without them."

    def _begin_to_take_out(self) -> None:
        """Have a restore that is killed before its run told like a killed run."""
        leave_mark(self._database, datetime.now(UTC))

    def _run(self, parameters: dict[str, str]) -> None:
        with KedroSession.create(
            project_path=self._folder, env=self._env, runtime_params=parameters
        ) as session:
            session.run()


def compare(folder: Path, env: str | None, other: Path) -> tuple[list[str], bool]:
    """How a warehouse and another file differ, a line a table, and whether they do not."""
    project = Project.read(folder, env)
    project.refuse_apart_from_its_file()
    warehouse = project.warehouse
    found = whole_file.compare(warehouse, other)
    lines = columns(map(_compared, found), longest=160)
    differing = [each for each in found if not each.is_same]
    verdict = f"{counted(len(differing), 'table')} differ" if differing else "They say the same"
    return [f"{warehouse.name} and {other.name}: {verdict}.", *lines], not differing


def _compared(table: whole_file.Difference) -> list[str]:
    here, there = table.rows
    if here is None or there is None:
        return [table.table_name, "DIFFERS", f"is only {'there' if here is None else 'here'}"]
    if table.is_same:
        return [table.table_name, "same", counted(here, "row")]
    said = [f"{here:,} rows here, {there:,} there"]
    if any(table.only):
        said.append(f"{table.only[0]:,} only here, {table.only[1]:,} only there")
    if table.columns:
        said.append(f"only one has {', '.join(table.columns)}")
    if days := table.days:
        more = f" and {len(days) - _SHOWN_DAYS:,} more days" if len(days) > _SHOWN_DAYS else ""
        said.append(f"of {', '.join(days[:_SHOWN_DAYS])}{more}")
    return [table.table_name, "DIFFERS", "; ".join(said)]


def swap(folder: Path, env: str | None, other: Path) -> Iterator[str]:
    """Exchange the warehouse and another."""
    project = Project.read(folder, env)
    project.refuse_apart_from_its_file()
    warehouse = project.warehouse
    whole_file.swap(warehouse.database, other)
    yield (
        f"{warehouse.name} is what {other.name} was, and the other way round; the same command "
        "undoes it. uv run kedro run publishes its tables."
    )
    yield (f"Delete {other.name} when it is not needed any more: kedro erase does not reach it.")
