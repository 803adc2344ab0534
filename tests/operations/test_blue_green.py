"""A new warehouse is built beside the one in use, compared with it, and takes its place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from kedro.framework.session import KedroSession

from builders import an_event_record
from conftest import ROOT, Project
from operators import ask, held
from published import assert_published

pytestmark = pytest.mark.slow

#: Of the test environment, what the new warehouse has a place of its own for.
_OWN = ("lingokids.duckdb", "lingokids-gold.duckdb", "08_reporting", "02_bronze", "03_gold")


def build_beside(project: Project, **parameters) -> str:
    """Build the green warehouse from raw; gives its file."""
    conf = project.folder / "conf"
    if conf.is_symlink():
        conf.unlink()
        shutil.copytree(ROOT / "conf", conf)
        (conf / "green").mkdir()
        places = (conf / "test" / "globals.yml").read_text()
        for name in (*_OWN, "09_shared"):
            places = places.replace(f"/{name}", f"/green-{name}")
        (conf / "green" / "globals.yml").write_text(places)
    project.switch_to()
    given = {"env": "green", "runtime_params": parameters or None}
    with KedroSession.create(project_path=project.folder, **given) as session:
        session.run()
    return str(project.folder / "green-lingokids.duckdb")


@pytest.fixture
def blue(project_after):
    """A warehouse of three loads, in which objects were sent again and lines are broken."""
    return project_after("three-loads", _take_in_a_history)


def _take_in_a_history(project: Project) -> None:
    project.deliver("events", "a", [an_event_record(1), an_event_record(2)], "2021-02-01 00:00:00")
    project.run()
    broken = an_event_record(3) | {"user_id": "nobody", "unknown": 1}
    project.deliver("events", "b", [broken, an_event_record(4, unknown=1)], "2021-02-02 00:00:00")
    project.run()
    again = [an_event_record(1, occurred_at="2021-01-07 10:00:00.000")]
    project.deliver("events", "a", again, "2021-02-03 00:00:00")
    project.run()


def test_one_built_beside_says_the_same_and_takes_its_place(blue, caplog):
    green = build_beside(blue)
    before = blue.snapshot()

    compared = ask(blue, "compare", green)
    assert compared.exit_code == 0, compared.output
    assert "They say the same." in compared.stdout
    assert "bronze_events" in compared.stdout
    with duckdb.connect(str(blue.database), read_only=True) as reader:
        # in another process: in one, the engine gives a file that is open again
        swapped = blue.command("swap", green)
        assert swapped.returncode == 0, swapped.stderr
        assert reader.execute("SELECT max(load_id) FROM bronze_events").fetchone() == (3,)
    assert blue.rows("SELECT max(load_id) FROM bronze_events") == [(1,)]

    caplog.clear()
    blue.run()  # of the environment that it is of now, published as it is
    assert "Nothing new: 0 objects read" in caplog.text
    assert_published(blue)
    with duckdb.connect(str(blue.folder / "lingokids-gold.duckdb"), read_only=True) as copy:
        (origin,) = copy.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = 'runs'"
        ).fetchone()
    assert '"environment": "test"' in origin
    assert ask(blue, "swap", green).exit_code == 0
    assert blue.snapshot() == before


def test_a_swap_that_was_killed_is_completed_by_the_same_command(blue):
    green = build_beside(blue)
    aside = blue.database.with_name(".lingokids.duckdb.swapped")
    blue.database.rename(aside)  # as it is before its last step
    Path(green).rename(blue.database)

    assert ask(blue, "swap", green).exit_code == 0

    assert not aside.exists()
    assert blue.rows("SELECT max(load_id) FROM bronze_events") == [(1,)]
    with duckdb.connect(green, read_only=True) as con:
        assert con.execute("SELECT max(load_id) FROM bronze_events").fetchone() == (3,)


def test_what_differs_is_said_by_table_and_day_without_a_value(blue):
    green = build_beside(blue)
    with duckdb.connect(green) as con:
        con.execute("UPDATE stg_events SET os_name = 'other' WHERE date = '2021-01-07'")
        con.execute("DELETE FROM stg_activities; ALTER TABLE stg_users ADD COLUMN added INT")
        con.execute("DROP TABLE q1_completion_rate")

    compared = ask(blue, "compare", green)

    assert compared.exit_code == 1
    lines = {line.split()[0]: line for line in compared.stdout.splitlines()[1:]}
    assert compared.stdout.startswith("lingokids.duckdb and green-lingokids.duckdb: 3 tables diff")
    assert "1 only here, 1 only there; of 2021-01-07" in lines["stg_events"]
    assert "only one has added" in lines["stg_users"]
    assert "is only here" in lines["q1_completion_rate"]
    assert "same" in lines["bronze_events"]
    assert "other" not in compared.stdout


def test_what_cannot_take_its_place_is_refused(blue, tmp_path):
    green = build_beside(blue)
    elsewhere = tmp_path / "elsewhere.duckdb"
    duckdb.connect(str(elsewhere)).close()
    before = blue.database.read_bytes()

    none = ask(blue, "swap", str(tmp_path / "none.duckdb"))
    empty = ask(blue, "swap", str(elsewhere))
    itself = ask(blue, "swap", str(blue.database))
    with held(blue):
        busy = blue.command("swap", green)
    with duckdb.connect(green) as con:
        (noted,) = con.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = 'table_state'"
        ).fetchone()
        noted = noted.replace("raw/events", "raw/others")
        con.execute(f"COMMENT ON TABLE table_state IS '{noted}'")
    others = ask(blue, "swap", green)

    assert "none.duckdb is not there yet" in none.output
    assert "elsewhere.duckdb is no warehouse that a run has made" in empty.output
    assert "lingokids.duckdb is the warehouse itself: name the one" in itself.output
    assert "lingokids.duckdb is in use by another process" in busy.stderr
    assert "green-lingokids.duckdb is of raw_events at raw/others" in others.output
    assert blue.database.read_bytes() == before


def test_a_swap_that_is_refused_leaves_the_other_of_its_own_environment(blue):
    green = build_beside(blue)
    writer = "con = duckdb.connect(sys.argv[1]); con.execute('CREATE TABLE made (a INT)')"
    script = f"import duckdb, os, sys; {writer}; os._exit(0)"  # as a killed run
    subprocess.run([sys.executable, "-c", script, str(blue.database)], check=True)
    built = Path(green).read_bytes()

    refused = ask(blue, "swap", green)

    assert "A killed run left lingokids.duckdb.wal: run there once, then swap." in refused.output
    assert Path(green).read_bytes() == built
