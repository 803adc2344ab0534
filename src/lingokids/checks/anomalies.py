"""Outlier detection: compare a day with the days before it by a robust z-score."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from statistics import median

#: Scales the median absolute deviation to a standard deviation.
_TO_STANDARD = 1.4826
#: Least spread as a share of the median: a history that hardly varies would flag any change.
_LEAST_SPREAD = 0.05


def robust_z(value: float, history: list[float]) -> float:
    """Distance of ``value`` from the median, in robust standard deviations."""
    level = median(history)
    spread = _TO_STANDARD * median([abs(past - level) for past in history])
    spread = max(spread, _LEAST_SPREAD * abs(level))
    if spread == 0:
        return 0.0 if value == level else float("inf")
    return (value - level) / spread


def unusual_days(
    values: Mapping[date, float | None],
    days: set[date],
    *,
    history_days: int,
    least_days: int,
    most_deviation: float,
) -> tuple[int, list[dict[str, object]]]:
    """Find outliers among days.

    Args:
        values: The measure by day, where there are rows.
        days: The days to check.
        history_days: The number of days before a day to compare it with.
        least_days: A day with fewer of them in ``values`` is skipped.
        most_deviation: The largest robust z-score, positive or negative, that is no outlier.

    Returns:
        The number of checked days, and the outliers: date, value, usual (median), deviation.
    """
    count, unusual = 0, []
    by_number = {day.toordinal(): value for day, value in values.items()}
    for day in sorted(days):
        value, number = values.get(day), day.toordinal()  # no date is before the year 1
        before = (by_number.get(number - back) for back in range(1, history_days + 1))
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
