"""Delivered text expires some days after it was taken in, and is then only counted."""

from __future__ import annotations

import duckdb
import pytest

from builders import an_event_record, an_id
from published import the_rows

pytestmark = pytest.mark.slow

NOTE = "a note of a parent"
TEXTS = (
    "SELECT line_text FROM quarantined_lines UNION ALL SELECT rescued FROM rescued_values "
    "ORDER BY ALL"
)
COUNTS = (
    "SELECT (SELECT sum(lines_alike) FROM quarantined_lines), "
    "(SELECT quarantined FROM ingested_objects), (SELECT lines_with_key FROM unknown_keys)"
)


def _take_in_notes(project):
    late = an_event_record(4, note=NOTE, occurred_at="2021-02-05 10:00:00.000")
    wrong = an_event_record(3, child_id=NOTE)
    project.deliver("events", "a", [an_event_record(1, note=NOTE), wrong, late])
    project.run()


@pytest.fixture
def noted(project_after):
    """A usable line with an unknown key, an unusable one, and one that a replay takes in."""
    return project_after("notes", _take_in_notes)


def test_it_is_kept_for_thirty_days(noted):
    before = noted.rows(TEXTS)
    assert NOTE in str(before)

    noted.run()
    noted.run(retention={"texts_days": None})

    assert noted.rows(TEXTS) == before


def test_then_it_is_only_counted_also_in_the_lake(noted):
    counts = noted.rows(COUNTS)

    noted.run(retention={"texts_days": 0})

    assert noted.rows(TEXTS) == [("",), ("",), ("{}",)]
    assert noted.rows(COUNTS) == counts == [(2, 2, 1)]
    for table in "quarantined_lines", "rescued_values":
        assert NOTE not in str(the_rows(noted.folder / "02_bronze", table))
    noted.run(retention={"texts_days": 0})  # nothing is left to be written
    assert noted.rows("SELECT count(*) FROM runs") == [(2,)]


def test_each_load_expires_in_its_time_and_is_then_asked_for_no_more(noted):
    def days_later(days: int) -> list[str]:
        with duckdb.connect(str(noted.database)) as con:
            con.execute(f"UPDATE runs SET started_at = started_at - INTERVAL {days} DAY")
        noted.run()
        return noted.rows("SELECT DISTINCT rescued FROM rescued_values ORDER BY ALL")

    assert NOTE in str(days_later(29))
    noted.deliver("events", "b", [an_event_record(2, note="another")])
    assert len(days_later(0)) == 2

    assert days_later(2) == [('{"note":"another"}',), ("{}",)]
    assert days_later(29) == [("{}",)]
    runs = noted.rows("SELECT count(*) FROM runs")
    assert days_later(40) == [("{}",)]
    assert noted.rows("SELECT count(*) FROM runs") == runs


def test_what_was_written_again_while_texts_were_kept_for_longer_expires_too(noted):
    def later(days: int, kept: int | None) -> str:
        with duckdb.connect(str(noted.database)) as con:
            con.execute(f"UPDATE runs SET started_at = started_at - INTERVAL {days} DAY")
        noted.run(retention={"texts_days": kept})
        return str(noted.rows(TEXTS))

    assert NOTE in later(1, 60)
    with duckdb.connect(str(noted.database)) as con:  # as a replay or an erasure writes it
        con.execute(
            "INSERT INTO runs BY NAME SELECT * REPLACE ('2021-01-01T00.00.00.000Z' AS run_id, "
            "started_at + INTERVAL 40 DAY AS started_at) FROM runs LIMIT 1"
        )
        con.execute(
            "INSERT INTO run_units BY NAME SELECT run_id, table_name, 1 AS load_id FROM runs, "
            "(VALUES ('quarantined_lines'), ('rescued_values')) AS t(table_name) "
            "WHERE run_id LIKE '2021%'"
        )

    assert NOTE in later(45, None)
    assert NOTE in later(0, 60)
    assert NOTE not in later(0, 30)


def test_a_text_of_the_run_itself_does_not_expire(project):
    project.deliver("events", "a", [an_event_record(1, note=NOTE)])

    project.run(retention={"texts_days": 0})

    assert NOTE in str(project.rows(TEXTS))


def test_a_replay_takes_such_a_line_from_its_object(noted):
    noted.run(retention={"texts_days": 0})

    noted.run("replay", instants={"days_ahead": 30})

    events = "SELECT event_id::VARCHAR, line_number FROM bronze_events ORDER BY line_number"
    assert noted.rows(events) == [(an_id(1), 1), (an_id(4), 3)]
    assert noted.rows("SELECT line_text, line_number FROM quarantined_lines") == [("", 2)]
    (counted,) = noted.rows("SELECT lines, kept, quarantined FROM ingested_objects")
    assert counted == (3, 2, 1)


def test_without_the_object_it_stays_unusable(noted):
    noted.run(retention={"texts_days": 0})
    (noted.folder / "raw" / "events" / "a").unlink()

    noted.run("replay", instants={"days_ahead": 30})

    assert noted.rows("SELECT count(*) FROM quarantined_lines") == [(2,)]


def test_check_reports_are_removed_with_age(noted):
    pages = noted.folder / "08_reporting" / "checks"
    old = pages / "2021-01-01T00.00.00.000Z.html"
    old.write_text("old")
    (kept,) = {*pages.iterdir()} - {old}

    noted.run()
    assert old.exists()
    noted.run(retention={"pages_days": 30})

    assert kept.exists()
    assert not old.exists()
