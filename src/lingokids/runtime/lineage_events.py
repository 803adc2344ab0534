"""Tells OpenLineage of runs, where its client is configured, as its own documentation says.

A run's start is told when it has begun, the rest when it is committed or has failed: before that
nothing of it is true. What goes wrong here, such as an endpoint that does not answer, is a line of
the log: it fails no run, and holds none up for longer than the time-out of one request.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from lingokids.runtime.environment import name_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

    from lingokids.lineage.openlineage import RunEvents
    from lingokids.runtime.hooks import RunHooks

LOGGER = logging.getLogger(__name__)
_FILE = "openlineage.yml"
#: Of a transport that has no time-out of its own.
_SECONDS = 5.0


def is_configured() -> bool:
    """Whether the client would find a configuration, and is not told to be silent."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    names = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")
    files = (Path(_FILE), Path.home() / ".openlineage" / _FILE)
    return any(map(os.environ.get, names[:2])) or any(
        [*(name.startswith(names[2]) for name in os.environ), *(file.is_file() for file in files)]
    )


class LineageEvents(threading.local):
    """Tells of each run. Each thread has its own: a server may run several at once."""

    def __init__(self, runs: RunHooks) -> None:
        self._runs = runs
        self._events: RunEvents | None = None

    @hook_impl(trylast=True)  # one that is refused has not begun
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Tell that it has begun."""
        self._events = None
        if not is_configured():
            return
        if importlib.util.find_spec("openlineage") is None:
            LOGGER.warning(
                "OpenLineage is configured, and its client is not installed: uv sync --extra "
                "openlineage."
            )
            return
        try:
            self._begin(run_params, pipeline, catalog)
        except Exception as error:
            _warn(error)

    def _begin(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        from openlineage.client import OpenLineageClient

        from lingokids.lineage.openlineage import RunEvents

        self._sender = _Sender(OpenLineageClient())
        self._catalog, self._pipeline = catalog, pipeline
        self._steps: dict[str, list[Any]] = {}
        environment = name_of(run_params["env"])
        self._events = RunEvents(
            namespace=os.environ.get("OPENLINEAGE_NAMESPACE") or f"lingokids.{environment}",
            name=", ".join(run_params["pipeline_names"] or ["__default__"]),
            run_id=run_params["run_id"],
            started_at=datetime.now(UTC),
        )
        self._sender.send([self._events.start()])

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note when a node begins."""
        if self._events is not None:
            self._steps[node.name] = [node, datetime.now(UTC)]

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note when it ends."""
        if self._events is not None:
            self._steps[node.name].append(datetime.now(UTC))

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Tell how it ended when every other hook is done, or what one of them raised."""
        try:
            result = yield
        except Exception as error:
            self._end(error)
            raise
        self._end(None)
        return result

    @hook_impl(wrapper=True)
    def on_pipeline_error(self, error: Exception) -> Generator[None, Any, Any]:
        """Tell that it failed, after the transaction is rolled back."""
        try:
            return (yield)
        finally:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if (events := self._events) is None:
            return
        self._events = None
        try:
            self._sender.send(self._ending(events, error))
        except Exception as unexpected:
            _warn(unexpected)
            self._sender.send([events.failure(error)] if error is not None else [])
        self._sender.close()

    def _ending(self, events: RunEvents, error: Exception | None) -> list[RunEvent]:
        from lingokids.lineage.openlineage import Places, RunOutcome, Step
        from lingokids.lineage.tracing import trace
        from lingokids.runtime.hooks import makes_what_is_published
        from lingokids.schema.parameters import Parameters

        if not self._sender.is_reachable:
            return []
        entries = self._catalog.config_resolver.config
        parameters = Parameters.read(self._catalog.load("parameters"))
        outcome = RunOutcome([Step(*step) for step in self._steps.values()], *self._runs.done)
        if error is None and outcome.changes and makes_what_is_published(self._pipeline):
            now = datetime.now(UTC)  # the run has published what it wrote, by no node of its own
            outcome.steps.extend(Step(node, now, now) for node in pipelines["publication"].nodes)
        graph = trace(pipelines, entries, parameters)
        return [*events.end(graph, Places(entries), outcome, error)]


class _Sender:
    """Sends events beside the run, in their order, until one cannot be sent."""

    def __init__(self, client: OpenLineageClient) -> None:
        self._client = client
        config = getattr(client.transport, "config", None)
        self._seconds = float(getattr(config, "timeout", _SECONDS))
        self._events: queue.SimpleQueue[RunEvent | None] = queue.SimpleQueue()
        self.is_reachable = True
        # as a daemon: the process ends without it
        self._thread = threading.Thread(target=self._send_all, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, events: Iterable[RunEvent]) -> None:
        """Have events sent."""
        for event in events:
            self._events.put(event)

    def close(self) -> None:
        """Wait for what is not sent yet, for as long as one request may take."""
        self._events.put(None)
        self._thread.join(self._seconds)
        if self._thread.is_alive():
            self.is_reachable = False
            _warn(f"not taken in {self._seconds:g} s")

    def _send_all(self) -> None:
        while self.is_reachable and (event := self._events.get()) is not None:
            try:
                self._client.emit(event)
            except Exception as error:
                if self.is_reachable:  # else it is said already
                    self.is_reachable = False
                    _warn(error)
        self._client.close(0)


def _warn(reason: Exception | str) -> None:
    # its text may have the address, and a secret in that
    said = reason if isinstance(reason, str) else type(reason).__name__
    LOGGER.warning(
        "OpenLineage is not told all of this run (%s): look at OPENLINEAGE_URL or %s.", said, _FILE
    )
