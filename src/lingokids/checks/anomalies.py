"""Whether a day is far from what the days before it were.

Here: the robust z-score, on a handful of numbers a day. Elsewhere: how the numbers come out of a
table (``conditions``), which of them are judged (``schema.promises``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from statistics import median

#: What makes the median absolute deviation comparable to a standard deviation.
_TO_STANDARD = 1.4826
#: A history that hardly varies would make any change look far: a twentieth of its level is near.
_LEAST_SPREAD = 0.05


def robust_z(value: float, history: list[float]) -> float:
    """How many robust standard deviations ``value`` is from the median of ``history``."""
    level = median(history)
    spread = _TO_STANDARD * median([abs(past - level) for past in history])
    spread = max(spread, _LEAST_SPREAD * abs(level))
    if spread == 0:
        return 0.0 if value == level else float("inf")
    return (value - level) / spread


def unusual_days(
    values: Mapping[date, float | None],
    judged: set[date],
    *,
    history_days: int,
    least_days: int,
    most_deviation: float,
) -> tuple[int, list[dict[str, object]]]:
    """Judge days by the days before them.

    Args:
        values: The measure by day, as far as there are rows.
        judged: The days to judge.
        history_days: How many days before a day it is compared with.
        least_days: With fewer of them a day is not judged.
        most_deviation: A robust z-score beyond it, either way, is unusual.

    Returns:
        How many days were judged, and the unusual ones: date, value, usual (the median before
        it), deviation.
    """
    count, unusual = 0, []
    for day in sorted(judged):
        value = values.get(day)
        before = (values.get(day - timedelta(days=back)) for back in range(1, history_days + 1))
        history = [past for past in before if past is not None]
        if len(history) < least_days or value is None:
            continue
        count += 1
        deviation = robust_z(value, history)
        if abs(deviation) > most_deviation:
            unusual.append(
                {
                    "date": day,
                    "value": value,
                    "usual": median(history),
                    "deviation": round(deviation, 1),
                }
            )
    return count, unusual
