"""``kedro erase``: someone is taken out of every place of an environment, and kept out.

The record of erasures is written first. From then on no run takes in a line of theirs, and the
next whole run takes out what is stored: so a kill at any point leaves nothing that the same
command, given again, does not complete.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import ibis
from kedro.framework.session import KedroSession

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.runtime.configuration import credentials_of
from lingokids.runtime.viz import folder_of
from lingokids.storage.backups import Backups
from lingokids.storage.duckdb.minimising import pseudonym_of
from lingokids.storage.erasures import Erasing, NamedLine, Person
from lingokids.storage.raw.rewriting import holding, rewrite
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from kedro.io import DataCatalog

    from lingokids.storage import ObjectsDataset
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.erasures import ErasureRecord, Spellings

_NAMED_OBJECTS = 20


def person_of(user: str | None, child: str | None) -> Person:
    """Whom a command names.

    Raises:
        LingokidsError: Nobody, two at once, or by no id. The id is not repeated: it may be one.
    """
    if (user is None) == (child is None):
        raise LingokidsError("Say whom: --user ID, or --child ID.")
    given = user if child is None else child
    text = sys.stdin.readline() if given == "-" else str(given)
    with contextlib.suppress(ValueError):
        return Person("user" if child is None else "child", UUID(text.strip()))
    raise LingokidsError(
        "That is no id: write the uuid that the app gives, such as "
        "00000000-0000-4000-8000-000000000000."
    )


@dataclass
class _Places:
    """Where an environment keeps what it knows.

    Attributes:
        warehouse: The tables.
        sources: The raw objects.
        record: The record of erasures.
        pages: Folders of what runs write beside tables: reports, charts, row counts.
        keeps_children: Whether tables tell which child a line is of.
        key: The key of pseudonyms; None: there are none.
        backups: Copies of the warehouse.
    """

    warehouse: Warehouse
    sources: list[ObjectsDataset]
    record: ErasureRecord
    pages: list[Path]
    keeps_children: bool
    key: str | None
    backups: Backups

    @classmethod
    def of(cls, project: Path, env: str | None) -> _Places:
        """Those of an environment, as its configuration names them."""
        with KedroSession.create(project_path=project, env=env) as session:
            context = session.load_context()  # type: ignore[attr-defined]
            catalog: DataCatalog = context.catalog
            places = context.config_loader["globals"]
            credentials = credentials_of(context.config_loader)
        # by their types: making every dataset would load plotly, for the charts
        of_type = {name: entry["type"] for name, entry in catalog.config_resolver.config.items()}
        names = [name for name, of in of_type.items() if of.endswith(".ObjectsDataset")]
        sources: list[Any] = [catalog[name] for name in names]
        warehouse = sources[0].warehouse
        if not (records := [each.erasures for each in sources if each.erasures]):
            raise LingokidsError("No place for the record of erasures is named in globals.yml.")
        warehouse.fetch()
        if not warehouse.database.exists():
            raise LingokidsError(
                f"{warehouse.name} is not there, so nothing can be looked through: uv run kedro "
                "run makes it. Nobody was erased."
            )
        pages = [warehouse.reports, Path(places["shared"]), folder_of(project, env)]
        events: Any = catalog["bronze_events"]
        return cls(
            warehouse,
            sources,
            records[0],
            [page for page in pages if page],
            events.keeps_children,
            events.key,
            Backups(warehouse, records[0], places, credentials),
        )

    def known(self, person: Person) -> Person:
        """Someone with the pseudonym that tables know them by."""
        if person.kind == "user" or self.key is None:
            return person
        return person._replace(pseudonym=pseudonym_of(person.id, self.key))

    def has_lost(self, person: Person) -> bool:
        """Whether tables do not tell which lines are someone's."""
        return person.kind == "child" and not self.keeps_children


