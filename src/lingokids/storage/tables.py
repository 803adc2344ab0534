"""A table of the warehouse as a dataset."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ibis
from kedro.io import AbstractDataset

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.history import History, history_of
from lingokids.storage.duckdb.published_copy import open_copy
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.previews import TablePreview, preview_of, preview_of_table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.storage.duckdb.stored import StoredTable


class TableDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """A table of the warehouse, read and saved as an Ibis table.
    Without ``unit`` the saved rows become the table, unless it already holds just these. With
    ``unit`` they replace those of the units that are due, in the run's transaction, and only rows
    that differ are written.

    Args:
        table_name: The table in schema ``main``; its columns are those of the contract of that
            name.
        warehouse: ``database``, ``published`` and settings of the engine: see ``Warehouse.at``.
        unit: The columns that name what is replaced as a whole; never NULL.
        reads: By input, the columns of it that name what is due when a row of it changes, where
            these are neither the unit nor the input's own unit.
        silent: Columns that no other table reads: a row that differs in these alone is written,
            but counts as unchanged.
        units_a_slice: How many due units are made at a time, split by the first column of the
            unit: what a node holds of so many should fit into memory. None: all at once.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(  # noqa: PLR0913
        self,
        *,
        table_name: str,
        warehouse: dict[str, Any],
        unit: list[str] | None = None,
        reads: dict[str, list[str]] | None = None,
        silent: list[str] | None = None,
        units_a_slice: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if table_name not in schema.CONTRACTS:
            raise LingokidsError(f"{table_name} has no contract: write one in schema/.")
        self.table_name = table_name
        self.warehouse = Warehouse.at(**warehouse)
        self.metadata = metadata
        self.unit = tuple(unit or ())
        self.reads = reads or {}
        self.silent = frozenset(silent or ())
        self.units_a_slice = units_a_slice
        self.has_versions = bool(unit)
        self.contract = schema.CONTRACTS[table_name]
        if unknown := sorted(self.silent - {*self.contract.columns}):
            raise LingokidsError(
                f"{table_name} has no column {', '.join(unknown)}: correct silent in its entry."
            )
        if not {*self.unit} <= {*self.contract.grain}:
            # else a row of one unit may have the key of a row of another, which stays
            raise LingokidsError(
                f"{table_name}: its unit ({', '.join(self.unit)}) is no part of its grain "
                f"({', '.join(self.contract.grain)}): name columns of the grain in its catalog "
                "entry, or leave unit out."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns promised, in order."""
        return self.contract.columns

    @property
    def readable_schema(self) -> ibis.Schema:
        """The columns that other tables may be made from."""
        columns = self.contract.nullable_schema.items()
        return ibis.schema({name: dtype for name, dtype in columns if name not in self.silent})

    @property
    def layer(self) -> str:
        """The table's layer, as kedro-viz shows it."""
        return str((self.metadata or {}).get("kedro-viz", {}).get("layer", ""))

    @property
    def is_outdated(self) -> bool:
        """Whether it is stored otherwise than its contract says: by another version."""
        return bool(self.stored.faults)

    @cached_property
    def stored(self) -> StoredTable:
        """The table in its engine."""
        return self.warehouse.stored(self)

    def load(self) -> ir.Table:
        """The table, lazily: nothing is read until the result is asked for."""
        return self.stored.load()

    def save(self, data: ir.Table) -> None:
        """Replace what is due by the rows of ``data``."""
        self.contract.validate(data)
        if self.unit:
            self.stored.replace_due(data)
        else:
            self.stored.replace_all(data)

    def preview(self, nrows: int = 5) -> TablePreview:
        """What it is and its first rows, for kedro-viz: the file is opened, read and closed."""
        return preview_of_table(
            self.contract, self._facts(), lambda: self.load().limit(nrows).to_pyarrow()
        )

    def _facts(self) -> dict[str, str]:
        """What the warehouse has counted of it; nothing where it cannot be read."""
        with (
            contextlib.suppress(LingokidsError),
            history_of(self.warehouse.database, self.warehouse.published) as history,
        ):
            return history.facts(self.table_name)
        return {}

    def _exists(self) -> bool:
        return self.warehouse.has(self.table_name)

    def _describe(self) -> dict[str, Any]:
        # kedro-viz shows what is called filepath: it says which environment the rows are of
        return {"table_name": self.table_name, "filepath": self.warehouse.name}


class LastRunDataset(AbstractDataset[None, dict[str, Any]]):
    """The run that the published copy is of, and the last verdict of each rule.

    Args:
        warehouse: As of a table.
        metadata: For plugins, such as kedro-viz.
    """

    meaning = "The run that the published copy is of, and its rules by their verdict."

    def __init__(
        self, *, warehouse: dict[str, Any], metadata: dict[str, Any] | None = None
    ) -> None:
        self.warehouse = Warehouse.at(**warehouse)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """``run_id``; ``started_at``, as JSON has it; ``verdicts``, the number of rules by each."""
        read = self.warehouse.copy  # a run that reads keeps to the copy as of its beginning
        opened = contextlib.nullcontext(read.con) if read else open_copy(self.warehouse.published)
        with opened as con:
            history = History(con)
            (run,) = history.runs(1)
            verdicts = Counter(each["verdict"] for each in history.results(1))
        return {
            "run_id": run["run_id"],
            "started_at": f"{run['started_at'].isoformat(timespec='seconds')}Z",
            "verdicts": dict(sorted(verdicts.items())),
        }

    def preview(self) -> TablePreview:
        """The same, for kedro-viz."""
        import pyarrow as pa

        about = {"table": self.meaning}
        known = ("run_id", "started_at")
        columns = {name: ("string", schema.COLUMNS[name].comment) for name in known}
        return preview_of(about, columns, lambda: pa.Table.from_pylist([self.load()]))

    def save(self, data: None) -> None:
        """Runs write it: refused."""
        raise LingokidsError("last_run is written by runs alone: give the node another output.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self.warehouse.name}
