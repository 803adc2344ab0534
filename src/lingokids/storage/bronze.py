"""A bronze table: validated lines and all that belongs to them, in one save.

A line is in bronze or in quarantine, its object is in the ledger with counts of both, and what no
field reads is kept. One save writes all of it, so each dataset can be taken in alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lingokids.schema import Delivery
from lingokids.storage.tables import TableDataset

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.storage.duckdb.bronze import StoredBronze


class BronzeDataset(TableDataset):
    """The lines of one raw dataset, as delivered.

    Saving takes a ``Delivery``: new lines are added, and lines of earlier versions of their
    objects are marked as no longer current; lines that were quarantined before are moved. Saving
    a table of the contract's columns restores it.

    Args:
        dataset: The raw dataset: events, users or activities.
        not_kept: Columns whose values are not kept.
        credentials: ``key``, with which ids among them become pseudonyms; None: they are dropped.
        table: As of ``TableDataset``.
    """

    def __init__(
        self,
        *,
        dataset: str,
        not_kept: list[str] | None = None,
        credentials: dict[str, str | None] | None = None,
        **table: Any,
    ) -> None:
        super().__init__(**table)
        self.not_kept = [] if not_kept is None else not_kept
        self.key = (credentials or {}).get("key")
        self.dataset = dataset
        self.has_versions = True

    @property
    def keeps_children(self) -> bool:
        """Whether lines say which child they are of, be it by a pseudonym."""
        return self.key is not None or "child_id" not in self.not_kept

    @cached_property
    def stored(self) -> StoredBronze:
        """The table in its engine, with what belongs to it."""
        return self.warehouse.stored_lines(self)

    def save(self, data: Delivery | ir.Table) -> None:
        """File a batch of lines."""
        if not isinstance(data, Delivery):
            self.contract.validate(data)
            self.stored.restore(data)
        elif "past_reason" in data.lines.columns:
            self.stored.move(data)
        else:
            self.stored.file(data)