def erase(
    project: Path,
    env: str | None,
    person: Person,
    *,
    rewrite_raw: bool,
    drop_backups: bool = False,
) -> Iterator[str]:
    """Erase someone; yields what was done, in sentences without the id.

    An id of which nothing is held is recorded all the same: a line of theirs may be on its way.
    """
    places = _Places.of(project, env)
    warehouse, record, person = places.warehouse, places.record, places.known(person)
    warehouse.begin()  # refuses while a run writes, before anything is recorded
    warehouse.close()
    recorded = record.change(lambda erasures: erasures.with_person(person))
    yield f"Recorded in {record.place}: no run takes in a line of theirs from now on."
    erasing = Erasing(leaves_no_trace=not rewrite_raw)
    if places.has_lost(person):
        erasing.looked_for = {recorded.hash_of(person.id.hex)}
    erasing.lines_named = list(_lines_naming(places, person))
    lines = _run(project, env, erasing, warehouse)
    suspects = _suspects(places, person)
    if rewrite_raw:
        rewritten = [
            each
            for source, keys in suspects
            for each in rewrite(source, person, holding(source, person, keys), record)
        ]
        _run(project, env, Erasing(leaves_no_trace=True, rewritten=rewritten), warehouse)
        record.change(lambda erasures: erasures.with_person(person, raw_rewritten=True))
        yield f"Raw: {len(rewritten):,} objects were written again without them."
    pages = list(_remove_pages(places, person.spellings))
    named = _objects_named_by(places, person)
    besides = f", but as the name of {named:,} objects, which is not changed" if named else ""
    yield (
        f"Erased: {lines:,} lines, and what was made of them"
        + (f", and {len(pages):,} pages" if pages else "")
        + f". No table, copy or page of {warehouse.name} and no file of its lake holds the id"
        + f"{besides}."
        if lines or pages
        else f"No table holds anything of this {person.kind}{besides}: a line that arrives of "
        "theirs is refused."
    )
    left = sorted(
        f"  {source.path}/{held.found.key}"
        for source, keys in suspects
        for held in holding(source, person, keys)
    )
    if left:
        yield (
            f"{len(left):,} raw objects still hold the id, and no run reads it from there; the "
            "same command with --rewrite-raw takes it out of them:"
        )
        yield from left[:_NAMED_OBJECTS]
    if (more := len(left) - _NAMED_OBJECTS) > 0:
        yield f"  and {more:,} more"
    yield from _reach_backups(places.backups, drop=drop_backups)


def _reach_backups(backups: Backups, *, drop: bool) -> Iterator[str]:
    """Have backups know of the erasure, and remove those made before, or say when they go."""
    if not (before := backups.made()):
        return
    backups.keep_what_never_goes_back()
    if not (holding := backups.holding_erased()):
        return
    if drop:
        backups.make()
        backups.remove_superseded(that_hold_erased=True)
        gone = before.keys() - backups.made().keys()
        yield f"Backups: one was made, and {len(gone):,} of before were removed."
        return
    last = max(map(backups.goes_by, holding))
    yield (
        f"Backups in {backups.place} made before, which may hold the id: {len(holding):,}. None "
        "brings it back: a restore takes it out. They are removed by the backups of "
        f"{last:%Y-%m-%d} at the latest; the same command with --drop-backups removes them now."
    )


def _run(project: Path, env: str | None, erasing: Erasing, warehouse: Warehouse) -> int:
    """Make a whole run: it takes out what is stored, and brings every table up to date.

    Returns:
        Of how many lines something was taken out.
    """
    warehouse.erasing = erasing
    try:
        with KedroSession.create(project_path=project, env=env) as session:
            session.run()
    finally:
        warehouse.erasing = Erasing()
    return erasing.lines


def _lines_naming(places: _Places, person: Person) -> Iterator[NamedLine]:
    """The lines that raw objects, and not tables, say are someone's.

    Those of a child whose id is not kept, and those of which unknown keys, whose values have
    expired, may have named someone. Users' records do not become a child's.
    """
    expired: defaultdict[str, set[str]] = defaultdict(set)
    if places.warehouse.has(schema.RESCUED_VALUES.table_name):
        values = kept_table(places.warehouse, schema.RESCUED_VALUES).load()
        expired = _objects_of(values.filter(values.rescued == "{}"))
    for source in places.sources:
        if (person.kind, source.dataset) == ("child", "users"):
            continue
        keys = None if places.has_lost(person) else expired[source.dataset]
        for held in holding(source, person, keys):
            for number, _ in held.lines(person):
                yield NamedLine(source.dataset, held.found.key, held.found.etag, number)


