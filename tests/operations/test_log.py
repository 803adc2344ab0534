"""Lines of the log have a date, and are JSON where that is asked for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest


@pytest.mark.slow
def test_each_line_is_an_object_that_says_what_it_is_about(begun_project):
    done = begun_project.command("run", "--params", "duration_cap_seconds=10", LINGOKIDS_LOG="json")

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    fields = ["time", "level", "run", "step", "rows", "ms", "message"]
    assert {tuple(line) for line in lines} == {tuple(fields)}
    run_id, rows = begun_project.rows(
        "SELECT run_id, rows_inserted + rows_deleted FROM runs ORDER BY run_id DESC LIMIT 1"
    )[0]
    assert {line["run"] for line in lines} == {run_id}
    (step,) = (line for line in lines if line["step"])
    assert step["step"] == "marts.build_user_activity"
    assert step["rows"] == rows == 2
    (end,) = (line for line in lines if line["message"].startswith("Committed: "))
    assert (end["level"], end["step"], end["rows"]) == ("INFO", None, 2)
    assert 0 < step["ms"] <= end["ms"]
    at = datetime.fromisoformat(end["time"])
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{}, {"LINGOKIDS_LOG": "xml"}])
def test_a_plain_line_begins_with_its_date(begun_project, asked):
    done = begun_project.command("run", **asked)

    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ ", line) for line in lines), lines
    assert ("write json, or leave it out" in done.stderr) == bool(asked)
