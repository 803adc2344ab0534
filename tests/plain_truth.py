"""What the sample says, worked out again in plain Python: loops over the raw lines.

Nothing of the project's own code is used, so that agreement means something. The rules are those
of the documents: the last usable delivery wins, by (landed, object, line); only exits count.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from uuid import UUID


@dataclass(frozen=True)
class Play:
    """One activity that a user left, on a day that is of the time zone."""

    event_id: str
    user_id: str
    at: datetime
    seconds: Decimal
    completed: bool
    slice: dict[str, str]
    day: date


@dataclass
class Person:
    """A user by the last record, and the plays."""

    country: str
    registered: date | None
    trial: date | None
    subscribed: date | None
    plays: list[Play]

    @property
    def system(self) -> str:
        """The operating system of most of the plays, of equals the first by name."""
        known = Counter(play.slice["os_name"] for play in self.plays)
        del known["unknown"]
        return min(known, key=lambda name: (-known[name], name)) if known else "unknown"

    @property
    def days(self) -> set[date]:
        """The days with a play."""
        return {play.day for play in self.plays}

    def completed(self, first: int, last: int) -> int:
        """How many plays were completed in these days after the subscription began."""
        return sum(
            play.completed and first <= (play.day - self.subscribed).days <= last
            for play in self.plays
        )

    def weeks(self) -> set[int]:
        """The weeks after that of the registration with a play."""
        monday = first_day_of(self.registered, "week")
        weeks = {(first_day_of(day, "week") - monday).days // 7 for day in self.days}
        return {week for week in weeks if week >= 0}


@dataclass
class Group:
    """What some plays add up to."""

    played: int = 0
    completed: int = 0
    seconds: Decimal = Decimal(0)
    users: set[str] = field(default_factory=set)
    plays: list[Play] = field(default_factory=list)

    def add(self, play: Play) -> None:
        """Count one more."""
        self.played += 1
        self.completed += play.completed
        self.seconds += play.seconds
        self.users.add(play.user_id)
        self.plays.append(play)


def plays_of(raw: Path, zone: tzinfo = UTC) -> list[Play]:
    """Every play of the raw objects below ``raw``."""
    events = _last(raw / "events", "event_id", _is_usable_event)
    users = _last(raw / "users", "user_id", _is_usable_user)
    activities = _last(raw / "activities", "activity_id", lambda record: record["activity_id"])
    exits = [event for event in events.values() if event["name"] == "activity_exit"]
    return [_play(event, users, activities, zone) for event in exits]


def people_of(raw: Path, zone: tzinfo = UTC) -> dict[str, Person]:
    """Every user with a record, by id."""
    plays = defaultdict(list)
    for play in plays_of(raw, zone):
        plays[play.user_id].append(play)

    def day(text: str | None) -> date | None:
        return _day(_instant(text), zone) if text else None

    return {
        user_id: Person(
            user.get("country_code") or "unknown",
            day(user.get("registration_at")),
            day(user.get("trial_start_at")),
            day(user.get("subscription_start_at")),
            plays[user_id],
        )
        for user_id, user in _last(raw / "users", "user_id", _is_usable_user).items()
    }


def openers_of_sessions(plays: list[Play], cap: int, gap: int) -> list[Play]:
    """The plays that began a session: opened later than ``gap`` minutes after the one before."""
    openers, before = [], {}
    for play in sorted(plays, key=lambda play: (play.at, play.event_id)):
        opened = play.at - timedelta(milliseconds=int(min(play.seconds, cap) * 1000))
        last = before.get((play.user_id, play.day))
        if last is None or opened - last > timedelta(minutes=gap):
            openers.append(play)
        before[play.user_id, play.day] = play.at
    return openers


def group(plays, period, names, where=None) -> dict[tuple, Group]:
    """Put the plays together by period and slice."""
    groups: dict[tuple, Group] = defaultdict(Group)
    for play in plays:
        if all(play.slice[name] == value for name, value in (where or {}).items()):
            first_day = (first_day_of(play.day, period),) if period else ()
            groups[*first_day, *(play.slice[name] for name in names)].add(play)
    return dict(groups)


def first_day_of(day: date, period: str) -> date:
    """The first day of the period that a day lies in."""
    return {
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "year": day.replace(month=1, day=1),
    }[period]


def _play(event, users, activities, zone) -> Play:
    data, context = event["data"], event.get("context") or {}
    system, app = context.get("os") or {}, context.get("app") or {}
    activity = activities.get(data["activity_id"], {})
    user = users.get(event["user_id"].lower())
    at = _instant(event["occurred_at"])
    sliced = {
        "country_code": (user or {}).get("country_code") or "unknown",
        "os_name": system.get("name") or "unknown",
        "os_version": system.get("version") or "unknown",
        "app_version": app.get("version") or "unknown",
        "subscription_status": _status(at, user),
        "activity_type": activity.get("type") or "unknown",
        "collection_id": data.get("collection_id") or "none",
        "activity_id": data["activity_id"],
        "activity_name": activity.get("name") or "unknown",
    }
    seconds = Decimal(str(data.get("duration") or 0)).quantize(Decimal("0.001"))
    ids = event["event_id"].lower(), event["user_id"].lower()
    completed = data.get("completed") is True
    return Play(*ids, at, seconds, completed, sliced, _day(at, zone))


def _status(at, user) -> str:
    if user is None:
        return "unknown"
    reached = {
        name: _instant(user[name]) if user.get(name) else None
        for name in (
            *("trial_start_at", "trial_end_at"),
            *("subscription_start_at", "subscription_expire_at"),
        )
    }
    start, expire = reached["subscription_start_at"], reached["subscription_expire_at"]
    if start and start <= at and (expire is None or at <= expire):
        return "subscribed"
    trial, trial_end = reached["trial_start_at"], reached["trial_end_at"]
    if trial and trial_end and trial <= at <= trial_end:
        return "trial"
    return "free" if trial is None or at < trial else "lapsed"


def _last(folder: Path, key: str, is_usable) -> dict[str, dict]:
    """The last usable delivery of each record; a path sorts as its object landed."""
    last = {}
    for path in sorted(folder.rglob("*.jsonl*"), key=lambda path: str(path.relative_to(folder))):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for line in content.split(b"\n"):
            try:
                record = json.loads(line, parse_float=Decimal)
                if not (isinstance(record, dict) and is_usable(record)):
                    continue
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            last[str(record[key]).lower()] = record
    return last


def _is_usable_event(record) -> bool:
    data = record["data"]
    UUID(record["event_id"])
    UUID(record["user_id"])
    _instant(record["occurred_at"])
    duration, completed = data.get("duration"), data.get("completed")
    return bool(
        record["name"]
        and data["activity_id"]
        and (completed is None or isinstance(completed, bool))
        and (duration is None or (math.isfinite(float(duration)) and duration >= 0))
    )


def _is_usable_user(record) -> bool:
    UUID(record["user_id"])
    for name, value in record.items():
        if name.endswith("_at") and value:
            _instant(value)
    return True


def _day(at: datetime, zone: tzinfo) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
