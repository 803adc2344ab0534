"""A field made for a key that no field read: its past values reach gold, as from the start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from builders import an_event_record
from conftest import ROOT

NO_ARMS = ((1, None), (2, ""))
ADDITIONS = {
    "schema/columns.py": (
        '    "device_id": Column(',
        '    "experiment_arm": Column("string", "arm of the experiment"),\n',
    ),
    "schema/raw.py": (
        '    Field("device_id",',
        '    Field("experiment_arm", "experiment.arm"),\n',
    ),
    "schema/silver.py": (
        '        *("device_id", "device_brand", "device_model"),',
        '        "experiment_arm",\n',
    ),
}


@pytest.fixture
def copy_of(checkout, tmp_path_factory):
    """A copy of the project, with its own code."""

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(checkout, folder, dirs_exist_ok=True)
        # with what is compiled of it, which each run would do again
        shutil.copytree(ROOT / "src", folder / "src", dirs_exist_ok=True)
        return folder

    return make


def _add_a_field(folder: Path, *, required: bool = False, column_type: str = "string") -> None:
    source = folder / "src" / "lingokids"
    for name, (before, added) in ADDITIONS.items():
        text = (source / name).read_text()
        assert text.count(before) == 1
        (source / name).write_text(text.replace(before, added + before))
    gold, marts = source / "schema" / "gold.py", source / "pipelines" / "marts" / "nodes.py"
    grain, sliced = '("date", "country_code",', '("country_code", "os_version",'
    for file, column in ((gold, grain), (marts, sliced)):
        assert file.read_text().count(column) == 1
        file.write_text(file.read_text().replace(column, f'{column} "experiment_arm",'))
    columns, raw = source / "schema" / "columns.py", source / "schema" / "raw.py"
    columns.write_text(
        columns.read_text().replace('Column("string", "arm', f'Column("{column_type}", "arm')
    )
    if required:
        raw.write_text(
            raw.read_text().replace('"experiment.arm"', '"experiment.arm", required=True')
        )


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kedro", "run", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def _tables(folder: Path) -> dict[str, list]:
    """Every table of what was delivered, as it stands in the file."""
    names = (
        *("bronze_events", "quarantined_lines", "ingested_objects", "rescued_values"),
        *("unknown_keys", "stg_events", "intermediate_activity_events_enriched"),
        *("activity_engagement_metrics", "user_activity_daily", "activity_popularity_daily"),
    )
    with duckdb.connect(str(folder / "data" / "lingokids.duckdb"), read_only=True) as con:
        return {name: _rows(con, name) for name in names}


def _rows(con: duckdb.DuckDBPyConnection, name: str) -> list:
    """The rows as readers see them: without the run that last changed each."""
    return con.sql(f"SELECT COLUMNS(c -> c <> 'version') FROM {name} ORDER BY ALL").fetchall()


def _published(folder: Path, table: str) -> int:
    files = f"{folder}/data/02_bronze/{table}/**/*.parquet"
    return duckdb.sql(f"SELECT count(*) FROM read_parquet('{files}')").fetchall()[0][0]


def _deliver_no_arm(folder: Path) -> None:
    """Events whose new field has a key, but no value."""
    records = [an_event_record(number, experiment={"arm": arm}) for number, arm in NO_ARMS]
    place = folder / "data" / "01_raw" / "events" / "2021-02-20" / "00" / "no-arm.jsonl"
    place.parent.mkdir(parents=True)
    place.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    os.utime(place, (0, 0))  # its ETag is the same wherever it is delivered


@pytest.mark.slow
def test_past_values_of_a_new_field_reach_gold_as_if_it_had_been_there(copy_of):
    late, early = copy_of("late"), copy_of("early")
    assert _run(late).returncode == 0
    _deliver_no_arm(late)
    assert _run(late).returncode == 0
    _add_a_field(late)
    for delivered in (late / "data" / "01_raw" / "events").iterdir():
        shutil.rmtree(delivered)  # raw has expired

    refused = _run(late)
    assert refused.returncode == 1
    assert "lacks experiment_arm" in refused.stderr
    assert "rebuild=bronze rebuilds it" in refused.stderr
    filled = _run(late, "--params", "rebuild=bronze")
    assert filled.returncode == 0, filled.stderr
    assert "has the new columns experiment_arm now" in filled.stdout + filled.stderr

    _add_a_field(early)
    assert _run(early).returncode == 0
    _deliver_no_arm(early)
    assert _run(early).returncode == 0
    assert _tables(late) == _tables(early)
    arms = "SELECT count(*) FROM activity_engagement_metrics WHERE experiment_arm <> 'unknown'"
    with duckdb.connect(str(late / "data" / "lingokids.duckdb"), read_only=True) as con:
        assert con.sql(arms).fetchall()[0][0] > 0

    (late / "data" / "lingokids.duckdb").unlink()
    assert _run(late, "--pipeline", "restore").returncode == 0
    with duckdb.connect(str(late / "data" / "lingokids.duckdb"), read_only=True) as con:
        for table in ("bronze_events", "rescued_values", "unknown_keys"):
            assert _rows(con, table) == _tables(early)[table]


@pytest.mark.slow
def test_a_field_that_the_past_does_not_fit_changes_nothing(copy_of):
    folder = copy_of("late")
    assert _run(folder).returncode == 0
    before = _tables(folder)
    for field, sentence in (
        ({"required": True}, "experiment.arm is required, and lines of before may be without it"),
        ({"column_type": "boolean"}, "experiment.arm is not true or false"),
    ):
        shutil.rmtree(folder / "src")
        shutil.copytree(ROOT / "src", folder / "src")
        _add_a_field(folder, **field)

        refused = _run(folder, "--params", "rebuild=bronze")

        assert refused.returncode == 1
        assert sentence in refused.stdout + refused.stderr
        assert _tables(folder) == before
