"""``kedro watch``: a process that stays, looks for new raw objects and runs when there are some.

It looks by listing, as a run does: a notification only has it look sooner, so one that is lost
loses nothing. Between two looks it holds no file. It is stopped like a run: what was begun is
rolled back, and the next run does it.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from kedro.framework.session import KedroSession

from lingokids.errors import sentence_of
from lingokids.operations.project import Project
from lingokids.operations.status import not_in_ledger
from lingokids.storage.duckdb.history import history_of
from lingokids.storage.duckdb.sentences import is_locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOGGER = logging.getLogger(__name__)

#: Between two looks after failures: twice as long after each, but no longer than this.
_LONGEST_SECONDS = 900.0
#: Between two looks while another process holds the warehouse.
_HELD_SECONDS = 5.0
#: Objects come in groups: for how long more of them are waited for after a notification.
_SETTLE_SECONDS = 1.0


class Watch:
    """Looks and runs of one environment.

    Attributes:
        hint: Set by whoever knows that objects have landed.
    """

    def __init__(
        self,
        folder: Path,
        env: str | None,
        every: float,
        daily: datetime | None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.hint = Event()
        self._is_over = is_over
        self._project = Project.read(folder, env)
        self._env = env
        self._every = every
        self._daily = daily
        # the first is due at once: one may have been missed, and new code may make other tables
        self._run_at: datetime | None = _now()
        # what was listed, and the warehouse's version, when nothing was due any more: while both
        # are the same, listing is enough
        self._settled: tuple[int, ...] = ()
        self._failures = 0
        self._is_waiting = False

    def go_on(self) -> None:
        """Look and run until it is over, or interrupted."""
        places = ", ".join(source.path for source in self._project.sources.values())
        LOGGER.info("Watching %s: a look every %g s.", places, self._every)
        while True:
            self.hint.clear()  # before the look: what is told during it is looked for after it
            seconds = self.turn()
            if self._is_over():
                return
            if self._failures:  # a source that fails is not asked more often for being notified
                time.sleep(seconds)
            elif self.hint.wait(seconds):
                time.sleep(_SETTLE_SECONDS)

    def turn(self) -> float:
        """Look, and run if something is due; gives the seconds until the next look."""
        try:
            held_by = self._look()
        except Exception as error:  # whatever failed, the next look may find it mended
            if self._is_over():  # the engine may report the interruption in words of its own
                return 0.0
            if not is_locked(error.__cause__):
                return self._seconds_after(error)
            held_by = str(error)
        self._failures = 0
        if held_by and not self._is_waiting:
            LOGGER.info("Waiting for the warehouse: %s", held_by)
        self._is_waiting = bool(held_by)
        until_run = (self._run_at - _now()).total_seconds() if self._run_at else self._every
        return max(0.0, min(self._every, _HELD_SECONDS if held_by else until_run))

    def _look(self) -> str:
        """List, and run if something is due; gives who holds the warehouse, so that it was not."""
        listed = self._project.list_as_a_run()
        found = hash(frozenset((name, *each) for name in listed for each in listed[name]))
        is_time = self._run_at is not None and _now() >= self._run_at
        seen = (found, *self._version())
        if seen == self._settled and not is_time:
            return ""
        with history_of(self._project.database, self._project.published) as history:
            if history.held_by:
                return history.held_by
            is_due = is_time or any(not_in_ledger(listed, history))
        if is_due:
            with KedroSession.create(self._project.folder, env=self._env) as session:
                session.run()
            self._run_at = self._next_daily()
            seen = (found, *self._version())
        self._settled = seen
        return ""

    def _version(self) -> tuple[int, ...]:
        """What changes with the warehouse file."""
        if not self._project.database.exists():
            return ()
        found = self._project.database.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _next_daily(self) -> datetime | None:
        if self._daily is None:
            return None
        now = _now()
        today = datetime.combine(now.date(), self._daily.time())
        return today if today > now else today + timedelta(days=1)

    def _seconds_after(self, error: Exception) -> float:
        self._failures += 1
        doubled = self._every * 2.0 ** min(self._failures - 1, 20)
        seconds = min(doubled, max(self._every, _LONGEST_SECONDS))
        expected = sentence_of(error)
        why = expected or f"{type(error).__name__}: {error}"
        LOGGER.error("%s Next look in %g s.", why, seconds, exc_info=None if expected else error)
        return seconds


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
