"""Ways in which users of Kedro use a project: pipelines of their own, a wheel, a service."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from kedro.framework.project import configure_project
from kedro.framework.session.service_session import KedroServiceSession
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline

from builders import a_user_record, an_activity_record, an_event_record, an_id
from conftest import ROOT
from lingokids import pipeline_registry

# --- a pipeline of one's own that writes no table ---------------------------------------------

ENTRIES = """
users_csv: {type: pandas.CSVDataset, filepath: own/users.csv}
users_parquet: {type: lingokids.storage.AnswerDataset, filepath: own/users.parquet}
plays_csv: {type: pandas.CSVDataset, filepath: own/plays.csv}
"""


def _countries(users):
    return users.select("country_code")


def _frame(table):
    return table.to_pandas()


@pytest.fixture
def own(small, monkeypatch):
    """Two events of one user are taken in; a pipeline of one's own writes files from tables."""
    pipelines = pipeline_registry.register_pipelines() | {
        "own": Pipeline(
            [
                Node(_countries, "stg_users", "countries", name="choose"),
                Node(_frame, "countries", "users_csv", name="write_csv"),
                Node(_countries, "stg_users", "users_parquet", name="write_parquet"),
            ]
        ),
        "of_gold": Pipeline([Node(_frame, "activity_popularity_daily", "plays_csv")]),
    }
    (small.folder / "conf").unlink()
    shutil.copytree(ROOT / "conf", small.folder / "conf")
    (small.folder / "conf" / "base" / "catalog_own.yml").write_text(ENTRIES)
    (small.folder / "own").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline_registry, "register_pipelines", lambda: dict(pipelines))
        configure_project("lingokids")
        yield small
    configure_project("lingokids")


@pytest.mark.slow
def test_a_pipeline_of_ones_own_writes_files_from_a_silver_table(own, caplog):
    before = own.snapshot()

    own.run("own")

    assert (own.folder / "own/users.csv").read_text() == "country_code\nes\n"
    rows = duckdb.read_parquet(str(own.folder / "own/users.parquet")).fetchall()
    assert rows == [("es",)]
    assert "Written from lingokids.duckdb: 2 files in" in caplog.text
    assert own.snapshot() == before


def test_one_that_reads_gold_alone_waits_for_no_run(own, caplog):
    with duckdb.connect(str(own.folder / "lingokids-gold.duckdb"), read_only=True) as copy:
        played = copy.execute("SELECT activities_played FROM activity_popularity_daily").fetchall()
    own.database.unlink()

    own.run("of_gold")

    (row,) = csv.DictReader(io.StringIO((own.folder / "own/plays.csv").read_text()))
    assert [(int(row["activities_played"]),)] == played == [(2,)]
    assert "Written from lingokids-gold.duckdb: 1 files in" in caplog.text
    with pytest.raises(DatasetError, match=r"lingokids.duckdb is not there yet: uv run kedro run"):
        own.run("own")


