"""Charts and dashboard: what is in the files, and what a browser makes of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import duckdb
import ibis
import pytest
from ibis import _

from browser import browse, lines_of_png
from builders import an_event_record
from conftest import take_in_sample
from lingokids.query import SHARED

pytestmark = pytest.mark.slow

FEWEST = 5
CHARTS = ("weekly_completion", "weekly_users", "most_played_by_count", "most_played_by_time")
CHARTS += ("completion_rate", "price_tier", "subscription_impact")


@pytest.fixture
def reported(project_after):
    """The sample, taken in and reported on."""

    def report(project):
        take_in_sample(project)
        project.run("reporting")

    return project_after("reported", report)


def folder_of(project) -> Path:
    return project.folder / "09_shared"


def content_of(project):
    page = (folder_of(project) / "dashboard.html").read_text()
    return json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])


# --- files ------------------------------------------------------------------------------------


def test_no_group_that_is_too_small_is_in_any_file(reported):
    content = content_of(reported)
    copy = ibis.duckdb.connect(reported.folder / "lingokids-gold.duckdb", read_only=True)
    days = copy.table("user_activity_daily")
    days = days.mutate(
        day=days["date"].cast("string"), week=days["date"].cast("timestamp").truncate("W").date()
    )
    place = list(SHARED["activity"]).index("active_users")
    looked_at = 0
    for split, rows in content["answers"].items():
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
    for split, rows in content["answers"].items():
        if "country_code" in (names := split.split("|")):
            assert not small & {row[1 + names.index("country_code")] for row in rows}, split
    platforms = content["figures"]["q3"]["data"][0]["x"]
    assert platforms == ["ios"]  # four subscribers on the web; droid would tell
    assert "user_id" not in content["answers"]
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", json.dumps(content))


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

    assert content_of(project)["answers"] == {}


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


# --- in a browser -----------------------------------------------------------------------------

WATCH = """
<script>
const all = (what) => [...document.querySelectorAll(what)];
const texts = (found) => found.map((one) => one.textContent);
addEventListener("load", () => {
  const seen = document.createElement("pre");
  seen.id = "seen";
  STEPS
  setTimeout(() => {
    seen.textContent = JSON.stringify({
      requests: performance.getEntriesByType("resource").map((one) => one.name),
      errors: window.problems,
      title: document.getElementById("trend-title").textContent,
      numbers: all("#numbers tr").map((row) => texts([...row.children])),
      headline: texts(all("#headline strong")),
      drawn: all(".chart").filter((one) => one.querySelector("svg")).map((one) => one.id),
      note: document.getElementById("trend-note").textContent,
    });
    document.body.append(seen);
  }, 1500);
});
</script>
"""
CATCH = "<script>window.problems = []; onerror = (text) => { problems.push(text); };</script>"


def seen(project, tmp_path, steps="", hash_=""):
    """What a reader sees of the page after some steps."""
    page = (folder_of(project) / "dashboard.html").read_text()
    watched = page.replace("<style>", f"{CATCH}<style>", 1).replace(
        "</body>", WATCH.replace("STEPS", steps) + "</body>"
    )
    copy = tmp_path / "watched.html"
    copy.write_text(watched)
    dom = browse(f"{copy.as_uri()}{hash_}", tmp_path, "--dump-dom")
    return json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))


def choose(name, value):
    return (
        f"document.getElementById('{name}').value = '{value}';"
        f"document.getElementById('{name}').dispatchEvent(new Event('change', {{bubbles: true}}));"
    )


@pytest.mark.browser
def test_the_page_is_drawn_without_the_network(reported, tmp_path):
    page = seen(reported, tmp_path)

    assert page["requests"] == []
    assert page["errors"] == []
    assert page["title"] == "Completion rate per week"
    assert page["headline"] == ["295", "1,687", "69.1 %", "57.9 min"]
    assert page["drawn"] == [
        *("trend", "weekly_completion", "by-count", "by-time", "q1", "q2", "q3")
    ]
    assert [row[:2] for row in page["numbers"][1:3]] == [
        ["2020-12-28", "73.7 %"],
        ["2021-01-04", "68.7 %"],
    ]
    picture = tmp_path / "dashboard.png"
    browse((folder_of(reported) / "dashboard.html").as_uri(), tmp_path, f"--screenshot={picture}")
    size, different_lines = lines_of_png(picture)
    assert size == (1600, 1200)
    assert different_lines > 300  # a blank page has one


@pytest.mark.browser
def test_filters_choose_among_answers(reported, tmp_path):
    page = seen(
        reported,
        tmp_path,
        steps=choose("metric", "active_users")
        + "setTimeout(() => {"
        + choose("by", "country_code")
        + "}, 200);",
    )

    assert page["errors"] == []
    assert page["title"] == "Active users per week and country"
    assert ["Spain", "2021-01-18", "81"] in [[row[1], row[0], row[2]] for row in page["numbers"]]
    assert "22 groups are not shown: fewer than 5 users" in page["note"]
    assert "split" in page["drawn"]


@pytest.mark.browser
def test_a_choice_is_kept_in_the_address_and_one_that_is_not_offered_is_not_taken(
    reported, tmp_path
):
    asked = "#metric=activities_played&by=os_name&grain=day&week=2021-01-11&only=country_code%3Des"

    page = seen(reported, tmp_path, hash_=asked)

    assert page["title"] == "Activities played per week and system, only Spain"
    assert page["headline"][:2] == ["59", "498"]

    page = seen(reported, tmp_path, hash_="#only=country_code%3Dpl%27&by=nothing&metric=user_id")
    assert page["title"] == "Completion rate per week"
    assert page["errors"] == []
