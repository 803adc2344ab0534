"""Charts and dashboard: what is in the files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import ibis
import pytest
from ibis import _

from builders import an_event_record

pytestmark = pytest.mark.slow

FEWEST = 5
CHARTS = ("weekly_completion", "weekly_users", "most_played_by_count", "most_played_by_time")
CHARTS += ("completion_rate", "price_tier", "subscription_impact")


def folder_of(project) -> Path:
    return project.folder / "09_shared"


def content_of(project):
    page = (folder_of(project) / "dashboard.html").read_text()
    return json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])


# --- files ------------------------------------------------------------------------------------


def test_no_group_that_is_too_small_is_in_any_file(reported):
    activity = content_of(reported)["subjects"]["activity"]
    copy = ibis.duckdb.connect(reported.folder / "lingokids-gold.duckdb", read_only=True)
    days = copy.table("user_activity_daily")
    days = days.mutate(
        day=days["date"].cast("string"), week=days["date"].cast("timestamp").truncate("W").date()
    )
    place = activity["numbers"].index("active_users")
    looked_at = 0
    for split, rows in activity["answers"].items():
        names = ["week", *(split.split("|") if split else [])]
        of_users = days.group_by(*names, "user_id").aggregate(seconds=_.total_time_spent.sum())
        groups = of_users.group_by(names).aggregate(
            n=_.user_id.nunique(), most=_.seconds.max() / _.seconds.sum()
        )
        true = {
            tuple(str(row[name]) for name in names): row for row in groups.to_pyarrow().to_pylist()
        }
        for row in rows:
            key, numbers = tuple(row[: len(names)]), row[len(names) :]
            assert numbers[place] == true[key]["n"] >= FEWEST
            assert true[key]["most"] <= 0.85
            looked_at += 1
    assert looked_at > 1_000

    small = {
        name
        for (name,) in copy.raw_sql(
            "SELECT country_code FROM user_activity_daily GROUP BY ALL "
            f"HAVING count(DISTINCT user_id) < {FEWEST}"
        ).fetchall()
    }
    assert small
    for split, rows in activity["answers"].items():
        if "country_code" in (names := split.split("|")):
            assert not small & {row[1 + names.index("country_code")] for row in rows}, split
    platforms = [row[0] for row in content_of(reported)["questions"]["q3"]["rows"]]
    assert platforms == ["ios"]  # four subscribers on the web; droid would tell
    assert "user_id" not in activity["answers"]
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", json.dumps(content_of(reported)))


def test_the_page_says_of_which_run_it_is_and_what_its_checks_found(reported):
    ((run_id,),) = reported.rows("SELECT max(run_id) FROM runs WHERE status = 'succeeded'")
    verdicts = reported.rows(
        "SELECT verdict, count(*) FROM check_results WHERE run_id = (SELECT max(run_id) FROM runs) "
        "GROUP BY ALL ORDER BY ALL"
    )

    run = content_of(reported)["run"]

    assert run["run_id"] == run_id
    assert run["started_at"][:10] == run_id[:10]
    assert [*run["verdicts"].items()] == verdicts
    assert run["verdicts"]["held"] > 50


def contents_of(folder):
    """The files in a folder; pages of checks are in one below it."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_second_report_of_the_same_gold_writes_the_same(reported):
    before = contents_of(folder_of(reported))
    answers = {path: path.stat().st_mtime_ns for path in folder_of(reported).glob("*.parquet")}

    reported.run("reporting")

    assert contents_of(folder_of(reported)) == before
    assert {path: path.stat().st_mtime_ns for path in answers} == answers


def test_a_report_neither_waits_for_a_run_nor_changes_a_table(reported):
    before = reported.database.read_bytes()
    counts = reported.row_counts()
    hold = f"import duckdb; con = duckdb.connect({str(reported.database)!r}); print(1); input()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        done = reported.command("run", "--pipeline", "reporting")
    finally:
        holder.communicate(b"\n")

    assert done.returncode == 0, done.stderr
    assert "Written from lingokids-gold.duckdb" in done.stdout + done.stderr
    assert reported.database.read_bytes() == before
    assert reported.row_counts() == counts


def test_a_report_before_the_first_run_says_what_makes_the_copy(project):
    refused = project.command("run", "--pipeline", "reporting")

    assert refused.returncode == 1
    assert "lingokids-gold.duckdb is not there yet: uv run kedro run" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_with_nothing_that_may_be_shown_there_is_a_page_all_the_same(project):
    later = an_event_record(2, occurred_at="2021-01-11 10:00:00")
    project.deliver("events", "a", [an_event_record(1), later])
    project.run()
    project.run("reporting")

    assert content_of(project)["subjects"]["activity"]["answers"] == {}


def test_what_has_hidden_numbers_is_in_no_file_and_all_are_for_everyone(reported):
    names = {path.name for path in folder_of(reported).iterdir()}
    assert folder_of(reported).stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder_of(reported).iterdir()} == {0o644}

    assert "measured_groups.parquet" not in names
    assert {f"{name}.json" for name in CHARTS} <= names
    with duckdb.connect() as con:
        users = "coalesce(active_users, registered_users, cohort_users, subscribers)"
        shown = f"'{folder_of(reported)}/shown_groups.parquet'"
        ((fewest,),) = con.execute(f"SELECT min({users}) FROM {shown}").fetchall()
    assert fewest >= FEWEST
