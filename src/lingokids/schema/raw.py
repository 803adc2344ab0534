"""The fields of each raw record, and what a raw source hands to a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lingokids.schema.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir


@dataclass(frozen=True)
class Field:
    """One value of a raw JSON record: its column and its path.

    Attributes:
        column: The column it becomes.
        path: Its key, after the keys of the objects it stands in.
        required: Whether a line without it is unusable.
        may_lie_ahead: Whether its instant may be long after the line was delivered.
        null_after: The key of the text that it follows, where it is null as a rule: such lines
            are then read at less cost. It changes nothing else.
    """

    column: str
    path: str
    required: bool = False
    may_lie_ahead: bool = False
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
    Field("trial_end_at", "trial_end_at", may_lie_ahead=True),
    Field("subscription_start_at", "subscription_start_at", may_lie_ahead=True),
    Field("subscription_expire_at", "subscription_expire_at", may_lie_ahead=True),
)

ACTIVITY_FIELDS = (
    Field("activity_id", "activity_id", required=True),
    Field("activity_name", "name"),
    Field("activity_type", "type"),
    Field("activity_subtype", "subtype"),
)

NOT_UTF8 = "not UTF-8"
JSON_ARRAY = "a JSON array: write one record a line, as jq -c .[] does"
JSON_PIECE = "not JSON but a piece of it: write one record a line, as jq -c .[] or jq -c . does"
TOO_LONG = "longer than 1 MiB"
LONG_ARRAY = f"{TOO_LONG}, and {JSON_ARRAY}"
DAMAGED_GZIP = "gzip is damaged here"
_FORMATS = ("gzip in a gzip", "bzip2", "zip", "Zstandard", "xz", "7-Zip", "LZ4", "Parquet", "Avro")
NOT_READ = {
    name: f"{name} is not read: send lines of JSON in UTF-8, plain or gzipped"
    for name in (*_FORMATS, "UTF-16")
}

#: The reason of lines that name someone who was erased: nothing else is kept of them.
ERASED = "of an erased user"

#: The reasons of lines whose text in quarantine is not the line as it was delivered. They are
#: stored, and a replay finds those lines by them: when a reason is reworded, the old one stays.
TEXT_IS_NOT_WHOLE = (NOT_UTF8, TOO_LONG, LONG_ARRAY, DAMAGED_GZIP, *NOT_READ.values())


FIELDS = {"events": EVENT_FIELDS, "users": USER_FIELDS, "activities": ACTIVITY_FIELDS}


def record_shape(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The shape of a record with every value as text, for the engine's ``json_transform``."""
    shape: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.path.split(".")
        level = shape
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = "VARCHAR"
    return shape


def record_type(shape: dict[str, Any] | str) -> dt.DataType:
    """The Ibis type of a record of this shape."""
    import ibis.expr.datatypes as dt

    if isinstance(shape, str):
        return dt.string
    return dt.Struct({key: record_type(value) for key, value in shape.items()})


@dataclass(frozen=True)
class Delivery:
    """Validated lines on their way to bronze, and the objects that they came in.

    Attributes:
        lines: One row per line, blank ones included: where it stands and when it landed, its
            typed fields, is_blank, reason (the first rule it breaks, or NULL), line_text where
            there is a reason, and what no field reads. Lines that were quarantined before have
            past_reason, the reason of then.
        objects: One row per object read, whether it has lines or not: object_key, etag,
            size_bytes, landed_at, load_id.
    """

    lines: ir.Table
    objects: ir.Table


class RawSource(Protocol):
    """What a raw dataset hands to a node: its lines, validated on the way."""

    def new(
        self, validate: Callable[[ir.Table], ir.Table], since: date | None = None
    ) -> Iterator[Delivery]:
        """Read each object that the ledger has not got in this version, once.

        Args:
            validate: Types lines and says which are unusable (``validation.quality``).
            since: Objects in ``<day>/<hour>/`` folders of earlier days are left out, unlisted;
                those that lie elsewhere are not.

        Yields:
            Batches of bounded size; none if nothing is new. An object that vanished or changed
            since it was listed is logged and left for the next run.
        """

    def quarantined(self, validate: Callable[[ir.Table], ir.Table]) -> Iterator[Delivery]:
        """Validate the quarantined lines again, by their text.

        Where that is not whole, by the object they came in, if it is still there in that version.

        Args:
            validate: As for ``new``.
        """