# --- the package ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_package_runs_beside_its_data_where_no_project_is(tmp_path):
    """As Kedro's documentation says: the wheel, and a folder with conf and data."""
    wheel, installed, place = (tmp_path / name for name in ("wheel", "installed", "place"))
    build = ["uv", "build", "--wheel", "-q", "--out-dir", str(wheel), str(ROOT)]
    subprocess.run(build, check=True)
    (file,) = wheel.glob("*.whl")
    target = ["--target", str(installed), "--no-deps", str(file)]
    subprocess.run(["uv", "pip", "install", "-q", *target], check=True)
    place.mkdir()
    shutil.copytree(ROOT / "conf" / "base", place / "conf" / "base")
    shutil.copy(ROOT / "conf" / "logging.yml", place / "conf")
    (place / "conf" / "local").mkdir()
    shutil.copytree(ROOT / "data" / "01_raw", place / "data" / "01_raw")
    environment = os.environ | {"PYTHONPATH": str(installed)}
    for name in ("KEDRO_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        environment.pop(name, None)

    def run(*arguments: str, folder: Path = place) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lingokids", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    first, again = run(), run("--pipeline", "marts")
    refused = run("--params", "windw.start=2021-01-05")
    elsewhere = run(folder=wheel)

    assert "usage data" not in first.stderr, "nothing is told to others about the data of children"
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    with duckdb.connect(str(place / "data/lingokids.duckdb"), read_only=True) as warehouse:
        assert warehouse.execute("SELECT count(*) FROM stg_events").fetchall() == [(7447,)]
    assert (place / "data/lingokids-gold.duckdb").exists()
    assert "Nothing new: 0 rows written." in again.stderr
    assert (refused.returncode, refused.stderr) == (
        1,
        refused.stderr[refused.stderr.index("Error: There is no parameter windw.") :],
    )
    assert elsewhere.returncode == 1
    assert f"valid directory: {wheel}/conf/base" in elsewhere.stderr
    assert "Traceback" not in elsewhere.stderr


# --- where the log goes -----------------------------------------------------------------------


@pytest.mark.slow
def test_an_answer_for_a_program_is_alone_on_standard_output(small):
    asked = ["metrics", "--restricted", "-m", "active_users", "-f", "csv"]
    below = small.folder / "below"
    below.mkdir()
    command = [sys.executable, "-m", "kedro", *asked]

    def ask(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=below,
            env=small.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    logging = str(ROOT / "conf" / "logging.yml")
    alone = "active_users\n1\n"
    assert (small.command(*asked).stdout, ask(KEDRO_LOGGING_CONFIG=logging).stdout) == (alone,) * 2
    refused = ask()
    assert refused.returncode == 1
    assert "Error: Kedro has logged to standard output, before the answer: give" in refused.stderr
    run = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--pipeline", "marts"],
        cwd=below,
        env=small.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Nothing new: 0 rows written." in run.stderr
    assert "Nothing new" not in run.stdout


# --- parameters given with a run --------------------------------------------------------------

ENVIRONMENT = "${oc.env:LINGOKIDS_TEST_SECRET}"


@pytest.mark.parametrize(
    "given",
    [
        {"os_names": {"iOS": ENVIRONMENT}},
        {"os_names": {"iOS": "${os_names.Android}"}},
        {"reporting": {"dimensions": ["os_name", f"x{ENVIRONMENT}"]}},
        {"os_names": {ENVIRONMENT: "iOS"}},
        {"unknown": "${globals:warehouse.database}"},
    ],
)
@pytest.mark.parametrize("way", ["session", "service"])
def test_parameters_given_with_a_run_take_nothing_from_the_environment(
    small, given, way, monkeypatch
):
    monkeypatch.setenv("LINGOKIDS_TEST_SECRET", "hunter2")
    before = small.snapshot()

    def serve(**given):
        """What kedro server start makes of a request."""
        with KedroServiceSession.create(small.folder, "test", serving_mode=True) as session:
            session.run(runtime_params=given)

    with pytest.raises(DatasetError, match=r"has \$\{…\}: .* write the value, or put") as refused:
        {"session": small.run, "service": serve}[way](**given)

    assert "hunter2" not in str(refused.value)
    assert small.snapshot() == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (f"os_names.iOS={ENVIRONMENT}", "os_names.iOS has ${…}: parameters given with a run are"),
        ("os_names.iOS=${", "--params cannot be read: write name=value,name=value, with values"),
        (f"reporting.dimensions=[{ENVIRONMENT}]", "--params cannot be read: write name=value,"),
        ("os_names.iOS=[1", "--params cannot be read: write name=value,name=value, with values"),
    ],
)
def test_on_the_command_line_neither(small, given, sentence):
    refused = small.invoke("run", "--params", given)

    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert sentence in refused.stderr


# --- texts from outside -----------------------------------------------------------------------

HOSTILE = "=1+2\r\n\x1b]0;title\x07\x9b2J\u202eEvil"
COMMANDS = {chr(code) for code in (*range(32), *range(127, 160), 0x202E)} - set("\n")


@pytest.fixture
def hostile(project):
    """Five users played what a hostile title names, from an object of such a name."""
    project.deliver("users", "u", [a_user_record(900 + n) for n in range(5)])
    project.deliver("activities", "a", [an_activity_record(name=HOSTILE)])
    events = [an_event_record(n, user_id=an_id(900 + n), more={HOSTILE: 1}) for n in range(5)]
    project.deliver("events", f"{HOSTILE}\n12:00:00 INFO Forged", events)
    return project


@pytest.mark.slow
def test_titles_keys_and_errors_reach_log_and_terminal_as_plain_text(hostile):
    run = hostile.command("run")
    strict = "rebuild=raw,checks.severities.unknown_keys.keys_known=error"
    again = hostile.command("run", "--params", strict)
    asked = hostile.command(
        "metrics", "--restricted", "-m", "active_users", "--by", "activity_name"
    )
    unknown = hostile.command("metrics", "-m", HOSTILE)
    missing = hostile.command("run", "--pipeline", f"x{HOSTILE}")

    assert "unknown_keys: rule keys_known" in run.stderr
    assert "unknown_keys: rule keys_known" in again.stderr
    assert "\\x1b]0;title" in run.stderr
    assert "=1+2\\r\\n\\x1b]0;title\\x07\\x9b2J\\u202eEvil" in asked.stdout
    for done, code in ((run, 0), (again, 1), (asked, 0), (unknown, 1), (missing, 1)):
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert not COMMANDS & set(said)
        assert "\n12:00:00 INFO Forged" not in said
    assert "INFO Forged" in again.stderr
