"""Runs that are killed: in a process of their own, with SIGKILL, at a place that is known after.

The process is forked from one that has imported the project, so it needs no time to start; not
from this one, whose threads a fork would lack. It notes each place that it passes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kedro.framework.project import configure_project
from too_strict import too_strict

from conftest import Project
from lingokids.runtime.records import Run
from lingokids.storage.duckdb.published_copy import PublishedCopy
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.lake.publication import Publication
from lingokids.storage.spark.catalog import Catalog

LONGEST_SECONDS = 400
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["kills"])
#: What is noted before and after a call; None: nothing.
_PLACES = (
    (Run, "begin_step", "before a step", None),
    (Warehouse, "commit", "before the commit", "after the commit"),
    (PublishedCopy, "_write", None, "before the copy is renamed"),
    (PublishedCopy, "publish", None, "after the copy"),
    (Publication, "_write", "before a table of a lake", "after a table of a lake"),
    (Publication, "_replace_pointer", "before a pointer", "after a pointer"),
    (Catalog, "_set_pointers", None, "between pointers and book"),
    (Catalog, "commit", "before the catalog's commit", "after the catalog's commit"),
)


class Killed(NamedTuple):
    """A run to be killed.

    Attributes:
        folder: Of the project.
        selection: What is run.
        parameters: With what.
        rule: The rule that is too strict meanwhile; "": none.
        place: One of ``histories.KILLS`` or ``KILLS_IN_A_LAKE``.
        nth: Which time that it is come to.
        seconds: How long after the commit began, if that is the place.
        prepare: What the process does before it runs.
    """

    folder: Path
    selection: dict[str, list[str]]
    parameters: dict[str, Any]
    rule: str
    place: str
    nth: int
    seconds: float = 0.0
    prepare: Callable[[], object] = dict


def run_to_the_kill(run: Killed) -> str:
    """Run until a place is come to for the nth time, and no further.

    Returns:
        The last place that it passed; "the end" if it never came to the one of the kill.
    """
    notes = run.folder / "notes"
    notes.write_text("")
    process = _PROCESSES.Process(target=_be_killed, args=(run, notes, dict(os.environ)))
    process.start()
    process.join(LONGEST_SECONDS)
    passed = notes.read_text()
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"a run hangs:\n{passed}")
    last = passed.splitlines()[-1] if passed else "the begin"
    assert process.exitcode == -signal.SIGKILL or last == "the end", passed
    return last


def _be_killed(run: Killed, notes: Path, environment: dict[str, str]) -> None:
    told = os.open(notes, os.O_WRONLY | os.O_APPEND)
    times = 0

    def come_to(here: str | None) -> None:
        nonlocal times
        if here is None:
            return
        os.write(told, f"{here}\n".encode())
        if here == "before the commit" and run.place == "during the commit":
            threading.Timer(run.seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        times += here == run.place
        if here == run.place and times == run.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    project = Project(run.folder)
    os.environ.clear()  # it is that of the first test in which one was to be killed
    os.environ.update(environment)
    os.environ.update(project.environment)
    os.chdir(run.folder)
    try:
        run.prepare()
        configure_project("lingokids")
        for owner, name, before, after in _PLACES:
            setattr(owner, name, _noted(getattr(owner, name), before, after, come_to))
        with too_strict(run.rule):
            project.run_selected(run.selection, **run.parameters)
        os.write(told, b"the end\n")
    except BaseException:  # told where the test can see it
        os.write(told, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _noted(call, before, after, come_to):
    def noted(*arguments, **named):
        come_to(before)
        result = call(*arguments, **named)
        come_to(after)
        return result

    return noted
