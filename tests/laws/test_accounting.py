"""The second law: every line is accounted for; and the order of delivery does not matter."""

from __future__ import annotations

import itertools

import pytest

from builders import a_user_record, an_activity_record, an_event_record, an_id
from lingokids.storage import tables
from lingokids.storage.duckdb.slices import slices_of

ACCOUNT = """
SELECT object.lines,
    object.blank,
    object.quarantined,
    (SELECT count(*) FROM superseded_deliveries AS line
        WHERE line.object_key = object.object_key AND line.etag = object.etag),
    (SELECT count(*) FROM bronze_events AS line
        ANTI JOIN superseded_deliveries USING (object_key, etag, line_number)
        WHERE line.object_key = object.object_key AND line.etag = object.etag
            AND line.event_name <> 'activity_exit'),
    (SELECT count(*) FROM bronze_events AS line
        JOIN stg_events AS kept USING (event_id, landed_at, load_id)
        ANTI JOIN superseded_deliveries USING (object_key, etag, line_number)
        WHERE line.object_key = object.object_key AND line.etag = object.etag)
FROM ingested_objects AS object
WHERE dataset = 'events'
ORDER BY object_key, etag
"""


def _assert_accounted(project) -> None:
    for lines, *parts in project.rows(ACCOUNT):
        assert lines == sum(parts)


def test_every_line_of_each_object_is_accounted_for(project):
    project.deliver(
        "events",
        "a.jsonl",
        b"\n{\n" + _lines(an_event_record(1), an_event_record(1), an_event_record(2, name="open")),
        "2021-02-01 00:00:00",
    )
    project.run()
    _assert_accounted(project)

    project.deliver("events", "b.jsonl", [an_event_record(1)], "2021-02-02 00:00:00")
    project.deliver("events", "c.jsonl", [an_event_record(2)], "2021-01-02 00:00:00")
    project.run()

    _assert_accounted(project)
    assert project.rows(ACCOUNT) == [(5, 1, 1, 2, 1, 0), (1, 0, 0, 0, 0, 1), (1, 0, 0, 1, 0, 0)]


def test_every_line_of_the_sample_is_accounted_for(sample_project):
    _assert_accounted(sample_project)
    assert sample_project.rows("SELECT count(*) > 0 FROM quarantined_lines") == [(True,)]


def test_lines_that_end_where_a_batch_is_full_are_taken_in_once(project):
    data = {"activity_id": "fish", "source": "x" * 1_000_000}
    lines = [an_event_record(number, data=data) for number in range(1, 69)]
    project.deliver("events", "a.jsonl", lines)  # more than a batch's 64 MiB by its last line only

    project.run("ingestion")

    assert project.rows("SELECT count(*) FROM bronze_events") == [(68,)]
    assert project.rows("SELECT lines, kept FROM ingested_objects") == [(68, 68)]


@pytest.mark.slow
def test_the_order_of_delivery_does_not_matter(new_project):
    objects = [
        ("events", "a", [an_event_record(1), an_event_record(2)], "2021-02-01 00:00:00"),
        (
            "events",
            "b",
            [an_event_record(1, occurred_at="2021-01-07 00:00:00.000")],
            "2021-02-02 00:00:00",
        ),
        (
            "users",
            "u",
            [a_user_record(trial_start_at="2021-01-06 00:00:00")],
            "2021-02-03 00:00:00",
        ),
        ("activities", "c", [an_activity_record(type="video")], "2021-02-04 00:00:00"),
    ]
    snapshots = []
    for order in list(itertools.permutations(objects))[::3]:
        project = new_project()
        for delivery in order:
            project.deliver(*delivery)
            project.run()
        snapshots.append(project.snapshot(without_loads=True))

    for snapshot in snapshots[1:]:
        assert _without_versions(snapshot) == _without_versions(snapshots[0])


@pytest.mark.slow
def test_a_user_who_arrives_late_makes_his_past_days_right(begun_project):
    project = begun_project
    status = "SELECT subscription_status, country_code FROM activity_engagement_metrics"
    assert project.rows(status) == [("unknown", "unknown")]

    project.deliver("users", "u", [a_user_record(900)])
    project.run()

    assert project.rows(status) == [("free", "es")]


@pytest.mark.slow
def test_an_event_that_moves_or_vanishes_leaves_no_trace(begun_project):
    project = begun_project
    days = "SELECT date::VARCHAR, activities_played FROM activity_engagement_metrics"
    assert project.rows(days) == [("2021-01-05", 1)]

    moved = an_event_record(1, occurred_at="2021-01-09 10:00:00.000")
    project.deliver("events", "b", [moved], "2021-02-02 00:00:00")
    project.run()
    assert project.rows(days) == [("2021-01-09", 1)]

    vanished = an_event_record(1, name="activity_enter")
    project.deliver("events", "c", [vanished], "2021-02-03 00:00:00")
    project.run()
    assert project.rows(days) == []
    assert project.rows("SELECT * FROM activity_popularity_daily") == []


