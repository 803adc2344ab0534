"""What kedro-viz shows of a dataset: its first rows, or why there are none.

Identifiers and free text are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NewType

from lingokids.errors import LingokidsError
from lingokids.schema.columns import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

#: kedro-viz draws a table where the return annotation of ``preview`` has this name, no more.
TablePreview = NewType("TablePreview", dict[str, Any])


def preview_of(first_rows: Callable[[], pa.Table]) -> TablePreview:
    """The rows that ``first_rows`` reads, or the sentence of its refusal."""
    try:
        rows = first_rows()
    except LingokidsError as error:
        return TablePreview({"index": [0], "columns": ["notice"], "data": [[error.message]]})
    cells = [[_as_json(value) for value in masked(row).values()] for row in rows.to_pylist()]
    return TablePreview(
        {"index": list(range(len(cells))), "columns": rows.column_names, "data": cells}
    )


def _as_json(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
