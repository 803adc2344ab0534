"""The exercise's CSV files as Ibis tables, typed by their contract."""

from __future__ import annotations

import functools
import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.previews import TablePreview, preview_of_table

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

LOGGER = logging.getLogger(__name__)


class CsvDataset(AbstractDataset["ir.Table", "ir.Table"]):
    """One CSV file with a header line, read through fsspec.

    Args:
        filepath: A path or URL.
        contract: Name of the contract in ``schema`` that gives columns and types.
        credentials: Arguments of the filesystem, such as ``key`` and ``secret``.
        metadata: For plugins, such as kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        contract: str,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = filepath
        self._contract: schema.Contract = getattr(schema, contract)
        self._credentials = credentials or {}
        self.metadata = metadata

    def load(self) -> ir.Table:
        """The file's rows; a value that is empty is NULL, the last row of a key counts.

        Raises:
            LingokidsError: The file is missing, lacks a column, or has a value of another type.
        """
        import fsspec
        import ibis
        import pyarrow as pa
        from pyarrow import csv

        types = {field.name: field.type for field in self._contract.schema.to_pyarrow()}
        options = csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            strings_can_be_null=True,
            true_values=["true"],
            false_values=["false"],
        )
        if (place := Path(self._filepath)).exists() and not place.is_file():
            raise LingokidsError(f"{place} is not a regular file: put the exercise's file there.")
        try:
            with fsspec.open(self._filepath, "rb", **self._credentials) as file:
                rows = csv.read_csv(file, convert_options=options)
        except FileNotFoundError:
            raise LingokidsError(
                f"{self._filepath} is not there: put the exercise's file there, or change its "
                "place in conf/base/globals.yml."
            ) from None
        except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
            raise LingokidsError(f"{self._filepath} cannot be read: {error}") from error
        return ibis.memtable(self._last_of_each_key(rows)).cast(self._contract.schema)

    def _last_of_each_key(self, rows: pa.Table) -> pa.Table:
        """The rows without those whose key comes again further down; one without a key stays."""
        import pyarrow as pa
        import pyarrow.compute as pc

        grain = list(self._contract.grain)
        numbered = rows.append_column("row", pa.array(range(rows.num_rows)))
        last = numbered.group_by(grain).aggregate([("row", "max")])["row_max"]
        has_no_key = functools.reduce(pc.or_, (pc.is_null(rows[name]) for name in grain))
        kept = rows.filter(pc.or_(pc.is_in(numbered["row"], last), has_no_key))
        if repeated := rows.num_rows - kept.num_rows:
            LOGGER.warning(
                "%s: %s of %s rows have a key (%s) that comes again further down, and are passed "
                "over: the last row of a key counts.",
                *(self._filepath, f"{repeated:,}", f"{rows.num_rows:,}", ", ".join(grain)),
            )
        return kept

    def save(self, data: ir.Table) -> None:
        """Refused: the exercise's files are given."""
        raise LingokidsError(f"{self._filepath} is given, not written.")

    def preview(self, nrows: int = 10) -> TablePreview:
        """What it is and its first lines, for kedro-viz: no more of the file is read."""
        return preview_of_table(
            self._contract, {"file": self._filepath}, lambda: self._first_lines(nrows)
        )

    def _first_lines(self, nrows: int) -> pa.Table:
        """Lines as they are in the file, each value a text."""
        import csv

        import fsspec
        import pyarrow as pa

        try:
            with fsspec.open(
                self._filepath, "rt", encoding="utf-8-sig", newline="", **self._credentials
            ) as file:
                lines = [*itertools.islice(csv.DictReader(file), nrows)]
        except OSError as error:
            raise LingokidsError(f"{self._filepath} cannot be read: {error.strerror}.") from error
        named = [{name: line.get(name) or "" for name in self._contract.columns} for line in lines]
        return pa.Table.from_pylist(named)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "contract": self._contract.table_name}
