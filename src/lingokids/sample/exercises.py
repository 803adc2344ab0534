"""The three small tables that the analytics questions are asked of."""

from datetime import datetime, timedelta
from random import Random

from lingokids.sample.activities import ANIMALS
from lingokids.sample.plan import pick


def exercise_tables(seed: int) -> dict[str, list[str]]:
    """Make the CSVs of the analytics questions: lines by table, header first.

    Grain: one activity; one event of January 2025 (exits have seconds and completed), a few of an
    unlisted activity; one subscription (USD), a few outside that January or of an idle user.
    """
    rng = Random(f"{seed}/exercises")
    new_year = datetime(2025, 1, 1)
    activities = ["activity_id,activity_name,theme,price_tier"]
    events = ["event_id,user_id,activity_id,event_type,created_at,duration_seconds,completed"]
    subscriptions = ["user_id,subscription_date,platform,price_usd"]
    for k in range(12):
        theme, tier = ("Nature", "Numbers", "Songs", "Stories")[k % 4], ("basic", "plus")[k % 5 % 2]
        activities.append(f"deed-{k},Hello {ANIMALS[k % 10]} {k},{theme},{tier}")
    for k in range(160):
        user_id, activity = 70_000 + int(rng.random() * 28), int(rng.random() * 12.3)
        at = new_year + timedelta(seconds=int(rng.random() * 31 * 86_400))
        exit_ = f"{int(rng.random() ** 2 * 600)},{pick(rng, ('true', 'true', 'false'))}"
        type_, measures = ("exit", exit_) if rng.random() < 0.75 else ("enter", ",")
        events.append(f"play-{k:04d},{user_id},deed-{activity},activity_{type_},{at},{measures}")
    for k in range(20):
        user_id, day = 70_012 + k * 7 % 20, new_year.date() + timedelta(days=2 * k - 4)
        platform, price = pick(rng, (("ios", 5.49), ("ios", 44.90), ("droid", 5.49), ("web", 4.25)))
        subscriptions.append(f"{user_id},{day},{platform},{price:.2f}")
    return {"activities": activities, "activity_events": events, "subscriptions": subscriptions}
