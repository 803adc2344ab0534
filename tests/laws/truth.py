"""Tables compared with loops over the lines that they are made of: see ``plain_truth``."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from histories import RULES

import plain_truth
from conftest import Project
from lingokids import schema

_SLICE = (
    *("country_code", "os_name", "os_version", "app_version", "subscription_status"),
    *("activity_type", "collection_id", "activity_id", "activity_name"),
)
_FILLED = ", ".join(
    f"coalesce({name}, '{'none' if name == 'collection_id' else 'unknown'}')" for name in _SLICE
)
_ENRICHED = (
    "SELECT event_id::VARCHAR, user_id::VARCHAR, occurred_at, coalesce(duration_seconds, 0), "
    f"coalesce(completed_flag, false), {_FILLED} "
    "FROM intermediate_activity_events_enriched ORDER BY ALL"
)
_USER_DAYS = (
    "SELECT date, user_id::VARCHAR, sum(activities_played), sum(capped_time_spent), sum(sessions) "
    "FROM user_activity_daily GROUP BY ALL ORDER BY ALL"
)
_JOURNEYS = (
    "SELECT user_id::VARCHAR, country_code, main_os_name, active_days, registration_date, "
    "trial_start_date, subscription_start_date, active_weeks, completed_before, completed_after "
    "FROM user_journeys ORDER BY ALL"
)


def compare_with_the_truth(project: Project, raw: Path, rules: dict[str, Any]) -> None:
    spellings = rules.get("os_names", {})
    cap = rules.get("duration_cap_seconds", RULES["duration_cap_seconds"][0])
    gap = rules.get("session_gap_minutes", RULES["session_gap_minutes"][0])
    days = rules.get("subscription_impact", RULES["subscription_impact"][0])["days"]
    zone = ZoneInfo(rules.get("time_zone", RULES["time_zone"][0]))
    plays = plain_truth.plays_of(raw, zone)
    people = plain_truth.people_of(raw, zone)
    enriched = [
        (play.event_id, play.user_id, play.at, play.seconds, play.completed,
         *(play.slice[name] for name in _SLICE))
        for play in plays
    ]  # fmt: skip
    assert sorted(enriched) == project.rows(_ENRICHED)
    for play in (*plays, *(play for person in people.values() for play in person.plays)):
        play.slice["os_name"] = spellings.get(play.slice["os_name"], play.slice["os_name"])
    names = [name for name in schema.ENGAGEMENT_GRAIN if name != "date"]
    engagement = [
        (*key, group.played, group.completed, group.seconds)
        for key, group in plain_truth.group(plays, "day", names).items()
    ]
    assert sorted(engagement) == project.rows(
        "FROM activity_engagement_metrics SELECT * EXCLUDE (version, completion_rate) ORDER BY ALL"
    )
    user_days: dict[tuple[Any, ...], list[Any]] = {}
    openers = plain_truth.openers_of_sessions(plays, cap, gap)
    for play in plays:
        day = user_days.setdefault((play.day, play.user_id), [0, 0, 0])
        day[0] += 1
        day[1] += min(play.seconds, cap)
        day[2] += play in openers
    assert sorted((*key, *counts) for key, counts in user_days.items()) == project.rows(_USER_DAYS)
    journeys = [
        (user_id, person.country, person.system, len(person.days),
         person.registered, person.trial, person.subscribed,
         sorted(person.weeks()) if person.registered else [],
         person.completed(-days, -1) if person.subscribed else 0,
         person.completed(1, days) if person.subscribed else 0)
        for user_id, person in people.items()
    ]  # fmt: skip
    assert sorted(journeys) == project.rows(_JOURNEYS)
