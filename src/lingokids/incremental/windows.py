"""The window of days that an operator asks to be rebuilt on purpose.

It is half-open, ``[start, end)``, in UTC days, and rebuilt besides what is due, never instead of
it, so that a run with a window leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from lingokids.errors import LingokidsError
from lingokids.schema.parameters import parse_day, parse_days


@dataclass(frozen=True)
class Window:
    """The days an operator asks to be rebuilt on purpose.

    Attributes:
        start: First day, or None: from the first there is.
        end: The day after the last, or None: to the last there is.
        lookback_days: How many days before each due day are rebuilt with it.
    """

    start: date | None = None
    end: date | None = None
    lookback_days: int = 0

    @property
    def is_open(self) -> bool:
        """Whether no span is asked for: only what is due is rebuilt."""
        return self.start is None and self.end is None


def parse_window(parameters: dict[str, Any]) -> Window:
    """Read the ``window`` parameters.

    Raises:
        LingokidsError: A day is not written YYYY-MM-DD, the window is empty or reversed, or
            ``lookback_days`` is not a whole number of 0 or more.
    """
    start = parse_day("window.start", parameters.get("start"))
    end = parse_day("window.end", parameters.get("end"))
    if start is not None and end is not None and start >= end:
        raise LingokidsError(
            f"window.end is {end}, not after window.start, {start}: the end is the day after "
            f"the last one; for one day write window.start={start},"
            f"window.end={start + timedelta(days=1)}."
        )
    lookback = parse_days("window.lookback_days", parameters.get("lookback_days") or 0)
    return Window(start, end, lookback)
