"""What kedro-viz shows in its panels: a dataset and its first rows, the SQL of a node.

Identifiers and free text are masked.
"""

from __future__ import annotations

from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NewType

import kedro.pipeline
import yaml
from kedro.pipeline.preview_contract import TextPreview
from kedro.utils import find_kedro_project

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.schema.columns import COLUMNS, masked
from lingokids.schema.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from lingokids.schema import Contract

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


def preview_of_table(
    contract: Contract, facts: Mapping[str, str], first_rows: Callable[[], pa.Table]
) -> TablePreview:
    """A line for each column: its type, its meaning, its value in the first rows.

    Above them stands what the table is, and below why there are no rows, where there are none.
    """
    promise = contract.promise
    audience = "shareable" if promise.is_shareable else "restricted"
    about = {
        "(table)": contract.meaning,
        "(grain)": ", ".join(contract.grain),
        "(owner)": f"{promise.owner}; {audience}",
        **facts,
    }
    columns = {
        name: [str(dtype), COLUMNS[name].comment]
        for name, dtype in contract.nullable_schema.items()
    }
    shown = preview_of(first_rows)
    if shown["columns"] == ["notice"]:
        about["(notice)"] = shown["data"][0][0]
        rows = []
    else:
        rows = [dict(zip(shown["columns"], cells, strict=True)) for cells in shown["data"]]
    data = [
        *([label, "", text, *[""] * len(rows)] for label, text in about.items() if text),
        *([name, *said, *(row[name] for row in rows)] for name, said in columns.items()),
    ]
    head = ["column", "type", "meaning", *(f"row {number}" for number in range(1, len(rows) + 1))]
    return TablePreview({"index": list(range(len(data))), "columns": head, "data": data})


class Node(kedro.pipeline.Node):
    """A node that makes a table; kedro-viz shows the SQL that it compiles to."""

    def preview(self) -> TextPreview | None:
        """The SQL for the engine in use, of all its inputs; a run restricts them to what is due."""
        import ibis

        given = {name: _without_rows(name) for name in self.inputs}
        (made,) = self.run(given).values()
        sql = ibis.to_sql(made, dialect="duckdb")
        return TextPreview(content=f"-- by default parameters\n{sql}", meta={"language": "sql"})


def _without_rows(name: str) -> Any:
    """What a node is given for an input: a table of its contract, or the default of a parameter."""
    import ibis

    if name.startswith("params:"):
        return reduce(getattr, name.removeprefix("params:").split("."), _default_parameters())
    return ibis.table(schema.CONTRACTS[name].nullable_schema, name=name)


@cache
def _default_parameters() -> Parameters:
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    defaults = (project / "conf" / "base" / "parameters.yml").read_text(encoding="utf-8")
    return Parameters.read(yaml.safe_load(defaults))


def _as_json(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
