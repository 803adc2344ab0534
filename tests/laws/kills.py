"""Runs that are killed: in a process of their own, with SIGKILL, at a place that is known after.

The process is forked, so it needs no time to start. It notes each place that it passes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from lingokids.runtime.records import Run
from lingokids.storage.duckdb.published_copy import PublishedCopy
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.lake.lake import Lake

LONGEST_SECONDS = 120
#: What is noted before and after a call; None: nothing.
_PLACES = (
    (Run, "begin_step", "before a step", None),
    (Warehouse, "commit", "before the commit", "after the commit"),
    (PublishedCopy, "_write", None, "before the copy is renamed"),
    (PublishedCopy, "publish", None, "after the copy"),
    (Lake, "replace", "before a manifest", "after a manifest"),
)


def run_to_the_kill(
    run: Callable[[], object], place: str, nth: int, seconds: float, notes: Path
) -> str:
    """Run until a place is come to for the nth time, and no further.

    Args:
        run: What is run.
        place: One of ``histories.KILLS`` or ``KILLS_IN_A_LAKE``.
        nth: Which time.
        seconds: How long after the commit began, if that is the place.
        notes: A file for what the process tells.

    Returns:
        The last place that it passed; "the end" if it never came to the one of the kill.
    """
    notes.write_text("")
    pid = os.fork()
    if pid == 0:
        _become(run, place, nth, seconds, notes)
    give_up_at = time.monotonic() + LONGEST_SECONDS
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > give_up_at:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"a run hangs:\n{notes.read_text()}")
        time.sleep(0.01)
    passed = notes.read_text()
    was_killed = os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGKILL
    last = passed.splitlines()[-1] if passed else "the begin"
    assert was_killed or last == "the end", passed
    return last


def _become(run: Callable[[], object], place: str, nth: int, seconds: float, notes: Path) -> None:
    """Be the process that is killed; it never returns to what it was forked from."""
    told = os.open(notes, os.O_WRONLY | os.O_APPEND)
    times = 0

    def come_to(here: str | None) -> None:
        nonlocal times
        if here is None:
            return
        os.write(told, f"{here}\n".encode())
        if here == "before the commit" and place == "during the commit":
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        times += here == place
        if here == place and times == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        for owner, name, before, after in _PLACES:
            setattr(owner, name, _noted(getattr(owner, name), before, after, come_to))
        run()
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
