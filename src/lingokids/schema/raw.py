"""What is delivered: the fields of each raw record, and what a raw source hands to a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lingokids.schema.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    import ibis.expr.types as ir


@dataclass(frozen=True)
class Field:
    """One value of a raw JSON record: the column it becomes and its path in the record.

    Attributes:
        column: The column it becomes.
        path: Its key, after the keys of the objects it stands in.
        required: Whether a line without it is unusable.
        null_after: The key of the text that it follows, where it is null as a rule: such lines
            are then read at less cost. It changes nothing else.
    """

    column: str
    path: str
    required: bool = False
    null_after: str = ""

    @property
    def type(self) -> str:
        """Ibis type of the column."""
        return COLUMNS[self.column].type


EVENT_FIELDS = (
    Field("event_id", "event_id", required=True),
    Field("event_name", "name", required=True),
    Field("occurred_at", "occurred_at", required=True),
    Field("user_id", "user_id", required=True),
    Field("activity_id", "data.activity_id", required=True),
    Field("child_id", "child_id"),
    Field("source", "data.source"),
    Field("duration_seconds", "data.duration"),
    Field("completed_flag", "data.completed"),
    Field("collection_id", "data.collection_id"),
    Field("loading_time_seconds", "data.loading_time", null_after="collection_id"),
    Field("device_id", "context.device.device_id"),
    Field("device_brand", "context.device.brand"),
    Field("device_model", "context.device.model"),
    Field("os_name", "context.os.name"),
    Field("os_version", "context.os.version"),
    Field("app_version", "context.app.version"),
    Field("app_build", "context.app.build"),
)

USER_FIELDS = (
    Field("user_id", "user_id", required=True),
    Field("children_ids", "children_ids"),
    Field("country_code", "country_code"),
    Field("registration_at", "registration_at"),
    Field("trial_start_at", "trial_start_at"),
    Field("trial_end_at", "trial_end_at"),
    Field("subscription_start_at", "subscription_start_at"),
    Field("subscription_expire_at", "subscription_expire_at"),
)

ACTIVITY_FIELDS = (
    Field("activity_id", "activity_id", required=True),
    Field("activity_name", "name"),
    Field("activity_type", "type"),
    Field("activity_subtype", "subtype"),
)

NOT_UTF8 = "not UTF-8"
TOO_LONG = "longer than 1 MiB"
DAMAGED_GZIP = "gzip is damaged here"

#: The reasons of lines whose text in quarantine is not the line as it was delivered. They stand
#: in tables, and a replay knows those lines by them: a reason that is worded anew stays here too.
TEXT_IS_NOT_WHOLE = (NOT_UTF8, TOO_LONG, DAMAGED_GZIP)


class RawSource(Protocol):
    """What a raw dataset hands to a node: its listing, and its lines on demand."""

    def listing(self, since: date | None = None) -> ir.Table:
        """One row per object present: ``RAW_OBJECTS``.

        Args:
            since: Objects in ``<day>/<hour>/`` folders of earlier days are left out, unlisted;
                those that lie elsewhere are not.
        """

    def read(
        self,
        objects: ir.Table,
        judge: Callable[[ir.Table], ir.Table],
        if_gone: str = "the next run takes it in",
    ) -> Iterator[tuple[ir.Table, ir.Table]]:
        """Read ``objects`` once, in batches of bounded size.

        Args:
            objects: Rows of ``NEW_OBJECTS``.
            judge: Types the lines of a batch and says which are unusable (``quality``).
            if_gone: What becomes of an object that is no longer there in this version: it is
                logged, and the object is not among those read.

        Yields:
            The judged lines of a batch, and the objects it has lines of (an object of no
            lines included): object_key, etag.
        """

    def judge_texts(self, quarantined: ir.Table, judge: Callable[[ir.Table], ir.Table]) -> ir.Table:
        """Parse and judge lines again, from the text that quarantine keeps of them.

        Args:
            quarantined: Rows of ``QUARANTINED_LINES``; those of other datasets are left out.
            judge: As for ``read``.

        Returns:
            The judged lines, lazily.
        """
