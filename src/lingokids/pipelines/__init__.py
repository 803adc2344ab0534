"""The pipelines, which meet in the catalog only; and what their nodes have in common."""

from __future__ import annotations

from functools import cache, reduce
from pathlib import Path
from typing import Any

import kedro.pipeline
import yaml
from kedro.pipeline.preview_contract import TextPreview
from kedro.utils import find_kedro_project

from lingokids import schema
from lingokids.schema.parameters import Parameters


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
