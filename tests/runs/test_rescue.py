"""Keys that no field reads, seen through whole runs: kept, reported, and written about once."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from builders import a_user_record, an_activity_record, an_event_record
from lingokids import schema
from lingokids.validation import quality

LEFT_OVER = ("rescued_values", "unknown_keys")


def _deliver(project, number: int = 1, **values) -> None:
    records = [an_event_record(number), an_event_record(number + 1, **values)]
    project.deliver("events", f"events-{number}.jsonl", records)


def _take_in_a_plan(project) -> None:
    _deliver(project, plan="gold")
    project.run()


@pytest.fixture
def planned(project_after):
    """Two events taken in, of which one has a key that no field reads."""
    return project_after("a-plan", _take_in_a_plan)


def _rescued(project) -> list[tuple]:
    columns = "dataset, object_key, line_number, rescued"
    return project.rows(f"SELECT {columns} FROM rescued_values ORDER BY ALL")


def _warnings(caplog) -> list[str]:
    return [
        record.message
        for record in caplog.records
        if record.levelname == "WARNING" and record.message.startswith("unknown_keys")
    ]


@pytest.mark.slow
def test_keys_of_every_dataset_are_kept_and_told_in_one_warning(project, caplog):
    _deliver(project, locale={"language": "es"}, data={"activity_id": "fish", "speed": None})
    project.deliver("users", "users.jsonl", [a_user_record(), a_user_record(901, vip=True)])
    project.deliver("activities", "activities.jsonl", [an_activity_record(level=3.5)])

    project.run()

    assert _rescued(project) == [
        ("activities", "activities.jsonl", 1, '{"level":3.5}'),
        ("events", "events-1.jsonl", 2, '{"locale":{"language":"es"},"data":{"speed":null}}'),
        ("users", "users.jsonl", 2, '{"vip":true}'),
    ]
    (warning,) = _warnings(caplog)
    for told in (
        "level of activities (number) in 1 of 1 lines (100.0%), first in activities.jsonl, line 1",
        "locale of events (object) in 1 of 2 lines (50.0%), first in events-1.jsonl, line 2",
        "data.speed of events (null) in 1 of 2 lines (50.0%), first in events-1.jsonl, line 2",
        "vip of users (boolean) in 1 of 2 lines (50.0%), first in users.jsonl, line 2",
    ):
        assert told in warning

    (page,) = (project.folder / "08_reporting" / "checks").glob("*.html")
    assert "every delivered key is read by a field" in page.read_text()
    assert "data.speed" in page.read_text()

    caplog.clear()
    _deliver(project, number=5)
    project.run()
    assert _warnings(caplog) == []


@pytest.mark.slow
def test_a_key_cannot_write_a_line_of_the_log(project, caplog):
    _deliver(project, **{"x\n00:00:00 INFO Committed \x1b[31m": 1, "y" * 100_000: 2})

    project.run()

    (warning,) = _warnings(caplog)
    assert "x\\n00:00:00 INFO Committed \\x1b[31m of events (number) in 1 of 2 lines" in warning
    assert f"{'y' * 79}… of events" in warning
    (page,) = (project.folder / "08_reporting" / "checks").glob("*.html")
    assert "y" * 5_000 not in page.read_text()
    assert project.rows("SELECT max(length(unknown_key)) FROM unknown_keys") == [(100_000,)]


@pytest.mark.slow
def test_data_without_other_keys_writes_nothing(project, caplog):
    _deliver(project)
    project.run()

    assert [project.table(name) for name in LEFT_OVER] == [[], []]
    steps = "SELECT count(*) FROM run_steps WHERE rows_inserted > 0 AND table_name IN {}"
    assert project.rows(steps.format(LEFT_OVER)) == [(0,)]
    assert _warnings(caplog) == []


@pytest.mark.slow
def test_each_object_version_is_rescued_once_and_a_rebuild_gives_the_same(planned):
    project = planned
    project.run()
    _deliver(project, plan="silver")  # the same key, sent again
    _deliver(project, number=1, plan="silver")
    project.run()

    before = {name: project.table(name) for name in LEFT_OVER}
    assert [row[-1] for row in _rescued(project)] == ['{"plan":"gold"}', '{"plan":"silver"}']

    project.run(rebuild="bronze")
    assert {name: project.table(name) for name in LEFT_OVER} == before


@pytest.mark.slow
def test_a_rebuild_from_raw_rescues_anew(planned):
    project = planned
    before = [project.table(name, without=("load_id",)) for name in LEFT_OVER]

    project.run(rebuild="raw")

    assert [project.table(name, without=("load_id",)) for name in LEFT_OVER] == before


@pytest.mark.slow
def test_a_replayed_line_is_rescued_with_the_load_of_its_replay(project, monkeypatch):
    strict = tuple(
        schema.Field(field.column, field.path, required=True) if field.column == "source" else field
        for field in schema.EVENT_FIELDS
    )
    _deliver(project, plan="gold")
    with monkeypatch.context() as patch:
        patch.setattr(quality, "validate_events", partial(quality.validate, fields=strict))
        project.run()
    assert _rescued(project) == []

    project.run("replay")

    assert _rescued(project) == [("events", "events-1.jsonl", 2, '{"plan":"gold"}')]
    counted = "SELECT unknown_key, load_id, lines_with_key, usable_lines FROM unknown_keys"
    assert project.rows(counted) == [("plan", 2, 1, 2)]


@pytest.mark.slow
def test_it_comes_back_from_the_published_lake(planned):
    project = planned
    before = {name: project.table(name) for name in LEFT_OVER}
    project.database.unlink()
    shutil.rmtree(project.folder / "raw" / "events")
    (project.folder / "raw" / "events").mkdir()

    project.run("restore")

    assert {name: project.table(name) for name in LEFT_OVER} == before


def test_a_field_of_another_shape_is_an_error(project):
    faults = [
        ({"context": "x"}, "context is not an object"),
        ({"context": [{"os": 1}]}, "context is not an object"),
        ({"context": {"os": 7}}, "context.os is not an object"),
        ({"data": {"activity_id": "fish", "source": ["a"]}}, "data.source is not text"),
        ({"data": {"activity_id": {}}}, "data.activity_id is not text"),
    ]
    records = [an_event_record(n, **values) for n, (values, _) in enumerate(faults)]
    project.deliver("events", "events.jsonl", [*records, an_event_record(9)])

    project.run("ingestion")

    reasons = project.rows("SELECT line_number, reason FROM quarantined_lines ORDER BY ALL")
    assert reasons == list(enumerate((reason for _, reason in faults), start=1))


def test_an_object_that_is_null_or_has_nothing_is_absent(project):
    for number, context in enumerate((None, {}, {"os": None})):
        _deliver(project, 2 * number, context=context)

    project.run("ingestion")

    assert len(project.table("bronze_events")) == 6
    assert project.table("quarantined_lines") == []
    assert _rescued(project) == []


@pytest.mark.slow
def test_a_replay_finds_the_same_fault_of_shape_and_writes_nothing(project):
    records = [
        an_event_record(1, data="text"),
        an_event_record(2, context="x"),
        an_event_record(3, data={"activity_id": ["fish"]}),
        an_event_record(4, event_id=None, plan="gold"),
    ]
    project.deliver("events", "events.jsonl", records)
    project.run()
    before = project.table("quarantined_lines")
    assert len(before) == 4

    project.run("replay")

    assert project.table("quarantined_lines") == before
    assert project.rows("SELECT count(*) FROM runs") == [(1,)]
