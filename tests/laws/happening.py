"""What happens in a history, happening to a project."""

from __future__ import annotations

from histories import Delete, Fix, Happening, Put, Run

from conftest import Project
from lingokids.errors import LingokidsError


def let_happen(project: Project, happening: Happening) -> str:
    """Let something happen; returns why a run was refused."""
    match happening:
        case Put(dataset, key, lines, landed_at):
            content = b"\n".join(line.text for line in lines)
            project.deliver(dataset, key, content, str(landed_at))
        case Delete(dataset, key):
            (project.folder / "raw" / dataset / key).unlink(missing_ok=True)
        case Run(selection, parameters):
            try:
                project.run_selected(selection, **parameters)
            except LingokidsError as error:
                return error.message
        case Fix():
            pass  # no rule of these histories is too strict
    return ""
