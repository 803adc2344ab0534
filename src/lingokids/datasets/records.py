"""Turns lines into records: JSON is parsed here, once, into a struct of text values.

Here: the hand-over of a batch of lines to the engine, and its one parse. Elsewhere: fetching the
lines (``objects``), typing and judging the values (``quality``). The SQL here is text because Ibis
has no word for the engine's lenient JSON reading.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lingokids.datasets import lines as line_cutting

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import ibis.expr.types as ir

    from lingokids.contracts import Field
    from lingokids.datasets.warehouse import Warehouse


class RawObject(NamedTuple):
    """One object version to be read."""

    key: str
    etag: str
    size_bytes: int
    landed_at: datetime
    load_id: int


class RecordReader:
    """Hands batches of lines to the engine, always under the same names.

    The names stay, so the expressions made from them are the same for each batch and need
    compiling once.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        dataset: str,
        fields: tuple[Field, ...],
        due: list[RawObject],
        judge: Callable[[ir.Table], ir.Table],
    ) -> None:
        self._writer = warehouse.writer
        self._con = warehouse.writer.con
        self._batch = f"batch_of_{dataset}"
        self._judged = f"judged_{dataset}"
        self._read = f"read_{dataset}"
        self._judge = judge
        self._sql = ""
        self._due = due
        self._con.register(f"due_{dataset}", _due_table(due))
        self._records = f"""
            SELECT object_key, etag, line_number, line_text, landed_at, load_id,
                nullif(problem, 'blank') AS problem,
                coalesce(problem = 'blank', false) AS is_blank,
                CASE WHEN problem IS NULL
                THEN json_transform(line_text, '{json.dumps(_text_leaves(fields))}') END AS record
            FROM ({_LINES.replace("FROM batch", f"FROM {self._batch}")})
            JOIN due_{dataset} USING (object_index)
        """

    def read(self, batch: list[line_cutting.Piece]) -> tuple[ir.Table, ir.Table]:
        """Parse and judge a batch: its lines, and the objects it is of."""
        self._con.register(self._batch, line_cutting.to_arrow(batch))
        indexes = sorted({piece.object_index for piece in batch})
        self._con.register(self._read, _due_table([self._due[index] for index in indexes]))
        if not self._sql:
            self._con.execute(
                f"CREATE OR REPLACE TEMP VIEW {self._batch}_records AS {self._records}"
            )
            judged = self._judge(self._writer.table(f"{self._batch}_records"))
            self._sql = self._writer.compile(judged)
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {self._judged} AS {self._sql}")
        return self._writer.table(self._judged), self._writer.table(self._read)


# Lines that are plainly '{…' take the short way: an AND would trim every line, which costs more
# than parsing it, where a CASE looks only at those that are left.
_LINES = r"""
SELECT object_index, line_number, line_text,
    CASE
        WHEN problem IS NOT NULL THEN problem
        WHEN starts_with(line_text, '{') THEN
            CASE WHEN json_valid(line_text) THEN NULL ELSE 'not JSON' END
        WHEN trim(line_text, E' \t\r\n') = '' THEN 'blank'
        WHEN NOT json_valid(line_text) THEN 'not JSON'
        WHEN NOT starts_with(ltrim(line_text, E' \t\r\n'), '{') THEN 'not a JSON object'
    END AS problem
FROM batch
"""


def _due_table(due: list[RawObject]) -> pa.Table:
    return pa.table(
        {
            "object_index": pa.array(range(len(due)), pa.int32()),
            "object_key": pa.array([item.key for item in due], pa.string()),
            "etag": pa.array([item.etag for item in due], pa.string()),
            "landed_at": pa.array([item.landed_at for item in due], pa.timestamp("us")),
            "load_id": pa.array([item.load_id for item in due], pa.int32()),
        }
    )


def _text_leaves(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The shape of a record with every value as text: what ``json_transform`` is asked for."""
    shape: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.path.split(".")
        level = shape
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = "VARCHAR"
    return shape
