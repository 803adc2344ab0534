"""The kinds of metrics: what may be added up, what is counted anew, what is a quotient.

Here: what a definition consists of. Elsewhere: the definitions (``definitions``), what they are
about (``subjects``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibis import _

from lingokids import schema
from lingokids.metrics.subjects import ACTIVITY, Subject

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.common.deferred import Deferred


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What every metric says of itself."""

    name: str
    unit: str
    owner: str
    caveat: str
    subject: Subject = ACTIVITY

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics that it needs beside itself."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Measure(Definition):
    """A metric that may be added up.

    Attributes:
        of_events: Its value over rows of the events: what the gold tables hold in a column of
            its name.
    """

    formula: str
    of_events: Deferred

    @property
    def of_rows(self) -> Deferred:
        """Its value over rows of its subject."""
        return _[self.name].sum().fill_null(0).cast(schema.COLUMNS[self.name].type)


@dataclass(frozen=True, kw_only=True)
class Count(Definition):
    """A metric that is worked out when asked for.

    Attributes:
        of_rows: Its value over rows of its subject.
        needs: A column that the rows lack and ``answer`` adds: ``is_new``, ``days_of_period``.
    """

    formula: str
    of_rows: Deferred
    needs: str | None = None


@dataclass(frozen=True, kw_only=True)
class UserCount(Count):
    """A number of different users.

    Attributes:
        rest: The head count of all others: the whole less this one would give it away, so the
            two are judged together.
    """

    rest: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The rest."""
        return (self.rest,) if self.rest else ()


@dataclass(frozen=True, kw_only=True)
class Rate(Definition):
    """A quotient of two other metrics, taken after they are added up."""

    numerator: str
    denominator: str

    @property
    def formula(self) -> str:
        """The quotient in words."""
        return f"{self.numerator} / {self.denominator}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Numerator and denominator."""
        return (self.numerator, self.denominator)

    @property
    def of_parts(self) -> Deferred:
        """Its value beside its parts; NULL where there is nothing to divide by."""
        return _[self.numerator].cast("float64") / _[self.denominator].nullif(0)


Metric = Measure | Count | UserCount | Rate


def percentage(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
    """A share in percent, rounded to 2 digits: for answers, never for storing."""
    return (part.cast("float64") * 100 / whole.nullif(0)).round(2)
