"""What kedro-viz shows in the panel of a dataset: what it is, its columns, its first rows.

Identifiers and free text are masked.
"""

from __future__ import annotations

from inspect import getdoc
from typing import TYPE_CHECKING, Any, NewType

from kedro.framework.project import pipelines

from lingokids.errors import LingokidsError
from lingokids.schema.columns import COLUMNS, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa
    from kedro.pipeline.node import Node

    from lingokids.schema import Contract

#: kedro-viz draws a table where the return annotation of ``preview`` has this name, no more.
TablePreview = NewType("TablePreview", dict[str, Any])


def preview_of(
    about: Mapping[str, str],
    columns: Mapping[str, tuple[str, str]],
    first_rows: Callable[[], pa.Table] | None = None,
) -> TablePreview:
    """A line for each column: its type, its meaning, its value in the first rows.

    Args:
        about: What stands above them, by label; below it why there are no rows, if they are
            refused.
        columns: Type and meaning of each.
        first_rows: Reads the first rows; None: there are none to be shown.
    """
    lines = {f"({label})": text for label, text in about.items() if text}
    rows: list[dict[str, Any]] = []
    try:
        rows = [masked(row) for row in first_rows().to_pylist()] if first_rows else []
    except LingokidsError as error:
        lines["(notice)"] = error.message
    data = [
        *([label, "", text, *[""] * len(rows)] for label, text in lines.items()),
        *(
            [name, *said, *(_as_json(row.get(name, "")) for row in rows)]
            for name, said in columns.items()
        ),
    ]
    head = ["column", "type", "meaning", *(f"row {number}" for number in range(1, len(rows) + 1))]
    return TablePreview({"index": list(range(len(data))), "columns": head, "data": data})


def preview_of_table(
    contract: Contract,
    facts: Mapping[str, str],
    first_rows: Callable[[], pa.Table] | None = None,
) -> TablePreview:
    """The same of what has a contract, with what is known besides."""
    promise = contract.promise
    audience = "shareable" if promise.is_shareable else "restricted"
    about = {
        "table": contract.meaning,
        "grain": ", ".join(contract.grain),
        "owner": f"{promise.owner}; {audience}",
        **facts,
    }
    columns = {
        name: (str(dtype), COLUMNS[name].comment)
        for name, dtype in contract.nullable_schema.items()
    }
    return preview_of(about, columns, first_rows)


def meaning_of(entry: str) -> str:
    """What the nodes say that make an entry of the catalog, if any does."""
    nodes = {node for pipeline in pipelines.values() for node in pipeline.nodes}
    return " ".join(sorted(summary_of(node) for node in nodes if entry in node.outputs))


def summary_of(node: Node) -> str:
    """The first line of a node's docstring."""
    return (getdoc(node.func) or "").partition("\n")[0].replace("``", "")


def _as_json(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