def _suspects(
    places: _Places, person: Person
) -> list[tuple[ObjectsDataset, Collection[str] | None]]:
    """The raw objects that may name someone, by their source; None: any of it.

    Quarantine knows them: those of refused lines, and of lines whose text it has not, or in part.
    Of users' records that lost a child it does not, nor of objects that are not read: they are
    older than ``retention.lines_days``, say.
    """
    lines = kept_table(places.warehouse, schema.QUARANTINED_LINES).load()
    is_suspect = lines.reason.isin(schema.TEXT_IS_NOT_WHOLE) | (lines.line_text == "")
    suspects = _objects_of(lines.filter(is_suspect))
    read = _objects_of(kept_table(places.warehouse, schema.INGESTED_OBJECTS).load())
    is_any = {"users"} if person.kind == "child" else set()
    return [
        (source, None if source.dataset in is_any else suspects[source.dataset] | unread)
        for source in places.sources
        for unread in [{found.key for found in source.store().find()} - read[source.dataset]]
    ]


def _objects_of(rows: ir.Table) -> defaultdict[str, set[str]]:
    """The keys of the objects that rows came from, by dataset."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows.select("dataset", "object_key").distinct().to_pyarrow().to_pylist():
        keys[row["dataset"]].add(row["object_key"])
    return keys


def _objects_named_by(places: _Places, person: Person) -> int:
    """How many of the objects that tables know have the id in their key."""
    ledger = kept_table(places.warehouse, schema.INGESTED_OBJECTS).load()
    named = ledger.filter(ledger.object_key.re_search(person.spellings.pattern))
    return sum(map(len, _objects_of(named).values()))


def _remove_pages(places: _Places, spellings: Spellings) -> Iterator[Path]:
    """Remove reports, charts and row counts that name someone, and what runs left when killed."""
    folder = places.warehouse.database.parent
    shutil.rmtree(folder / f"{places.warehouse.database.name}.tmp", ignore_errors=True)
    for page in sorted({file for place in places.pages for file in place.rglob("*")}):
        if page.is_file() and not page.is_symlink() and spellings.are_in(page.read_bytes()):
            page.unlink()
            yield page


def export(project: Path, env: str | None, person: Person) -> str:
    """All that is held of someone, as JSON: rows of every table, and lines of raw objects."""
    places = _Places.of(project, env)
    person = places.known(person)
    tables = {name: _rows(rows) for name, rows in _holding_tables(places.warehouse, person)}
    raw = [
        {
            "dataset": source.dataset,
            "object_key": each.found.key,
            "line_number": number,
            "line": line.decode(errors="replace"),
        }
        for source in places.sources
        for each in holding(source, person)
        for number, line in each.lines(person)
    ]
    held = {"tables": {name: rows for name, rows in tables.items() if rows}, "raw_lines": raw}
    return json.dumps(held, indent=2, ensure_ascii=False, default=str)


def _rows(rows: ir.Table) -> list[dict[str, Any]]:
    return list(rows.to_pyarrow().to_pylist())


def _holding_tables(warehouse: Warehouse, person: Person) -> Iterator[tuple[str, ir.Table]]:
    """The rows of each table that name someone."""
    for name, contract in schema.STORED.items():
        if name == schema.UNKNOWN_KEYS.table_name or not warehouse.has(name):
            continue
        rows = kept_table(warehouse, contract).load()
        names = [
            rows[column].cast("string").re_search(person.spellings.pattern)
            for column, dtype in contract.nullable_schema.items()
            if dtype.is_uuid() or dtype.is_string() or dtype.is_array()
        ]
        yield name, rows.filter(ibis.or_(ibis.literal(False), *names))
