"""Opens the warehouse file for a run, or for the rehearsal of one, which is rolled back."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from typing import TYPE_CHECKING

import duckdb

from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.sentences import cannot_open, is_locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lingokids.storage.duckdb.warehouse import Warehouse

LOCK_WAIT_SECONDS = 10.0
LOCK_RETRY_SECONDS = 0.2
#: A run that begins meanwhile waits for longer than that.
_REHEARSAL_SECONDS = LOCK_WAIT_SECONDS - 2


def open_for_a_run(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """Open the file, which is made if it is not there.

    Raises:
        LingokidsError: Another process has it open, or it cannot be opened.
    """
    database = warehouse.database
    database.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(warehouse, LOCK_WAIT_SECONDS)
    database.chmod(0o600)
    # what a killed run spilled: nobody else has the file open
    shutil.rmtree(database.with_name(f"{database.name}.tmp"), ignore_errors=True)
    return connection


@contextlib.contextmanager
def rehearsal(warehouse: Warehouse) -> Iterator[threading.Event]:
    """Have runs that this thread begins write nothing, and hold the file for less than others wait.

    They do not wait for another process either; where there is no file yet, none is made.

    Yields:
        Set when time is up: from then on what the engine is asked is interrupted.
    """
    is_over, has_ended = threading.Event(), threading.Event()
    timers: list[threading.Timer] = []

    def interrupt(con: duckdb.DuckDBPyConnection) -> None:
        is_over.set()
        while not has_ended.wait(0.1):  # each statement anew
            con.interrupt()

    def open_for_a_while(rehearsed: Warehouse) -> duckdb.DuckDBPyConnection:
        if not rehearsed.database.exists():
            return duckdb.connect(config=rehearsed.settings)
        con = _connect(rehearsed, patience=0)
        # what a killed run left in the log of the file stays there for the next run
        con.execute("PRAGMA disable_checkpoint_on_shutdown")
        timers.append(threading.Timer(_REHEARSAL_SECONDS, interrupt, [con]))
        timers[-1].start()
        return con

    before, warehouse.open = warehouse.open, open_for_a_while
    try:
        yield is_over
    finally:
        has_ended.set()
        for timer in timers:
            timer.cancel()
            timer.join()
        warehouse.close()
        warehouse.open = before


def _connect(warehouse: Warehouse, patience: float) -> duckdb.DuckDBPyConnection:
    give_up_at = time.monotonic() + patience
    cure = (
        "Wait until it ends, or stop it, and run again; to read, open "
        f"{warehouse.published.name}, which no run waits for. Nothing was changed."
    )
    while True:
        try:
            return duckdb.connect(str(warehouse.database), config=warehouse.settings)
        except duckdb.Error as error:
            if not is_locked(error) or time.monotonic() > give_up_at:
                raise LingokidsError(cannot_open(warehouse.database, error, cure)) from error
        time.sleep(LOCK_RETRY_SECONDS)
