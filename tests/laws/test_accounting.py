"""Every line is accounted for, and only what changed is written."""

from __future__ import annotations

import json

import pytest

from builders import a_user_record, an_event_record, an_id
from lingokids.storage import TableDataset
from lingokids.storage.duckdb import replacing
from lingokids.storage.duckdb.slices import slices_of

#: Of each object version: lines; blank, quarantined, superseded, of other events, staged.
ACCOUNT = """
WITH line AS (
    SELECT bronze.*,
        staged.user_id IS NOT NULL AS is_staged,
        is_current AND 1 = row_number() OVER (
            PARTITION BY event_id, is_current
            ORDER BY landed_at DESC, object_key DESC, line_number DESC) AS is_last
    FROM bronze_events AS bronze
    LEFT JOIN stg_events AS staged USING (event_id, landed_at, load_id)
)
SELECT any_value(object.lines), any_value(blank), any_value(quarantined),
    count(line.etag) FILTER (NOT is_last),
    count(line.etag) FILTER (is_last AND line.event_name <> 'activity_exit'),
    count(line.etag) FILTER (is_last AND is_staged)
FROM ingested_objects AS object
LEFT JOIN line USING (object_key, load_id)
WHERE dataset = 'events'
GROUP BY object_key, load_id
ORDER BY object_key, load_id
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
    project.deliver("events", "c.jsonl", [an_event_record(2)], "2021-01-04 00:00:00")
    project.run()
    _assert_accounted(project)
    assert project.rows(ACCOUNT) == [(5, 1, 1, 2, 1, 0), (1, 0, 0, 0, 0, 1), (1, 0, 0, 1, 0, 0)]

    project.deliver("events", "b.jsonl", [an_event_record(3)], "2021-02-03 00:00:00")
    project.run()
    _assert_accounted(project)
    superseded, again = (1, 0, 0, 1, 0, 0), (1, 0, 0, 0, 0, 1)
    assert project.rows(ACCOUNT) == [(5, 1, 1, 1, 1, 1), superseded, again, (1, 0, 0, 1, 0, 0)]


def test_every_line_of_the_sample_is_accounted_for(sample_project):
    _assert_accounted(sample_project)
    assert sample_project.rows("SELECT count(*) > 0 FROM quarantined_lines") == [(True,)]


@pytest.mark.slow
def test_lines_that_end_where_a_batch_is_full_are_taken_in_once(project):
    data = {"activity_id": "fish", "source": "x" * 1_000_000}
    lines = [an_event_record(number, data=data) for number in range(1, 69)]
    project.deliver("events", "a.jsonl", lines)  # more than a batch's 64 MiB by its last line only

    project.run("ingestion")

    assert project.rows("SELECT count(*) FROM bronze_events") == [(68,)]
    assert project.rows("SELECT lines, kept FROM ingested_objects") == [(68, 68)]


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
        SELECT list(date::VARCHAR ORDER BY date) FROM run_units
        WHERE table_name = 'activity_engagement_metrics' AND run_id = (SELECT max(run_id) FROM runs)
    """

    project.deliver("events", "b", [an_event_record(9, occurred_at="2019-12-31 00:00:00.000")])
    project.run()
    assert project.rows(rebuilt) == [(["2019-12-31"],)]

    trial = {"trial_start_at": "2021-01-02 00:00:00", "trial_end_at": "2021-01-02 23:00:00"}
    project.deliver("users", "u2", [a_user_record(900, **trial), a_user_record(901)])
    project.run()
    assert project.rows(rebuilt) == [(["2021-01-02", "2021-01-03"],)]


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
    assert project.rows(replaced) == [("user_activity_daily", 2, 1), ("user_journeys", 1, 1)]
    played = "SELECT user_id::VARCHAR, sum(activities_played) FROM user_activity_daily GROUP BY ALL"
    assert sorted(project.rows(played)) == [(an_id(900), 1), (an_id(902), 3)]


@pytest.mark.slow
def test_what_is_made_in_slices_is_the_same(new_project, monkeypatch):
    def follow(project) -> list[list[tuple]]:
        days = [(day, user) for day in range(1, 8) for user in (900, 901)]
        project.deliver("events", "a", [_played(*day, n) for n, day in enumerate(days, start=1)])
        project.deliver("users", "u", [a_user_record(user) for user in (900, 901, 902)])
        project.run()
        project.deliver("events", "b", [_played(9, 902, n) for n in range(1, 9)])
        project.run()
        return [project.table(name) for name in ("user_activity_daily", "user_journeys", "gone")]

    made_at_once = follow(new_project())
    assert list(map(len, made_at_once[:2])) == [14 - 8 + 1, 3]

    whole, asked, sliced = TableDataset.__init__, set(), []

    def slice_by_few(table, *, units_a_slice=None, **rest) -> None:
        asked.add(units_a_slice)
        whole(table, units_a_slice=units_a_slice and 2, **rest)

    def counted(*arguments) -> list[str]:
        sliced.append(slices_of(*arguments))
        return sliced[-1]

    monkeypatch.setattr(TableDataset, "__init__", slice_by_few)
    monkeypatch.setattr(replacing, "slices_of", counted)

    assert follow(new_project()) == made_at_once
    assert asked == {None, 300_000, 100_000}  # as catalog.yml has it
    assert len(sliced) == 4
    assert all(len(slices) > 1 for slices in sliced)


def _played(day: int, user: int, number: int):
    at = f"2021-01-{day:02} 10:00:00.000"
    return an_event_record(number, occurred_at=at, user_id=an_id(user))


def test_a_run_with_nothing_new_writes_nothing(begun_project, caplog):
    project = begun_project
    before = project.database.read_bytes()

    project.run()

    assert project.database.read_bytes() == before
    assert not project.database.with_suffix(".duckdb.wal").exists()
    assert "Nothing new: 0 objects read, 0 rows written." in caplog.text


def _lines(*records) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)
