"""Owner and rules of each table, beyond the rules of its columns (``columns``).

A table that is missing here has the defaults. Tables that are not checked in each run are those
whose rows have just been validated, or derived from checked ones; ``--pipeline checks`` checks them
as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingokids.schema.days import is_day_somewhere
from lingokids.schema.rules import (
    WARN,
    AddsUp,
    ForeignKey,
    Fresh,
    KeysKnown,
    MostlyUsable,
    NotNull,
    Recounted,
    RowCondition,
    Rule,
    Steady,
)

if TYPE_CHECKING:
    import ibis.expr.types as ir

DATA_ENGINEERING, PRODUCT = "data engineering", "product analytics"
CONTENT, GROWTH = "content team", "growth team"


@dataclass(frozen=True)
class Promise:
    """What a table promises beyond its columns.

    Attributes:
        owner: The team responsible for it.
        rules: Its rules besides those of its columns and its grain.
        each_run: Checked in every run that changes it; else on demand only.
        is_stored: Kept in the warehouse; else temporary, or a file.
        is_shareable: Nothing in it is of a person or of few; else it is restricted: for those who
            may see families' data.
    """

    owner: str = DATA_ENGINEERING
    rules: tuple[Rule, ...] = ()
    each_run: bool = True
    is_stored: bool = True
    is_shareable: bool = False


_ENRICHED = "intermediate_activity_events_enriched"
_OF_RUNS = Promise(each_run=False, is_shareable=True)
_ON_DEMAND = Promise(each_run=False)
_NOT_STORED = Promise(each_run=False, is_stored=False)
_OBJECT_KNOWN = ForeignKey(("object_key", "etag"), "ingested_objects", "object_known")
_LINES = Promise(rules=(_OBJECT_KNOWN,), each_run=False)


def _records(key: str, table: str, title: str, *, is_shareable: bool = False) -> Promise:
    """A bronze table whose keys are all in a silver table."""
    staged = ForeignKey((key,), table, title, is_of_next=True, each_run=False)
    return Promise(rules=(_OBJECT_KNOWN, staged), each_run=False, is_shareable=is_shareable)


def _kept(dataset: str) -> AddsUp:
    """Bronze has as many lines as the ledger counts."""
    by = ("object_key", "etag")
    return AddsUp("kept", by, f"bronze_{dataset}", where=("dataset", dataset), each_run=False)


def _of_events(*by: str) -> tuple[Rule, ...]:
    """Reconcile a table of days with its events; in each run by day only.

    Args:
        by: The columns that it takes unchanged from the events.
    """
    return (
        AddsUp("activities_played", ("date",), _ENRICHED),
        AddsUp("activities_completed", by, _ENRICHED, of="completed_flag", each_run=False),
        AddsUp("total_time_spent", by, _ENRICHED, of="duration_seconds", each_run=False),
    )


def _completed(column: str, *, before: bool) -> Recounted:
    """Recount the exits completed in the days before or after a subscription."""
    side, sign = ("before", -1) if before else ("after", 1)

    def count(journeys: ir.Table, activity: ir.Table) -> ir.Table:
        compared = journeys.select("user_id", "compared_days", "subscription_start_date")
        played = activity.select("user_id", "date", expected="activities_completed")
        played = played.inner_join(compared, "user_id")
        away = sign * (played["date"].epoch_days() - played.subscription_start_date.epoch_days())
        return played.filter(away.between(1, played.compared_days)).select("user_id", "expected")

    promise = f"the exits completed in the compared_days {side} subscription_start_date"
    return Recounted(column, ("user_id",), "user_activity_daily", promise, count, each_run=False)


def _days_of_user(journeys: ir.Table, activity: ir.Table) -> ir.Table:
    days = activity.semi_join(journeys, "user_id").select("user_id", "date").distinct()
    return days.mutate(expected=1)


_COMPLETED_OF_PLAYED = RowCondition(
    "completed_of_played",
    "activities_completed is at most activities_played",
    lambda row: row.activities_completed <= row.activities_played,
)
_RATE_OF_COUNTS = RowCondition(
    "rate_of_counts",
    "completion_rate = activities_completed / activities_played",
    lambda row: (
        (row.completion_rate - row.activities_completed / row.activities_played.nullif(0)).abs()
        < 1e-9  # engines differ in the last digit of a quotient
    ),
)
_PERCENTAGE_OF_COUNTS = RowCondition(
    "percentage_of_counts",
    "completion_percentage = activities_completed / activities_played, rounded",
    lambda row: (
        (
            row.completion_percentage.cast("float64")
            - 100 * row.activities_completed / row.activities_played.nullif(0)
        ).abs()
        < 0.0051
    ),
)
# of whichever zone: a run of one pipeline may meet days of the zone before
_DAY_OF_EVENT = RowCondition(
    "date_of_event",
    "date is the day of occurred_at somewhere from UTC-12 to UTC+14",
    lambda row: is_day_somewhere(row["date"], row.occurred_at),
)


_OBJECT = ("dataset", "object_key")

PROMISES: dict[str, Promise] = {
    # bronze: ingestion has validated each line, and takes in each object once
    "bronze_events": _LINES,
    "bronze_users": _records("user_id", "stg_users", "user_staged"),
    "bronze_activities": _records(
        "activity_id", "stg_activities", "activity_staged", is_shareable=True
    ),
    "quarantined_lines": _LINES,
    "rescued_values": _LINES,
    "unknown_keys": Promise(rules=(KeysKnown(),)),
    "ingested_objects": Promise(
        is_shareable=True,
        rules=(
            RowCondition(
                "lines_accounted_for",
                "lines = blank + kept + quarantined",
                lambda row: row.lines == row.blank + row.kept + row.quarantined,
            ),
            *(_kept(dataset) for dataset in ("events", "users", "activities")),
            AddsUp(
                "quarantined",
                ("dataset", "object_key", "etag"),
                "quarantined_lines",
                of="lines_alike",
                each_run=False,
            ),
            MostlyUsable("object_usable", _OBJECT, least_lines=0, severity=WARN),
            MostlyUsable("lines_of_object_usable", _OBJECT, "unusable_warn", severity=WARN),
            MostlyUsable("lines_of_load_usable", ("dataset",), "unusable_warn", severity=WARN),
            MostlyUsable("load_usable", ("dataset",), "unusable_error"),
            Fresh("landed_at", by="dataset", hours={"events": 36, "users": 36}, each_run=False),
        ),
    ),
    # silver
    # not in each run: the enriched events have the same rows and rules
    "stg_events": Promise(
        rules=(
            _DAY_OF_EVENT,
            ForeignKey(("event_id", "date"), _ENRICHED, "event_enriched", is_of_next=True),
        ),
        each_run=False,
    ),
    "stg_users": Promise(
        rules=(
            RowCondition(
                "subscription_ends_after_start",
                "subscription_expire_at is not before subscription_start_at",
                lambda row: (
                    row.subscription_expire_at.isnull()
                    | row.subscription_start_at.isnull()
                    | (row.subscription_expire_at >= row.subscription_start_at)
                ),
                severity=WARN,
            ),
            ForeignKey(
                ("user_id",), "user_journeys", "journey_made", is_of_next=True, each_run=False
            ),
        )
    ),
    "stg_activities": Promise(is_shareable=True),
    _ENRICHED: Promise(
        owner=PRODUCT,
        rules=(
            _DAY_OF_EVENT,
            # not in each run: the run has just derived these rows from those
            ForeignKey(("event_id",), "stg_events", "event_known", each_run=False),
            NotNull("country_code", severity=WARN, most_share=0.5),
            NotNull("activity_type", severity=WARN, most_share=0.5),
        ),
    ),
    # gold
    "activity_engagement_metrics": Promise(
        owner=PRODUCT,
        rules=(
            _COMPLETED_OF_PLAYED,
            _RATE_OF_COUNTS,
            *_of_events("date", "subscription_status"),
            Steady("rows_of_day_steady", "the events", lambda rows: rows.activities_played.sum()),
            Steady(
                "time_per_event_steady",
                "seconds per event (mean of logarithms over slices)",
                # a plain mean would follow the few events of apps left in the background
                lambda rows: (rows.total_time_spent / rows.activities_played + 1).ln().mean(),
            ),
            Steady(
                "completion_steady",
                "completed share of events",
                lambda rows: rows.activities_completed.sum() / rows.activities_played.sum(),
            ),
        ),
    ),
    "activity_popularity_daily": Promise(
        owner=CONTENT, rules=(_COMPLETED_OF_PLAYED, *_of_events("date", "activity_id"))
    ),
    "user_activity_daily": Promise(
        owner=PRODUCT,
        rules=(
            _COMPLETED_OF_PLAYED,
            RowCondition(
                "capped_of_total",
                "capped_time_spent is at most total_time_spent",
                lambda row: row.capped_time_spent <= row.total_time_spent,
            ),
            *_of_events("date", "user_id", "activity_id"),
        ),
    ),
    "user_journeys": Promise(
        owner=PRODUCT,
        rules=(
            ForeignKey(("user_id",), "stg_users", "user_known", each_run=False),
            _completed("completed_before", before=True),
            _completed("completed_after", before=False),
            Recounted(
                "active_days",
                ("user_id",),
                "user_activity_daily",
                "the different days with an activity exit",
                _days_of_user,
                each_run=False,
            ),
        ),
    ),
    "q1_completion_rate": Promise(
        owner=PRODUCT, rules=(_COMPLETED_OF_PLAYED, _PERCENTAGE_OF_COUNTS), each_run=False
    ),
    "q2_price_tier_engagement": Promise(
        owner=PRODUCT, rules=(_COMPLETED_OF_PLAYED, _PERCENTAGE_OF_COUNTS), each_run=False
    ),
    "q3_subscription_impact": Promise(owner=PRODUCT, each_run=False),
    # run history
    "table_state": _OF_RUNS,
    "gone": _ON_DEMAND,
    "runs": _OF_RUNS,
    "run_steps": _OF_RUNS,
    "run_units": _ON_DEMAND,
    "check_results": _OF_RUNS,
    "check_failures": _ON_DEMAND,
    # temporary tables, and files
    "raw_objects": _NOT_STORED,
    "activities": _NOT_STORED,
    "activity_events": _NOT_STORED,
    "subscriptions": _NOT_STORED,
}
