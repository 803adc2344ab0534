"""``kedro docs build``: writes the site, and serves it."""

from __future__ import annotations

import contextlib
import json
import shutil
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingokids.docs.document import Project, document_of
from lingokids.docs.site import site
from lingokids.docs.state import State
from lingokids.errors import LingokidsError
from lingokids.lineage import exposures
from lingokids.lineage.tracing import trace
from lingokids.runtime.environment import name_of
from lingokids.schema.parameters import Parameters
from lingokids.storage.duckdb.history import history_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingokids.docs.state import Json

DOCUMENT = "catalog.json"
_GRAPH = "graph"
#: kedro-viz has no public place for a link: this one stands above what it draws.
_BACK = (
    '<a href="../index.html" style="position:fixed;right:1rem;bottom:1rem;z-index:9;'
    'padding:.4rem .8rem;background:#fff;color:#111;font:14px sans-serif">Data docs</a>'
)


def build(
    project_path: Path, env: str | None, output: Path | None, graph: Path | None = None
) -> Path:
    """Write the site of an environment into a folder: its own, unless one is named.

    Args:
        project_path: The project.
        env: The environment.
        output: The folder.
        graph: What ``kedro viz build`` has written, to be published with it; it is copied.

    Raises:
        LingokidsError: The folder has something else in it, or cannot be written; or there is no
            graph.
    """
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=project_path, env=env) as session:
        config = session.load_context().config_loader  # type: ignore[attr-defined]
        entries, places = config["catalog"], config["globals"]
        given = config["parameters"]
        outside = exposures.read(config["exposures"])
    parameters = Parameters.read(given)
    folder = output or Path(places["shared"]) / "docs"
    before = _built_before(folder)
    project = Project(
        environment=name_of(env),
        graph=exposures.add(trace(pipelines, entries, parameters), outside),
        pipelines=pipelines,
        entries=entries,
        parameters=parameters,
        defaults=project_path / "conf" / "base" / "parameters.yml",
        given=given,
        not_kept=list(places["privacy"]["not_kept"]),
    )
    document = document_of(project, _state(places["warehouse"]), before)
    if graph is not None:
        _add_graph(graph, folder / _GRAPH, project_path)
    has_graph = (folder / _GRAPH / "index.html").is_file()
    _write(folder, site(document, project.graph, has_graph=has_graph))
    return folder


def _add_graph(built: Path, folder: Path, project_path: Path) -> None:
    """Copy the graph, with a link to the docs, and without what is of this machine or a failure."""
    try:
        page = (built / "index.html").read_text(encoding="utf-8")
        status = json.loads((built / "api" / "run-status").read_text(encoding="utf-8"))
        files = [*(built / "api" / "nodes").iterdir()]
        boxes = {file.name: json.loads(file.read_bytes()) for file in files}
        if any(box.get("preview") and "preview_type" in box for box in boxes.values()):
            raise LingokidsError(
                f"{built} has previews of rows, which are not for everyone: write it again by uv "
                "run kedro viz build, without --include-previews."
            )
        for ended in (*status["nodes"].values(), *status["datasets"].values(), status["pipeline"]):
            ended["error"] = None  # it may name a user, an object or a line
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
        linked = page.replace("</body>", f"{_BACK}</body>")
        (folder / "index.html").write_text(linked, encoding="utf-8")
        (folder / "api" / "run-status").write_text(json.dumps(status), encoding="utf-8")
        for name, box in boxes.items():
            if Path(box.get("filepath") or "").is_absolute():
                place = Path(box["filepath"])  # which may tell whose machine it is
                is_inside = place.is_relative_to(project_path)
                box["filepath"] = str(place.relative_to(project_path)) if is_inside else place.name
                (folder / "api" / "nodes" / name).write_text(json.dumps(box), encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise LingokidsError(
            f"{built} has no graph that can be copied: write it by uv run kedro viz build, and "
            "name its folder, build, as --graph."
        ) from error


def _state(warehouse: Json) -> State:
    database, published = Path(warehouse["database"]), Path(warehouse["published"])
    if not database.exists():
        return State()
    with history_of(database, published) as history:
        return State.read(history)


def _built_before(folder: Path) -> Json | None:
    """The document of the site that is in the folder; None: the folder is empty.

    Raises:
        LingokidsError: It has something else in it.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        if document["format"]:
            return dict(document)
    raise LingokidsError(
        f"{folder} has something else than a site of kedro docs in it, which would be mixed with "
        "it: name an empty folder as --output."
    )


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write the files; pages of tables that are no more go."""
    made = [each for each in folder.parents if not each.exists()]
    try:
        shutil.rmtree(folder / "tables", ignore_errors=True)
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for path in (
            *made,
            folder,
            *folder.rglob("*"),
        ):  # for everyone, unlike a run's
            path.chmod(0o755 if path.is_dir() else 0o644)
    except OSError as error:
        raise LingokidsError(
            f"{folder} cannot be written ({error.strerror}): name another folder as --output."
        ) from error


def serve(folder: Path, port: int, say: Callable[[str], Any]) -> None:
    """Serve the site to this machine alone, and open it, until Ctrl-C.

    Raises:
        LingokidsError: The port is taken.
    """
    handler = partial(_Quiet, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise LingokidsError(
            f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}): name another as --port."
        ) from error
    with server:
        address = f"http://127.0.0.1:{server.server_port}/"
        say(f"{address} (Ctrl-C ends it)")
        webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that writes no line for each of them."""

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""
