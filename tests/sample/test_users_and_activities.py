"""The users, activities and exercises of the sample."""

import json
from collections import Counter
from datetime import date, timedelta

from lingokids.sample import SAMPLE, exercise_tables
from sample_deliveries import parsed, utc

# What the users and activities promise


def test_user_records_grow_on_the_day_a_milestone_is_reached(objects):
    fields = ("trial_start_at", "subscription_start_at")
    arrivals = {field: [] for field in fields}
    seen = set()
    for day, record in parsed(objects, "users"):
        for field in fields:
            if field in record and (record.get("user_id"), field) not in seen:
                seen.add((record.get("user_id"), field))
                arrivals[field].append((day - date.fromisoformat(record[field][:10])).days)

    for days_after in arrivals.values():
        assert min(days_after) == 0
        assert sum(days == 0 for days in days_after) > 0.9 * len(days_after) > 10


def test_trials_last_seven_days_and_some_subscriptions_never_expire(objects):
    records = [record for _, record in parsed(objects, "users")]
    trials = [record for record in records if "trial_start_at" in record]
    paid = [record for record in records if "subscription_start_at" in record]

    assert all(
        utc(record["trial_end_at"]) - utc(record["trial_start_at"]) == timedelta(days=7)
        for record in trials
    )
    assert any("subscription_expire_at" not in record for record in paid)


def test_some_records_come_after_the_first_events_or_never_or_unchanged(objects, good):
    first_event, first_record, texts = {}, {}, Counter()
    for n, _, event in good:
        first_event.setdefault(event["user_id"], SAMPLE.day(n))
    for day, record in parsed(objects, "users"):
        first_record.setdefault(record.get("user_id"), day)
        texts[json.dumps(record)] += 1

    never = first_event.keys() - first_record.keys()
    known = first_event.keys() & first_record.keys()
    after = [user for user in known if first_event[user] < first_record[user]]
    assert 1 <= len(never) <= 10
    assert len(after) >= 3
    assert max(texts.values()) > 1


def test_user_objects_have_broken_lines_of_each_kind(objects):
    content = b"".join(content for dataset, _, content in objects if dataset == "users")

    assert b'\n{"children_ids"' in content  # no user_id
    assert b'"guest"' in content
    assert b'"last winter"' in content
    assert b'"\xe9s"' in content
    assert any(not line.endswith(b"}") for line in content.splitlines())


def test_the_catalogue_comes_three_times_with_a_few_changes(objects):
    editions = {}
    for day, record in parsed(objects, "activities"):
        if "activity_id" in record:
            editions.setdefault(day, {})[record["activity_id"]] = record
    first, second, third = editions.values()

    assert len(first) < len(second) == len(third) < SAMPLE.activities
    for before, after in ((first, second), (second, third)):
        changed = [key for key in before.keys() & after.keys() if before[key] != after[key]]
        assert 1 <= len(changed) <= 10
    assert {None, "", "rhyme"} <= {record["subtype"] for record in third.values()}
    assert None in {record["name"] for record in third.values()}


def test_some_events_are_of_activities_that_no_catalogue_lists(objects, good):
    listed = {record.get("activity_id") for _, record in parsed(objects, "activities")}

    assert 0 < sum(event["data"]["activity_id"] not in listed for *_, event in good) < 400


# The exercises


def test_the_exercises_have_the_columns_and_sizes_of_the_questions():
    tables = exercise_tables(SAMPLE.seed)

    assert {name: (lines[0], len(lines) - 1) for name, lines in tables.items()} == {
        "activities": ("activity_id,activity_name,theme,price_tier", 12),
        "activity_events": (
            "event_id,user_id,activity_id,event_type,created_at,duration_seconds,completed",
            160,
        ),
        "subscriptions": ("user_id,subscription_date,platform,price_usd", 20),
    }
    assert all(
        line.count(",") == lines[0].count(",") for lines in tables.values() for line in lines
    )
    assert all(",2025-01-" in line for line in tables["activity_events"][1:])


def test_some_subscribers_of_january_are_idle_and_some_subscribe_in_another_month():
    tables = exercise_tables(SAMPLE.seed)
    active = {line.split(",")[1] for line in tables["activity_events"][1:]}
    subscribed = dict(line.split(",")[:2] for line in tables["subscriptions"][1:])
    january = {user for user, day in subscribed.items() if day.startswith("2025-01")}

    assert len(subscribed) == 20
    assert 1 <= len(january - active) <= 5
    assert 1 <= len(subscribed.keys() - january) <= 5
    assert len(january & active) >= 8
