"""The generator keeps its promises, and the committed sample is what it makes."""

import gzip
import json
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from lingokids.sample import (
    BREAKS,
    SAMPLE,
    Plan,
    add_next_day,
    arrival_day,
    deliveries,
    exercise_tables,
    write_sample,
)
from lingokids.sample.events import OTHER_NAMES, _counts, _pools, event_object
from lingokids.sample.users import _cohort, players_on

COMMITTED = Path(__file__).parents[2] / "data" / "01_raw"

SMALL = Plan(
    seed=7,
    first_day=date(2022, 3, 1),
    days=6,
    events=600,
    event_objects=30,
    users=30,
    activities=24,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample")
    write_sample(root)
    return root


@pytest.fixture(scope="module")
def delivered():
    """Every event line of the sample: day, object, kind, line."""
    return [
        (n, j, kind, line)
        for n in range(SAMPLE.days)
        for j in range(SAMPLE.objects_on(n))
        for kind, line in deliveries(SAMPLE, n, j)
    ]


@pytest.fixture(scope="module")
def kinds(delivered):
    return Counter(kind for *_, kind, _ in delivered)


@pytest.fixture(scope="module")
def good(delivered):
    """The usable event lines, parsed: day, kind, event."""
    return [
        (n, kind, json.loads(line))
        for n, _, kind, line in delivered
        if kind != "blank" and not kind.startswith("broken")
    ]


@pytest.fixture(scope="module")
def objects():
    return [found for n in range(SAMPLE.days) for found in arrival_day(SAMPLE, n)]


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def unzipped(name, content):
    """Other Pythons' zlib may pack the same bytes otherwise."""
    return gzip.decompress(content) if name.endswith(".gz") else content


def lines_of(plan, n):
    return sum(
        len(unzipped(key, content).splitlines())
        for dataset, key, content in arrival_day(plan, n)
        if dataset == "events"
    )


def utc(occurred_at):
    at = datetime.fromisoformat(occurred_at)
    return at.replace(tzinfo=None) - (at.utcoffset() or timedelta())


def day_of(event):
    return (utc(event["occurred_at"]).date() - SAMPLE.first_day).days


# The committed sample


def test_the_committed_sample_is_what_the_generator_makes(written):
    last_day = SAMPLE.day(SAMPLE.days - 1).isoformat()
    committed = {
        name: content
        for name, content in files(COMMITTED).items()
        if name.startswith(("exercises/", "events/", "users/", "activities/"))
        # days added by `add_next_day` are no part of it
        if name.startswith("exercises/") or name.split("/")[1] <= last_day
    }
    made = files(written)

    assert committed.keys() == made.keys()
    for name, content in made.items():
        assert unzipped(name, committed[name]) == unzipped(name, content), name


def test_writing_the_sample_leaves_nothing_aside(written):
    assert {path.name for path in written.iterdir()} == {
        "activities",
        "events",
        "exercises",
        "users",
    }


def test_the_sample_has_the_promised_size(objects, delivered, kinds):
    datasets = Counter(dataset for dataset, *_ in objects)

    assert len(delivered) - kinds["blank"] == SAMPLE.events == 8_000
    assert datasets == {"events": SAMPLE.event_objects + 1, "users": 31, "activities": 3}
    assert sum(len(content) for *_, content in objects) < 6_000_000


def test_objects_come_in_the_order_of_their_keys_except_that_users_close_the_day(objects):
    keys = [key for dataset, key, _ in objects if dataset == "events"]

    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


# The laws of the generator


def test_a_day_is_the_same_whichever_days_were_made_before():
    in_order = [list(arrival_day(SMALL, n)) for n in range(8)]
    for function in (_counts, _cohort, players_on, _pools):
        function.cache_clear()

    assert [list(arrival_day(SMALL, n)) for n in reversed(range(8))] == in_order[::-1]


def test_another_seed_makes_other_events():
    other = Plan(**{**SMALL.__dict__, "seed": 8})

    assert list(arrival_day(SMALL, 1)) != list(arrival_day(other, 1))


def test_a_day_does_not_grow_with_history():
    ten_times = Plan(
        **{
            **SMALL.__dict__,
            "days": 10 * SMALL.days,
            "events": 10 * SMALL.events,
            "event_objects": 10 * SMALL.event_objects,
            "users": 10 * SMALL.users,
        }
    )
    blank = int(0.2 * SMALL.objects_on(0)) + 1

    assert all(
        lines_of(ten_times, n) == pytest.approx(lines_of(SMALL, 3), abs=blank) for n in (3, 29, 59)
    )


def test_deliveries_go_on_past_the_last_day_of_the_plan():
    assert lines_of(SMALL, SMALL.days + 3) == pytest.approx(100, abs=3)


# One more day


def test_the_next_day_adds_exactly_one_day(tmp_path):
    write_sample(tmp_path, SMALL)
    before = files(tmp_path)

    added = add_next_day(tmp_path, SMALL)

    new = files(tmp_path).keys() - before.keys()
    assert added == date(2022, 3, 7)
    assert {name.split("/")[1] for name in new} == {"2022-03-07"}
    assert {name: files(tmp_path)[name] for name in before} == before


def test_the_next_day_is_the_same_wherever_it_is_added(tmp_path):
    for root in (tmp_path / "one", tmp_path / "other"):
        write_sample(root, SMALL)
        days = [add_next_day(root, SMALL), add_next_day(root, SMALL)]

        assert days == [date(2022, 3, 7), date(2022, 3, 8)]
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_the_first_day_is_next_where_nothing_has_arrived(tmp_path):
    assert add_next_day(tmp_path, SMALL) == SMALL.first_day


# What the events promise


def test_every_good_line_has_the_required_fields(good):
    for _, _, event in good:
        assert UUID(event["event_id"])
        assert UUID(event["user_id"])
        assert event["data"]["activity_id"]
        assert utc(event["occurred_at"])
        if event["name"] == "activity_exit":
            assert event["data"]["duration"] >= 0
            assert event["data"]["completed"] in (True, False)
        else:
            assert event["name"] in OTHER_NAMES


def test_all_good_events_happened_within_the_plan(good):
    assert {day_of(event) for *_, event in good} == set(range(SAMPLE.days))


def test_the_shares_of_the_plan_hold_roughly(kinds, good):
    corrected = sum(count for kind, count in kinds.items() if kind.startswith("corrected"))
    broken = sum(count for kind, count in kinds.items() if kind.startswith("broken"))
    other_name = sum(event["name"] != "activity_exit" for *_, event in good)

    assert kinds["late"] / SAMPLE.events == pytest.approx(SAMPLE.late, rel=0.3)
    assert kinds["repeated"] / SAMPLE.events == pytest.approx(SAMPLE.repeated, rel=0.3)
    assert corrected / SAMPLE.events == pytest.approx(SAMPLE.corrected, rel=0.3)
    assert broken / SAMPLE.events == pytest.approx(SAMPLE.broken, rel=0.3)
    assert other_name / SAMPLE.events == pytest.approx(SAMPLE.other_name, rel=0.3)


def test_late_events_land_one_to_ten_days_after_they_happened(good):
    days_late = {n - day_of(event) for n, kind, event in good if kind == "late"}

    assert days_late == set(range(1, 11))


def test_repeated_lines_were_delivered_before_as_they_are(delivered):
    seen = set()
    for _, _, kind, line in delivered:
        if kind == "repeated":
            assert line in seen
        elif kind == "fresh":
            assert line not in seen
            seen.add(line)


def test_corrections_change_one_thing_of_an_event_of_an_earlier_day(good):
    first = {event["event_id"]: (n, event) for n, kind, event in good if kind == "fresh"}
    changes = Counter()
    for n, kind, event in good:
        if kind.startswith("corrected"):
            day, before = first[event["event_id"]]
            changed = {key for key in ("name", "occurred_at", "data") if event[key] != before[key]}
            assert day < n
            assert len(changed) == 1
            changes[kind] += 1

    assert changes.keys() == {
        "corrected: day",
        "corrected: name",
        "corrected: duration",
        "corrected: completed",
    }
    assert changes["corrected: name"] < 0.1 * changes.total()


def test_an_event_may_vanish_or_move_to_another_day(good):
    first = {event["event_id"]: event for _, kind, event in good if kind == "fresh"}
    last = {event["event_id"]: event for *_, event in good}
    was_exit = [key for key, event in first.items() if event["name"] == "activity_exit"]

    assert [key for key in was_exit if last[key]["name"] != "activity_exit"]
    assert [key for key in was_exit if day_of(last[key]) != day_of(first[key])]


def test_usable_events_have_their_oddities(good):
    events = [event for *_, event in good]
    durations = [event["data"].get("duration", 0) for event in events]
    contexts = [event.get("context", {}) for event in events]

    assert any(event["occurred_at"].endswith("+02:00") for event in events)
    assert any(event["occurred_at"].endswith("-05:00") for event in events)
    assert any("child_id" not in event for event in events)
    assert any("experiment" in event for event in events)
    assert 0 < sum(duration >= 100_000 for duration in durations) < 30
    assert any(context.get("device", {}).get("model") == "T40 é" for context in contexts)
    assert {context.get("os", {}).get("name") for context in contexts} == {
        "Android",
        "iOS",
        "iPhone OS",
        None,
    }
    for part, field in (("device", "device_id"), ("device", "model"), ("app", "build")):
        assert {field in context.get(part, {}) for context in contexts} == {True, False}
    assert any("context" not in event for event in events)


@pytest.mark.parametrize("kind", BREAKS["events"])
def test_each_kind_of_broken_line_occurs(kinds, kind):
    assert kinds[f"broken: {kind}"] >= 1


def is_usable(line):
    """An independent reading of the rules for an event's line."""
    try:
        event = json.loads(line.encode("utf-8", "surrogateescape"))
        UUID(event["event_id"]), UUID(event["user_id"])
        data = event["data"]
        return (
            bool(event["name"] and data["activity_id"] and utc(event["occurred_at"]))
            and 0 <= data.get("duration", 0) < float("inf")
            and isinstance(data.get("completed", True), bool)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def test_broken_lines_are_unusable_and_all_others_usable(delivered):
    for *_, kind, line in delivered:
        if kind != "blank":
            assert is_usable(line) != kind.startswith("broken"), (kind, line)


# What the objects promise


def test_the_sample_has_one_object_of_each_oddity(objects):
    events = [(key, content) for dataset, key, content in objects if dataset == "events"]
    plain = [(key, content) for key, content in events if not key.endswith(".gz")]

    assert 3 <= len(events) - len(plain) <= 20
    assert sum(content == b"" for _, content in plain) == 1
    assert sum(content.startswith(b"\xef\xbb\xbf") for _, content in plain) == 1
    assert sum(b"\r\n" in content for _, content in plain) == 1
    assert sum(" " in key and "%" in key for key, _ in plain) == 1
    assert any(not content.endswith(b"\n") for _, content in plain if content)


def test_an_object_lands_after_its_fresh_events_happened():
    for j in range(SAMPLE.objects_on(3)):
        key, _ = event_object(SAMPLE, 3, j)
        lands_before = datetime.fromisoformat(key[:10]) + timedelta(hours=int(key[11:13]) + 1)
        for kind, line in deliveries(SAMPLE, 3, j):
            if kind == "fresh":
                assert utc(json.loads(line)["occurred_at"]) < lands_before


# What the users and activities promise


def parsed(objects, dataset):
    """Day and record of each usable line of users or activities."""
    for found, key, content in objects:
        for line in content.splitlines() if found == dataset else ():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield date.fromisoformat(key[:10]), record


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
