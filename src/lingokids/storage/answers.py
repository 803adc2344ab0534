"""The rows of an answer, which charts are drawn from.

Nodes are lazy, and a drawing needs numbers: between the node that asks and the node that draws, the
answer becomes rows here. One that still has hidden numbers is given no file: it ends with the run.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir
from kedro.io import AbstractDataset

from lingokids.errors import LingokidsError
from lingokids.metrics import METRICS
from lingokids.schema import COLUMNS
from lingokids.storage.previews import TablePreview, meaning_of, preview_of

if TYPE_CHECKING:
    import pyarrow as pa

_MADE_FROM = b"made_from"


def _meaning(column: str) -> str:
    """What a column is; of a metric, how it is computed."""
    if (known := COLUMNS.get(column)) is not None:
        return known.comment
    return METRICS[column].formula if column in METRICS else ""


class AnswerDataset(AbstractDataset["ir.Table | pa.Table", "pa.Table"]):
    """The rows of an answer, as a Parquet file or in memory.

    Args:
        filepath: The file; None: the rows are held in memory until the run ends.
        published: The published copy that the rows are computed from; a file of another is refused.
        may_be_missing: Without a file there are no rows: it is read before it is first written.
        name: Its entry in the catalog.
        metadata: For plugins, such as kedro-viz.
    """

    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        filepath: str | None = None,
        published: str = "",
        may_be_missing: bool = False,
        name: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath) if filepath is not None else None
        self._published = Path(published)
        self._may_be_missing = may_be_missing
        self._name = name
        self._rows: pa.Table | None = None
        self.metadata = metadata

    def load(self) -> pa.Table:
        """The rows.

        Raises:
            LingokidsError: They are not there yet, or of another environment.
        """
        import pyarrow as pa

        if self._filepath is not None and self._exists():
            return self._read(self._filepath)
        if self._may_be_missing:
            return pa.table({})
        if self._rows is not None:
            return self._rows
        if self._filepath is None:
            raise LingokidsError("These rows are held during a run only: they are in no file.")
        raise LingokidsError(
            f"{self._filepath.name} is not there yet: uv run kedro run --pipeline reporting makes "
            "it."
        )

    def _read(self, path: Path) -> pa.Table:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            # parquet.read_table would load pyarrow.dataset too, some hundredths of a second
            with parquet.ParquetFile(path) as file:
                rows = file.read()
        except (OSError, pa.ArrowException) as error:
            raise LingokidsError(
                f"{path} cannot be read ({error}): remove it, and uv run kedro run --pipeline "
                "reporting makes it again, of the weeks as they are now."
            ) from error
        if (made_from := (rows.schema.metadata or {}).get(_MADE_FROM)) not in (None, self._origin):
            raise LingokidsError(
                f"{path} is made from {made_from.decode()}, and this environment publishes "
                f"{self._origin.decode()}: give it a folder of its own (shared, in globals.yml)."
            )
        return rows

    @property
    def _origin(self) -> bytes:
        """The published copy as seen from the file, so that both may be moved together."""
        folder = Path() if self._filepath is None else self._filepath.absolute().parent
        return os.path.relpath(self._published.absolute(), folder).encode()

    def save(self, data: ir.Table | pa.Table) -> None:
        """Work the answer out; a file that holds just these rows is left alone."""
        rows = data.to_pyarrow() if isinstance(data, ir.Table) else data
        if self._filepath is None:
            self._rows = rows
        elif not (self._exists() and self.load().equals(rows)):
            self._write(self._filepath, rows)

    def _write(self, path: Path, rows: pa.Table) -> None:
        from pyarrow import parquet

        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(rows.replace_schema_metadata({_MADE_FROM: self._origin}), aside)
            aside.replace(path)
        except OSError as error:
            raise LingokidsError(
                f"{path} cannot be written ({error}): fix that and run again."
            ) from error
        finally:
            aside.unlink(missing_ok=True)

    def preview(self, nrows: int = 10) -> TablePreview:
        """What it is and its first rows, for kedro-viz."""
        file = self._filepath.name if self._filepath is not None else "no file"
        about = {"table": meaning_of(self._name) or f"What an earlier run has left in {file}."}
        try:
            rows = self.load()
        except LingokidsError as error:
            return preview_of(about | {"notice": error.message}, {})
        about["rows"] = f"{rows.num_rows:,}"
        if self._filepath is not None and self._exists():
            written = datetime.fromtimestamp(self._filepath.stat().st_mtime, UTC)
            about["last written"] = f"{written:%Y-%m-%d %H:%M} UTC"
        columns = {field.name: (str(field.type), _meaning(field.name)) for field in rows.schema}
        return preview_of(about, columns, lambda: rows.slice(0, nrows))

    def _release(self) -> None:
        self._rows = None

    def _exists(self) -> bool:
        return self._filepath is not None and self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath) if self._filepath else "held during a run"}
