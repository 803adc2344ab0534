"""The hand-written script is a measure of the project because it makes the same tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from deliveries import add_a_day, make_data, plan_of
from handwritten_gold import BRONZE, PUBLISHED
from handwritten_silver import ENRICHED
from processes import BENCHMARK, SCRIPT, run_project, run_script

#: What the project notes of its runs and replays; the script has neither.
NOTED = {"version", "is_current", "past_reason"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What both have made: of the first deliveries, then of one more day."""
    folder = tmp_path_factory.mktemp("benchmark")
    plan = plan_of(events=5_000, objects=100)
    make_data(folder, plan)
    run_script(folder)
    run_project(folder)
    add_a_day(folder, plan)
    run_script(folder, "--incremental")
    run_project(folder)
    return folder


def test_the_script_imports_nothing_of_the_project_and_none_of_its_slow_libraries():
    loaded = subprocess.run(
        [sys.executable, "-c", "import handwritten, sys; print(*sys.modules)"],
        cwd=BENCHMARK,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert "handwritten_gold" in loaded
    assert not {"lingokids", "kedro", "ibis", "pandas"} & set(loaded)


@pytest.mark.slow
@pytest.mark.parametrize("table", [*BRONZE, "stg_users", "stg_activities", ENRICHED, *PUBLISHED])
def test_the_script_makes_the_same_table(folder, table):
    assert _rows(folder / SCRIPT, table) == _rows(folder / "lingokids.duckdb", table)


@pytest.mark.slow
@pytest.mark.parametrize("table", PUBLISHED)
def test_the_script_publishes_the_same_table(folder, table):
    published = folder / Path(SCRIPT).stem / "copy.duckdb"

    assert _rows(published, table) == _rows(folder / "lingokids-gold.duckdb", table)


def _rows(file: Path, table: str) -> list[tuple]:
    with duckdb.connect(str(file), read_only=True) as con:
        names = con.execute(f"SELECT * FROM {table} LIMIT 0").description
        columns = ", ".join(sorted({name for name, *_ in names} - NOTED))
        return con.execute(f"SELECT {columns} FROM {table} ORDER BY ALL").fetchall()
