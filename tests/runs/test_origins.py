"""A warehouse is of one environment and its raw places: others are refused, with what to write."""

from __future__ import annotations

import shutil

import duckdb
import pytest
from kedro.framework.session import KedroSession

from builders import an_event_record
from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.runtime.preconditions import _place

pytestmark = pytest.mark.slow


@pytest.fixture
def based(begun_project):
    """One event taken in; its conf may be changed, and another event lies elsewhere."""
    (begun_project.folder / "conf").unlink()
    shutil.copytree(ROOT / "conf", begun_project.folder / "conf")
    begun_project.deliver("../mine/events", "a", [an_event_record(7)])
    return begun_project


def _overlay(project, name: str, *changes: tuple[str, str]) -> None:
    """Make an environment as ``test`` is, with other places."""
    file = project.folder / "conf" / "test" / "globals.yml"
    text = file.read_text()
    for before, after in changes:
        text = text.replace(before, after, 1)
    (project.folder / "conf" / name).mkdir(exist_ok=True)
    (project.folder / "conf" / name / "globals.yml").write_text(text)


OTHER_EVENTS = ("/raw/events", "/mine/events")


def _run(project, env: str, *arguments: str):
    return project.invoke("run", "--env", env, *arguments)


def test_an_environment_that_overlays_raw_alone_is_refused_with_the_lines_to_write(based):
    before = based.snapshot()
    _overlay(based, "mine", OTHER_EVENTS)

    refused = _run(based, "mine")

    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        "Error: lingokids.duckdb is of environment test, and this run is of mine. Nothing was "
        "changed. Give it places of its own, in conf/mine/globals.yml:\n\nwarehouse:\n"
    )
    assert based.snapshot() == before

    # the lines are pasted, with the folder of this test for that of the project
    lines = refused.stderr.partition("globals.yml:")[2].replace("${project:data", str(based.folder))
    raw = f"raw:\n  arrival: modified\n  events: {based.folder}/mine/events\n"
    for name in ("users", "activities", "exercises"):
        raw += f"  {name}: {based.folder}/raw/{name}\n"
    (based.folder / "conf" / "mine" / "globals.yml").write_text(raw + lines.replace('}"', '"'))
    assert _run(based, "mine").exit_code == 0
    with duckdb.connect(str(based.folder / "lingokids-mine.duckdb"), read_only=True) as mine:
        assert mine.execute("SELECT count(*) FROM bronze_events").fetchall() == [(1,)]
    assert (based.folder / "03_gold_mine").is_dir()
    assert based.snapshot() == before


OWN_WAREHOUSE = ("/lingokids.duckdb", "/own.duckdb")
OWN_COPY = ("/lingokids-gold.duckdb", "/own-gold.duckdb")


@pytest.mark.parametrize(
    ("own", "thing"),
    [
        ((), "lingokids.duckdb is of"),
        ((OWN_WAREHOUSE,), "lingokids-gold.duckdb is of"),
        ((OWN_WAREHOUSE, OWN_COPY), "02_bronze is not (it is of"),
    ],
)
def test_each_place_of_another_environment_is_refused(based, own, thing):
    _overlay(based, "mine", OTHER_EVENTS, *own)
    before = based.snapshot()

    refused = _run(based, "mine")

    assert refused.exit_code == 1
    assert f"{thing} environment test" in refused.stderr
    assert based.snapshot() == before


@pytest.mark.parametrize(
    "arguments", [("run", "--pipeline", "reporting"), ("metrics", "-m", "active_users")]
)
def test_reading_the_copy_of_another_environment_is_refused(based, arguments):
    _overlay(based, "mine", OTHER_EVENTS)

    refused = based.command(*arguments, "--env", "mine")

    assert "lingokids-gold.duckdb is of environment test" in refused.stderr


def test_other_raw_places_of_an_environment_are_refused_or_taken_in_again(based):
    before = based.snapshot()
    _overlay(based, "test", ("/raw/events", "/moved/events"))
    shutil.copytree(based.folder / "raw" / "events", based.folder / "moved" / "events")

    refused = based.invoke("run")
    assert "is of raw_events at raw/events, and this run has it at moved/events" in refused.stderr
    assert based.snapshot() == before

    for arguments in (["--params", "rebuild=raw"], []):
        assert based.invoke("run", *arguments).exit_code == 0
    assert based.rows("SELECT count(*) FROM bronze_events") == [(1,)]


def test_a_slash_at_the_end_is_no_other_place(tmp_path):
    for place in ("s3://raw-events", str(tmp_path / "raw")):
        assert _place(f"{place}/", tmp_path) == _place(place, tmp_path)


def test_a_copy_of_other_raw_places_is_refused(based):
    before = based.snapshot()
    copy = (based.folder / "lingokids-gold.duckdb").read_bytes()
    _overlay(based, "test", OTHER_EVENTS, OWN_WAREHOUSE)

    for pipeline in ([], ["--pipeline", "ingestion"]):
        refused = based.invoke("run", *pipeline)
        assert "lingokids-gold.duckdb is of raw_events at raw/events" in refused.stderr
    assert (based.folder / "lingokids-gold.duckdb").read_bytes() == copy
    assert based.snapshot() == before


def test_a_rebuild_from_another_place_that_lacks_objects_is_refused(based):
    _overlay(based, "test", OTHER_EVENTS)
    (based.folder / "mine" / "events" / "a").rename(based.folder / "mine" / "events" / "b")

    refused = based.invoke("run", "--params", "rebuild=raw")

    assert "rebuild=raw would lose 1 objects of events" in refused.stderr


def test_a_moved_project_and_a_warehouse_without_memory_are_taken_as_they_are(
    begun_project, new_project
):
    with duckdb.connect(str(begun_project.database)) as con:
        con.execute("COMMENT ON TABLE table_state IS NULL")
    moved = new_project()
    shutil.rmtree(moved.folder)
    begun_project.folder.rename(moved.folder)

    moved.run()
    moved.run("marts", window={"start": "2021-01-01"})

    comments = "SELECT comment FROM duckdb_tables() WHERE table_name = 'table_state'"
    ((comment,),) = moved.rows(comments)
    assert '"environment": "test"' in comment
    assert '"raw_events": "raw/events"' in comment


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--pipeline", "reporting"),
        ("metrics", "-m", "active_users"),
        ("viz", "run", "--no-browser"),
        ("server", "start"),
    ],
)
def test_an_environment_that_is_not_there_is_one_sentence(project, arguments):
    refused = project.command(*arguments, "--env", "tset")

    assert refused.returncode == 1
    assert refused.stderr == (  # and no traceback
        "Error: There is no environment tset. Did you mean test? There are: base, dev, local, "
        "minio, prod, spark, staging, test.\n"
    )


def test_an_environment_that_is_not_there_is_one_sentence_in_a_notebook(project):
    with (
        KedroSession.create(project.folder, env="tset") as session,
        pytest.raises(LingokidsError, match="There is no environment tset"),
    ):
        session.run()
