"""Keeps credentials and control characters out of the log, whoever writes it, at whatever level.

At level DEBUG, Kedro logs what each hook is given, credentials included, and clients of S3 log
the headers they sign. A title or an object's key may have a line break, to forge a line of the log,
or a sequence that a terminal obeys.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lingokids.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = "[hidden]"
_SECRET_NAMES = {"key", "secret", "token", "password"}
# of a request or a signed URL: whoever has it may repeat the request
_SIGNATURE = re.compile(r"(signature[=:]\s*)[0-9a-f]{32,}", re.IGNORECASE)
_SHORTEST_HIDDEN_ANYWHERE = 8  # a shorter one may be a word of the log: hidden in quotes only


class _Hiding(logging.Filter):
    """Replaces the values, signatures and control characters in each record that has one."""

    def __init__(self, values: set[str]) -> None:
        super().__init__()
        self._found = sorted(
            (value if len(value) >= _SHORTEST_HIDDEN_ANYWHERE else repr(value) for value in values),
            key=len,
            reverse=True,
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the values; its further lines are indented."""
        said = record.getMessage()
        hidden = _SIGNATURE.sub(rf"\1{HIDDEN}", said)
        for value in self._found:
            hidden = hidden.replace(value, HIDDEN)
        hidden = printable(hidden, besides="\n").replace("\n", "\n    ")
        if hidden != said:
            record.msg, record.args = hidden, None
        return True


def hide_in_logs(credentials: dict[str, Any]) -> None:
    """Hide the keys and secrets of ``credentials``, and control characters, in all that is logged.

    Args:
        credentials: Entries of credentials.yml, nested.
    """
    hiding = _Hiding(set(_secrets(credentials)))
    known = logging.Logger.manager.loggerDict.values()
    loggers = [item for item in known if isinstance(item, logging.Logger)]
    for handler in {item for logger in [*loggers, logging.root] for item in logger.handlers}:
        for earlier in [each for each in handler.filters if isinstance(each, _Hiding)]:
            handler.removeFilter(earlier)
        handler.addFilter(hiding)


def _secrets(values: dict[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _secrets(value)
        elif isinstance(value, str) and value:
            if name in _SECRET_NAMES:
                yield value
            elif "@" in value and (password := urlsplit(value).password):
                yield password