@pytest.mark.slow
def test_only_days_whose_rows_change_are_rebuilt(project):
    project.deliver(
        "events",
        "a",
        [
            an_event_record(day, occurred_at=f"2021-01-0{day} 10:00:00.000", user_id=an_id(user))
            for day, user in ((1, 900), (2, 900), (3, 900), (4, 901))
        ],
    )
    project.deliver("users", "u", [a_user_record(900), a_user_record(901)])
    project.run()
    rebuilt = """
        SELECT list(date::VARCHAR ORDER BY date) FROM run_days
        WHERE run_id = (SELECT max(run_id) FROM runs)
    """

    project.deliver("events", "b", [an_event_record(9, occurred_at="2019-12-31 00:00:00.000")])
    project.run()
    assert project.rows(rebuilt) == [(["2019-12-31"],)]

    trial = {"trial_start_at": "2021-01-02 00:00:00", "trial_end_at": "2021-01-02 23:00:00"}
    project.deliver("users", "u2", [a_user_record(900, **trial), a_user_record(901)])
    project.run()
    assert project.rows(rebuilt) == [(["2021-01-02", "2021-01-03"],)]

    project.run("marts", window={"start": "2021-01-01", "end": "2021-01-03"})
    assert project.rows(rebuilt) == [(["2021-01-01", "2021-01-02"],)]


@pytest.mark.slow
def test_of_a_day_only_the_users_whose_rows_change_are_rebuilt(project):
    at_once = {"occurred_at": "2021-01-05 10:00:00.000"}
    users = {number: {"user_id": an_id(number)} for number in (900, 901, 902)}
    project.deliver(
        "events", "a", [an_event_record(number, **at_once, **users[number]) for number in users]
    )
    project.deliver("users", "u", [a_user_record(number) for number in users])
    project.run()

    corrected = an_event_record(901, **at_once, **users[902])
    project.deliver("events", "b", [corrected, an_event_record(9, **at_once, **users[902])])
    project.run()

    replaced = """
        SELECT table_name, rows_deleted, rows_inserted FROM run_steps
        WHERE run_id = (SELECT max(run_id) FROM runs)
          AND table_name IN ('user_activity_daily', 'user_journeys') ORDER BY ALL
    """
    assert project.rows(replaced) == [("user_activity_daily", 2, 1), ("user_journeys", 2, 2)]
    played = "SELECT user_id::VARCHAR, sum(activities_played) FROM user_activity_daily GROUP BY ALL"
    assert sorted(project.rows(played)) == [(an_id(900), 1), (an_id(902), 3)]


@pytest.mark.slow
def test_what_is_worked_out_in_slices_is_the_same(project, monkeypatch):
    days = [(day, user) for day in range(1, 8) for user in (900, 901)]
    project.deliver(
        "events",
        "a",
        [
            an_event_record(number, occurred_at=f"2021-01-0{day} 10:00:00.000", user_id=an_id(user))
            for number, (day, user) in enumerate(days, start=1)
        ],
    )
    project.deliver("users", "u", [a_user_record(user) for user in (900, 901, 902)])
    project.run()
    made_at_once = [project.table(name) for name in ("user_activity_daily", "user_journeys")]
    assert list(map(len, made_at_once)) == [len(days), 3]

    asked, sliced = {}, []

    def slice_by_few(con, units, column, units_a_slice) -> list[str]:
        asked[column] = units_a_slice
        sliced.append(slices_of(con, units, column, {"date": 3, "user_id": 1}[column]))
        return sliced[-1]

    monkeypatch.setattr(tables, "slices_of", slice_by_few)
    project.run("marts", window={"start": "2021-01-01", "end": "2021-01-08"})

    assert asked == {"date": 300_000, "user_id": 100_000}  # as catalog.yml has it
    assert list(map(len, sliced)) == [5, 2]
    made_in_slices = [project.table(name) for name in ("user_activity_daily", "user_journeys")]
    assert made_in_slices == made_at_once
    replaced = "SELECT rows_deleted, rows_inserted FROM run_steps WHERE table_name = {!r}"
    assert project.rows(replaced.format("user_activity_daily")) == [(0, 14), (14, 14)]
    assert project.rows(replaced.format("user_journeys")) == [(0, 3), (2, 2)]


def test_a_run_with_nothing_new_writes_nothing(begun_project, caplog):
    project = begun_project
    before = project.database.read_bytes()

    project.run()

    assert project.database.read_bytes() == before
    assert not project.database.with_suffix(".duckdb.wal").exists()
    assert "Nothing new: 0 objects read, 0 rows written." in caplog.text


def _lines(*records) -> bytes:
    import json

    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _without_versions(snapshot):
    """The ledger's etags say when a file was written, which differs between projects."""
    return {
        name: [tuple(value for value in row if not _is_etag(value)) for row in rows]
        for name, rows in snapshot.items()
    }


def _is_etag(value) -> bool:
    start, dash, _ = str(value).partition("-")
    return bool(dash) and len(start) == len("5ba4c2f5e0000") and " " not in str(value)
