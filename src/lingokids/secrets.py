"""Credentials stay out of the log, whoever writes it and at whatever level.

Here: hiding their values in log records. Elsewhere: where they come from
(``conf/base/credentials.yml``), sentences that never had them (``datasets.refusals``).

At level DEBUG, Kedro logs what each hook is given, credentials included, and clients of S3 log
the headers they sign.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = "[hidden]"
_SECRET_NAMES = {"key", "secret", "token", "password"}
_SHORTEST_HIDDEN_ANYWHERE = 8  # a shorter one may be a word of the log: hidden in quotes only


class _Hiding(logging.Filter):
    """Replaces the values in each record that has one."""

    def __init__(self, values: set[str]) -> None:
        super().__init__()
        self._found = sorted(
            (value if len(value) >= _SHORTEST_HIDDEN_ANYWHERE else repr(value) for value in values),
            key=len,
            reverse=True,
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the values."""
        message = record.getMessage()
        if any(value in message for value in self._found):
            for value in self._found:
                message = message.replace(value, HIDDEN)
            record.msg, record.args = message, None
        return True


def hide_in_logs(credentials: dict[str, Any]) -> None:
    """Hide the keys and secrets of ``credentials`` in whatever the log's handlers write.

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
