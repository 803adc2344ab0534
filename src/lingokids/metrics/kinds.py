"""The kinds of metrics: additive measures, counts, user counts and rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibis import _

from lingokids import schema
from lingokids.metrics.subjects import ACTIVITY, Subject
from lingokids.schema import PRODUCT

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.common.deferred import Deferred


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What all kinds have in common."""

    name: str
    unit: str
    owner: str = PRODUCT
    caveat: str
    subject: Subject = ACTIVITY

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics that are computed along with it."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Measure(Definition):
    """An additive metric, stored in the gold tables as a column of its name.

    Attributes:
        of_events: Its value over rows of events.
    """

    formula: str
    of_events: Deferred

    @property
    def of_rows(self) -> Deferred:
        """Its value over rows of its subject."""
        return _[self.name].sum().fill_null(0).cast(schema.COLUMNS[self.name].type)


@dataclass(frozen=True, kw_only=True)
class Count(Definition):
    """A metric computed per question, not stored.

    Attributes:
        of_rows: Its value over rows of its subject.
        needs: A column that ``answer`` adds to the rows: ``is_new``, ``days_of_period``.
    """

    formula: str
    of_rows: Deferred
    needs: str | None = None


@dataclass(frozen=True, kw_only=True)
class UserCount(Count):
    """A number of distinct users.

    Attributes:
        complement: The count of all other users. The total less it reveals this one, so both are
            checked for small groups.
    """

    complement: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The complement."""
        return (self.complement,) if self.complement else ()


@dataclass(frozen=True, kw_only=True)
class Rate(Definition):
    """A quotient of two other metrics, computed after aggregation."""

    unit: str = "0 to 1"
    numerator: str
    denominator: str

    @property
    def formula(self) -> str:
        """The quotient, in words."""
        return f"{self.numerator} / {self.denominator}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Numerator and denominator."""
        return (self.numerator, self.denominator)

    @property
    def of_parts(self) -> Deferred:
        """Its value over a table with both; NULL where the denominator is 0."""
        return _[self.numerator].cast("float64") / _[self.denominator].nullif(0)


Metric = Measure | Count | UserCount | Rate


def percentage(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
    """A share in percent, rounded to 2 digits: for final results only."""
    return (part.cast("float64") * 100 / whole.nullif(0)).round(2)
