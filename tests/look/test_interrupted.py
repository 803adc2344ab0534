"""Ctrl-C in a notebook or a session: it lives on, and the run it stopped holds nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest
from jupyter_client import KernelManager

from builders import an_event_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Project

pytestmark = pytest.mark.slow

#: A node that says that it runs, and is busy: in Python, or in the engine.
BUSY = """
from lingokids.pipelines.enrichment import nodes
status = nodes.subscription_status

def busy(events):
    print("the node runs", flush=True)
    {work}
    return status(events)

nodes.subscription_status = busy
"""
IN_PYTHON = "import time; time.sleep(120)"
IN_THE_ENGINE = (
    "from lingokids.storage.duckdb.warehouse import Warehouse; "
    "running = [each for each in Warehouse._known.values() if each.in_run]; "
    "running[0].writer.con.execute('SELECT count(*) FROM range(10_000_000_000_000)').fetchall()"
)


class Kernel:
    """A Jupyter kernel in the folder of a project: cells in, what they print out."""

    def __init__(self, project: Project) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(project.folder), env=project.environment)
        self._client = self.manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=120)

    def start(self, code: str) -> str:
        """Start a cell, which has an id."""
        return self._client.execute(code)

    def read(self, cell: str, until: str | None = None) -> str:
        """What a cell prints, its error included, until it is done or says this."""
        printed = ""
        while until is None or until not in printed:
            message = self._client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if content.get("execution_state") == "idle":
                return printed
            printed += content.get("text", "") + "".join(content.get("traceback", ()))
        return printed

    def run(self, code: str) -> str:
        """Run a cell; what it prints."""
        return self.read(self.start(code))

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(begun_project) -> Iterator[Kernel]:
    """A kernel of a project that one event was taken into."""
    with contextlib.closing(Kernel(begun_project)) as kernel:
        yield kernel


@pytest.mark.parametrize("work", [IN_PYTHON, IN_THE_ENGINE])
def test_a_stopped_run_is_rolled_back_and_keeps_no_one_out(begun_project, kernel, work):
    begun_project.deliver("events", "b", [an_event_record(2)])
    kernel.run("%load_ext kedro.ipython\n%reload_kedro --env=test")
    kernel.run(BUSY.format(work=work))
    before = begun_project.snapshot()

    cell = kernel.start("session.run()")
    kernel.read(cell, until="the node runs")
    time.sleep(2)  # until it is busy
    kernel.manager.interrupt_kernel()
    assert "nterrupt" in kernel.read(cell)

    assert begun_project.is_free
    assert begun_project.snapshot() == before
    assert kernel.run('print(catalog.load("stg_events").count().execute())') == "1\n"

    kernel.run("nodes.subscription_status = status\n%reload_kedro --env=test")
    assert "Committed" in kernel.run("session.run()")
    assert begun_project.rows("SELECT count(*) FROM stg_events") == [(2,)]


def test_ctrl_c_at_the_terminal_stops_the_run_and_not_the_session(begun_project, tmp_path):
    begun_project.deliver("events", "b", [an_event_record(2)])
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    session = pexpect.spawn(
        f"{scripts / 'kedro'} ipython --env test -- --simple-prompt --no-banner --colors=NoColor",
        cwd=str(begun_project.folder),
        env=begun_project.environment | {"IPYTHONDIR": str(tmp_path), "PATH": path},
        encoding="utf-8",
        timeout=120,
    )
    try:
        session.expect_exact("In [1]")
        session.sendline(f"exec({BUSY.format(work=IN_PYTHON)!r}, globals())")
        session.expect_exact("In [2]")
        session.sendline("session.run()")
        session.expect("the node runs")
        session.sendintr()
        session.expect("KeyboardInterrupt")
        session.expect_exact("In [3]")
        assert begun_project.is_free

        session.sendline("nodes.subscription_status = status; session.run()")
        session.expect("Committed")
    finally:
        session.close(force=True)
    assert begun_project.rows("SELECT count(*) FROM stg_events") == [(2,)]
