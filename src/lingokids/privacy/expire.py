"""``kedro expire``: what is older than it may be; raw objects are removed when it is asked for.

Runs let go of lines, texts and check reports by themselves. Raw objects belong to whoever delivers
them, so no run removes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.framework.session import KedroSession

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.runtime.retention import old_pages, oldest_lines
from lingokids.schema.parameters import Parameters
from lingokids.storage.records import kept_table

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from kedro.io import DataCatalog

    from lingokids.schema.parameters import Retention
    from lingokids.storage import ObjectsDataset
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.raw.stores import StoredObject

FOR_GOOD, NEXT_RUN = "for good", "the next run"
_AFTER = (
    "Without these raw objects rebuild=raw is refused; rebuild=bronze, and restore from the lake, "
    "make the same tables as before."
)


class Part(NamedTuple):
    """One kind of what is kept.

    Attributes:
        what: What it is.
        kept: For how long.
        goes: What of it is older.
        by: What removes it.
    """

    what: str
    kept: str
    goes: str
    by: str


class Expiry:
    """What of an environment is older than its parameters allow."""

    def __init__(self, project: Path, env: str | None) -> None:
        with KedroSession.create(project_path=project, env=env) as session:
            context = session.load_context()  # type: ignore[attr-defined]
            self._catalog: DataCatalog = context.catalog
            parameters = Parameters.read(context.config_loader["parameters"])
        self._retention: Retention = parameters.retention
        self._now = datetime.now(UTC).replace(tzinfo=None)
        entries = self._catalog.config_resolver.config.items()
        self._sources: list[ObjectsDataset] = [
            self._entry(name) for name, entry in entries if entry["type"].endswith("ObjectsDataset")
        ]
        self._warehouse: Warehouse = self._sources[0].warehouse
        if not self._warehouse.database.exists():
            raise LingokidsError(
                f"{self._warehouse.name} is not there, so nothing is kept yet: uv run kedro run "
                "makes it."
            )

    def _entry(self, name: str) -> Any:
        return self._catalog[name]

    def plan(self) -> Iterator[Part]:
        """What goes, and by what."""
        texts = self._retention.texts_days
        yield Part("text of lines", _days(texts), f"{self._texts():,} lines", NEXT_RUN)
        oldest = oldest_lines(self._retention, self._now)
        for dataset, days in dict(self._retention.lines_days).items():
            objects, lines = self._lines(dataset, oldest.get(dataset))
            goes = f"{lines:,} lines of {objects:,} objects"
            yield Part(f"lines of {dataset}", _days(days), goes, NEXT_RUN)
        days = self._retention.pages_days
        kept = "the last hundred" if days is None else _days(days)
        pages = old_pages(self._retention, self._now, self._warehouse.reports)
        yield Part("check reports", kept, f"{len(pages):,} pages", NEXT_RUN)
        for source in self._sources:
            found = list(self._raw(source))
            size = sum(each.size_bytes for each in found)
            goes = f"{len(found):,} objects, {size:,} bytes"
            kept = _days(self._retention.raw_days)
            yield Part(f"raw {source.dataset}", kept, goes, "kedro expire --raw")

    def remove_raw(self) -> Iterator[str]:
        """Remove raw objects, those alone that the ledger holds and the lake has."""
        if self._retention.raw_days is None:
            raise LingokidsError(
                "Raw objects are kept for good: say for how many days, as retention.raw_days in "
                "conf/base/parameters.yml."
            )
        for source in self._sources:
            found = list(self._raw(source))
            store = source.store()
            removed = sum(store.remove(each) for each in found)
            yield f"Raw {source.dataset}: {removed:,} of {len(found):,} objects were removed."
        yield _AFTER

    # --- what is older ---

    def _table(self, contract: schema.Contract) -> ir.Table:
        return kept_table(self._warehouse, contract).load()

    def _texts(self) -> int:
        days = self._retention.texts_days
        if days is None or not self._is_there(schema.RUN_UNITS, schema.RUNS):
            return 0
        runs = self._table(schema.RUNS)
        old = runs.filter(runs.started_at < self._now - timedelta(days=days))
        units = self._table(schema.RUN_UNITS).semi_join(old, "run_id")
        lines, values = self._table(schema.QUARANTINED_LINES), self._table(schema.RESCUED_VALUES)
        # a number: records and lines may be kept by two engines
        last = units.load_id.max().fill_null(0).to_pyarrow().as_py()
        kept = (
            lines.filter((lines.line_text != "") & (lines.load_id <= last)),
            values.filter((values.rescued != "{}") & (values.load_id <= last)),
        )
        return sum(_number(rows.count()) for rows in kept)

    def _is_there(self, *contracts: schema.Contract) -> bool:
        there = self._warehouse.reader().list_tables()
        return all(contract.table_name in there for contract in contracts)

    def _lines(self, dataset: str, before: datetime | None) -> tuple[int, int]:
        if before is None or not self._is_there(schema.INGESTED_OBJECTS):
            return 0, 0
        ledger = self._table(schema.INGESTED_OBJECTS)
        old = ledger.filter((ledger.dataset == dataset) & (ledger.landed_at < before))
        return _number(old.count()), _number(old.lines.sum().fill_null(0))

    def _raw(self, source: ObjectsDataset) -> Iterator[StoredObject]:
        """The raw objects that may go: nothing that was made of them needs them."""
        if self._retention.raw_days is None or not self._is_there(schema.INGESTED_OBJECTS):
            return
        before = self._now - timedelta(days=self._retention.raw_days)
        forgotten = oldest_lines(self._retention, self._now).get(source.dataset, datetime.min)
        held = self._held(source.dataset)
        for found in source.store().find():
            landed_at = source.landed_at(found)
            if landed_at is None or landed_at >= before:
                continue
            if landed_at < forgotten or (found.key, found.etag) in held:
                yield found

    def _held(self, dataset: str) -> set[tuple[str, str]]:
        """The objects in their version of which ledger and lake have every line."""
        pointer, _version = self._entry(f"published_bronze_{dataset}").lake.pointer()
        if pointer is None:
            return set()
        ledger = self._table(schema.INGESTED_OBJECTS)
        held = ledger.filter(
            (ledger.dataset == dataset) & ledger.is_current & (ledger.load_id <= pointer.run)
        )
        rows = held.select("object_key", "etag").to_pyarrow().to_pylist()
        return {(row["object_key"], row["etag"]) for row in rows}


def as_text(parts: Iterator[Part]) -> str:
    """The plan, aligned."""
    import tabulate

    return tabulate.tabulate(parts, headers=("What", "Is kept", "Goes now", "By"))


def _days(days: int | None) -> str:
    return FOR_GOOD if days is None else f"{days:,} days"


def _number(value: ir.IntegerScalar) -> int:
    return int(value.to_pyarrow().as_py())
