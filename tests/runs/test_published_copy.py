"""The published copy is the gold tables of the last run, however it was brought there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date, timedelta

import duckdb
import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.published_copy import open_copy

pytestmark = pytest.mark.slow

TABLES = (
    *("activity_engagement_metrics", "activity_popularity_daily", "user_activity_daily"),
    "user_journeys",
    *("q1_completion_rate", "q2_price_tier_engagement", "q3_subscription_impact"),
)


def published(project):
    with duckdb.connect(str(project.folder / "lingokids-gold.duckdb"), read_only=True) as con:
        return {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


def committed(project):
    return {name: project.table(name) for name in TABLES}


def _take_in(project):
    for n in range(1, 31):
        day = date(2021, 1, 1) + timedelta(days=n)
        event = an_event_record(n, occurred_at=f"{day} 10:00:00.000")
        project.deliver("events", f"{n}.json", [event])
    project.run()


def _put_back(older, copy):
    copy.unlink()  # it may not be written
    shutil.copy(older, copy)


@pytest.fixture
def history(project_after):
    """Thirty days of one event each, taken in."""
    return project_after("thirty-days", _take_in)


def test_a_late_event_replaces_its_day_in_the_copy(history):
    history.deliver("events", "late", [an_event_record(99, occurred_at="2021-01-05 09:00:00.000")])
    history.run()

    assert published(history) == committed(history)


def test_the_copy_has_the_last_result_of_each_rule(history):
    results = (
        "SELECT table_name, rule, max(run_id), arg_max(verdict, run_id) FROM main.check_results "
        "GROUP BY ALL ORDER BY ALL"
    )
    first = history.rows(results)
    history.deliver("events", "late", [an_event_record(99, occurred_at="2021-01-05 09:00:00.000")])
    history.run()

    with duckdb.connect(str(history.folder / "lingokids-gold.duckdb"), read_only=True) as con:
        assert con.execute(results).fetchall() == history.rows(results) != first
        copied = con.execute("SELECT count(*) FROM check_results").fetchall()
    assert copied == [(len(first),)]


def test_an_event_that_moves_leaves_no_trace_in_the_copy(history):
    moved = an_event_record(3, occurred_at="2021-03-03 09:00:00.000")
    history.deliver("events", "moved", [moved], landed_at="2021-05-01 00:00:00")
    history.run()

    assert published(history) == committed(history)
    assert "2021-01-04" not in {str(row[0]) for row in published(history)[TABLES[0]]}


def test_pipelines_run_one_by_one_bring_the_copy_up_to_date(history):
    history.deliver("events", "late", [an_event_record(99, occurred_at="2021-01-05 09:00:00.000")])
    for pipeline in ("ingestion", "staging", "enrichment", "marts"):
        history.run(pipeline)

    assert published(history) == committed(history)


@pytest.mark.parametrize("parameters", [{"rebuild": "bronze"}, {"window": {"start": "2021-01-03"}}])
def test_a_rebuild_with_another_spelling_reaches_the_copy(history, parameters):
    history.run(os_names={"iOS": "Robot"}, **parameters)

    assert published(history) == committed(history)
    assert "Robot" in str(published(history))


def test_a_copy_that_missed_a_run_is_made_anew(history):
    copy = history.folder / "lingokids-gold.duckdb"
    shutil.copy(copy, history.folder / "older")
    for n, day in ((98, "2021-01-07"), (99, "2021-01-09")):
        late = an_event_record(n, occurred_at=f"{day} 09:00:00.000")
        history.deliver("events", f"late-{n}", [late])
        history.run()
        _put_back(history.folder / "older", copy)

    history.run()

    assert published(history) == committed(history)


def test_a_copy_that_missed_the_last_run_is_made_anew_by_a_run_of_nothing_new(history):
    copy = history.folder / "lingokids-gold.duckdb"
    shutil.copy(copy, history.folder / "older")
    history.deliver("events", "late", [an_event_record(99, occurred_at="2021-01-05 09:00:00.000")])
    history.run()
    _put_back(history.folder / "older", copy)

    history.run()

    assert published(history) == committed(history)


def test_a_copy_that_is_not_ours_or_gone_is_made_anew(history):
    copy = history.folder / "lingokids-gold.duckdb"
    for content in (None, b"nonsense" * 1000):
        copy.unlink()
        if content is not None:
            copy.write_bytes(content)
        history.run()

        assert published(history) == committed(history)


def test_the_copy_costs_what_is_new(history):
    """The file is copied; of its rows only those of the due days are written."""
    late = an_event_record(99, occurred_at="2021-01-05 09:00:00.000")
    history.deliver("events", "late", [late])
    history.run()

    with duckdb.connect(str(history.folder / "lingokids-gold.duckdb"), read_only=True) as con:
        last = con.execute("SELECT date FROM activity_engagement_metrics ORDER BY rowid DESC")
        assert str(last.fetchone()[0]) == "2021-01-05"


def _leave_writes(copy, statement):
    """Open the copy for writing, as a reader should not, write, and die."""
    code = f"""
import duckdb, os
con = duckdb.connect({str(copy)!r})
con.execute("SET checkpoint_threshold = '1TB'")
con.execute({statement!r})
os._exit(1)
"""
    copy.chmod(0o644)
    subprocess.run([sys.executable, "-c", code], check=False)


@pytest.mark.parametrize("is_checkpointed", [False, True])
@pytest.mark.parametrize("is_new", [False, True])
def test_what_a_reader_wrote_into_the_copy_is_in_no_later_one(history, is_checkpointed, is_new):
    copy = history.folder / "lingokids-gold.duckdb"
    wrong = "UPDATE activity_engagement_metrics SET activities_played = 99"
    _leave_writes(copy, wrong)
    assert copy.with_name(f"{copy.name}.wal").exists()
    if is_checkpointed:
        duckdb.connect(str(copy)).close()
        assert not copy.with_name(f"{copy.name}.wal").exists()
    if is_new:
        history.deliver("events", "late", [an_event_record(99)])
    history.run()

    assert published(history) == committed(history)
    assert not copy.with_name(f"{copy.name}.wal").exists()
    assert copy.stat().st_mode & 0o222 == 0, "a reader is told that it cannot be written"


def test_a_process_that_has_the_old_copy_open_reads_the_new_one(history):
    copy = history.folder / "lingokids-gold.duckdb"
    with duckdb.connect(str(copy), read_only=True) as held:
        held.execute("FROM runs")
        history.deliver("events", "late", [an_event_record(99)])
        history.run()

        with open_copy(copy) as opened:
            counted = "SELECT sum(activities_played)::INTEGER FROM activity_engagement_metrics"
            assert held.execute(counted).fetchall() == [(30,)]
            assert opened.execute(counted).fetchall() == [(31,)]


def test_a_process_that_has_the_copy_open_for_writing_is_told(history):
    copy = history.folder / "lingokids-gold.duckdb"
    copy.chmod(0o644)
    with duckdb.connect(str(copy)):
        with pytest.raises(LingokidsError, match="is open in this process already: close that"):
            history.run("reporting")
        refused = history.command("metrics", "--restricted", "-m", "active_users")

    told = f"lingokids-gold.duckdb is in use by another process (PID {os.getpid()}"
    assert told in refused.stderr
    assert "Close it there, or open it read-only." in refused.stderr
