"""Log lines as JSON, for programs that gather logs: one object a line.

``LINGOKIDS_LOG=json`` asks for them. Which loggers say what at which level: conf/logging.yml, which
can name no formatter of a project, for Kedro refuses classes of its own making there.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from lingokids.runtime.environment import variable

LOGGER = logging.getLogger(__name__)

_SWITCH = "LINGOKIDS_LOG"
_FIELDS = ("run", "step", "rows", "ms")
_ABOUT: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039


class JsonLines(logging.Formatter):
    """One JSON object a record: time (UTC), level, run, step, rows, ms, message."""

    def format(self, record: logging.LogRecord) -> str:
        """See above; what a record is not about is null."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
        }
        known = _ABOUT.get() | vars(record)
        line |= {name: known.get(name) for name in _FIELDS}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def note(**fields: str | None) -> None:
    """Note which ``run`` or ``step`` the lines of this thread are about; None: of none."""
    _ABOUT.set(_ABOUT.get() | fields)


def format_as_asked() -> None:
    """Have what is logged written as JSON, if that is asked for."""
    asked = variable(_SWITCH, "plain")
    if asked == "json":
        for handler in logging.root.handlers:
            handler.setFormatter(JsonLines())
    elif asked != "plain":  # no reason not to run
        LOGGER.warning("%s is %r: lines are plain; write json, or leave it out.", _SWITCH, asked)
