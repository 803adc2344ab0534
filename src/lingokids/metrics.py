"""What a measure or a rate is.

Here: one definition each. Measures are additive: they may be summed over any rows and days.
A rate is a quotient of two measures, taken last, at the reader's grain. Elsewhere: by which
columns the marts group (``contracts``), which days are rebuilt (``windows``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibis import _

from lingokids import contracts

if TYPE_CHECKING:
    import ibis.expr.types as ir

MEASURES = {
    "activities_played": _.count(),
    "activities_completed": _.completed_flag.sum().fill_null(0).cast("int64"),
    "total_time_spent": _.duration_seconds.sum().fill_null(0).cast(contracts.TOTAL_SECONDS),
}

RATES = {
    "completion_rate": _.activities_completed.cast("float64") / _.activities_played.nullif(0),
}

UNKNOWN = "unknown"
NO_COLLECTION = "none"


def percentage(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
    """A share in percent, rounded to 2 digits: for answers, never for storing."""
    return (part.cast("float64") * 100 / whole.nullif(0)).round(2)
