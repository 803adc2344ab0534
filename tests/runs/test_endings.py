"""However a run ends, it is closed, told once and recorded; the next one removes what it left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.framework.session import session as kedro_session
from kedro.framework.session.service_session import KedroServiceSession
from kedro.runner import SequentialRunner, ThreadRunner, runner

from builders import an_event_record
from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.pipelines.enrichment import nodes as enrichment
from lingokids.runtime import preconditions
from lingokids.runtime.configuration import ConfigLoader
from lingokids.runtime.records import Run
from lingokids.storage.duckdb import warehouse
from lingokids.storage.duckdb.stored import StoredTable
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.records import id_of_run
from published import the_rows

pytestmark = pytest.mark.slow

IN_A_NODE = (enrichment, "subscription_status")
IN_A_SAVE = (StoredTable, "replace_due")
BETWEEN_NODES = (runner.AbstractRunner, "_release_datasets")
AT_THE_BEGINNING = (preconditions, "refuse_to_restore_over_loads")
AT_THE_END = (Run, "record_success")


class RunnerOfOnesOwn(ThreadRunner):
    """A runner with another name."""

    def __str__(self) -> str:
        return "mine"


@pytest.fixture
def delivered(begun_project):
    """One event taken in, and another to be."""
    begun_project.deliver("events", "b", [an_event_record(2)])
    return begun_project


def _raise(error):
    def end(*_args, **_named):
        raise error

    return end


ENDS = (
    *((place, KeyboardInterrupt) for place in (IN_A_NODE, IN_A_SAVE, BETWEEN_NODES)),
    *((place, KeyboardInterrupt) for place in (AT_THE_BEGINNING, AT_THE_END)),
    *((IN_A_NODE, end) for end in (SystemExit, GeneratorExit)),
    (BETWEEN_NODES, GeneratorExit),
)


def test_runs_that_end_by_no_exception_are_rolled_back_and_closed(delivered, monkeypatch):
    before = delivered.snapshot()
    for place, end in ENDS:
        with monkeypatch.context() as patch:
            patch.setattr(*place, _raise(end))
            with pytest.raises(end):
                delivered.run()

        _assert_closed(delivered, before)

    delivered.run()
    assert delivered.rows("SELECT count(*) FROM stg_events") == [(2,)]


def _assert_closed(project, before) -> None:
    """The file is let go, and every table is as it was."""
    assert not any(each.in_run for each in Warehouse._known.values())
    assert project.is_free
    assert project.snapshot() == before


class Plugin:
    """A plugin that fails where it is told of a run."""

    @hook_impl(trylast=True)
    def before_pipeline_run(self):
        self._fail("before")

    @hook_impl
    def on_pipeline_error(self):
        self._fail("error")

    @hook_impl
    def after_pipeline_run(self):
        self._fail("after")

    def __init__(self, place: str) -> None:
        self._place = place

    def _fail(self, place: str) -> None:
        if place == self._place:
            raise RuntimeError("the plugin fails")


@pytest.mark.parametrize("kind", [kedro_session.KedroSession, KedroServiceSession])
def test_runs_that_a_plugin_ends_are_rolled_back_and_closed(delivered, monkeypatch, kind):
    before = delivered.snapshot()
    for place, recorded in (("before", 0), ("after", 0), ("error", 1)):
        with monkeypatch.context() as patch:
            if place == "error":
                patch.setattr(*IN_A_NODE, _raise(LingokidsError("It is what it is.")))
            session = kind.create(delivered.folder, env="test")
            session._hook_manager.register(Plugin(place))
            with pytest.raises(RuntimeError, match="the plugin fails"):
                session.run()

        _assert_closed(delivered, before)
        failed = delivered.rows("SELECT count(*) FROM runs WHERE status = 'failed'")
        assert failed == [(recorded,)], place
    delivered.run()


@pytest.mark.parametrize(
    ("threads", "pipeline"),
    [
        (RunnerOfOnesOwn(), "__default__"),
        (RunnerOfOnesOwn(), "marts"),
        (SequentialRunner(is_async=True), "ingestion"),
        (SequentialRunner(is_async=True), "marts"),
        (SequentialRunner(is_async=True), "reporting"),
    ],
)
def test_threads_that_load_and_save_are_refused_however_they_are_asked_for(
    delivered, threads, pipeline
):
    before = delivered.snapshot()

    with pytest.raises(Exception, match=r"have threads load and save|generator functions"):
        delivered.run_selected({"runner": threads, "pipeline_names": [pipeline]})

    assert delivered.snapshot() == before
    assert delivered.rows("SELECT count(*) FROM runs WHERE status = 'succeeded'") == [(1,)]


def test_is_async_among_the_parameters_of_the_runner_is_refused_in_a_sentence(delivered):
    refused = delivered.invoke("run", "--runner-params", "is_async=True")

    assert refused.exit_code == 1
    assert "--async cannot be used" in refused.stderr


@pytest.mark.parametrize("place", [AT_THE_END, (Warehouse, "commit")])
def test_a_failure_to_record_or_to_commit_is_recorded(delivered, monkeypatch, place):
    before = delivered.snapshot()
    owner, name = place
    works = getattr(owner, name)

    def fail_once(*arguments):
        monkeypatch.setattr(owner, name, works)
        raise LingokidsError("The disk is full")

    monkeypatch.setattr(owner, name, fail_once)
    with pytest.raises(LingokidsError, match="The disk is full"):
        delivered.run()

    assert delivered.snapshot() == before
    recorded = "SELECT status, failure FROM runs ORDER BY run_id"
    assert delivered.rows(recorded) == [("succeeded", None), ("failed", "The disk is full")]


@pytest.mark.parametrize(
    ("place", "node"),
    [(IN_A_NODE, "enrichment.enrich_events"), (IN_A_SAVE, "staging.stage_activities")],
)
def test_why_a_node_failed_is_said_once(delivered, monkeypatch, caplog, place, node):
    monkeypatch.setattr(*place, _raise(LingokidsError("It is what it is.")))

    refused = delivered.invoke("run")

    said = caplog.text + refused.output
    assert said.count("It is what it is.") == 1
    assert f"The run failed in {node}. " in said
    failure = "SELECT failure FROM runs WHERE status = 'failed'"
    assert delivered.rows(failure) == [(f"{node}: It is what it is.",)]


def test_ids_of_runs_never_go_back():
    last = "2026-01-01T00.00.00.999Z"

    assert id_of_run("2026-01-01T00.00.01.000Z", None) == "2026-01-01T00.00.01.000Z"
    assert id_of_run("2026-01-01T00.00.01.500Z", last) == "2026-01-01T00.00.01.500Z"
    assert id_of_run(last, last) == "2026-01-01T00.00.01.000Z"
    assert id_of_run("2019-01-01T00.00.00.000Z", last) == "2026-01-01T00.00.01.000Z"
    assert id_of_run("nightly", last) > last
    assert id_of_run("nightly", last) != "nightly"
    no_day = "2026-13-45T00.00.00.000Z"
    assert id_of_run(no_day, None) != no_day
    assert id_of_run("2026-1-2T0.0.0.5Z", None) == "2026-01-02T00.00.00.500Z"


def test_a_run_whose_clock_is_behind_is_the_newest_everywhere(delivered, monkeypatch):
    monkeypatch.setattr(kedro_session, "generate_timestamp", lambda: "2019-01-01T00.00.00.000Z")
    delivered.run()

    events = "SELECT sum(activities_played)::INTEGER FROM activity_engagement_metrics"
    newest = "SELECT max(run_id) FROM runs"
    with duckdb.connect(str(delivered.folder / "lingokids-gold.duckdb"), read_only=True) as copy:
        assert copy.execute(events).fetchall() == [(2,)]
        assert copy.execute(newest).fetchall() == delivered.rows(newest)
    assert delivered.row_counts()["bronze_events"] == 2
    newest_steps = f"SELECT DISTINCT table_name FROM run_steps WHERE run_id = ({newest})"
    assert ("stg_events",) in delivered.rows(newest_steps)
    reports = sorted((delivered.folder / "08_reporting" / "checks").glob("*.html"))
    assert [(reports[-1].stem,)] == delivered.rows(newest)
    table = "activity_engagement_metrics"
    assert the_rows(delivered.folder / "03_gold", table) == delivered.table(table)


def test_what_a_killed_run_left_is_removed_by_the_next(delivered):
    spilled = delivered.folder / "lingokids.duckdb.tmp"
    spilled.mkdir()
    (spilled / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"rows")
    for name in (".4194304", ".part", ".part.wal"):
        (delivered.folder / f".lingokids-gold.duckdb{name}").write_bytes(b"half")

    delivered.run()

    names = sorted(path.name for path in delivered.folder.glob("*lingokids*"))
    hidden = sorted(path.name for path in delivered.folder.glob(".lingokids*"))
    assert names + hidden == ["lingokids-gold.duckdb", "lingokids.duckdb"]


@pytest.mark.parametrize("name", ["clock", "lockers"])
def test_a_folder_that_cannot_be_written_is_said_at_once_whatever_its_name(
    project, monkeypatch, name
):
    monkeypatch.setattr(warehouse, "LOCK_WAIT_SECONDS", 60.0)
    folder = project.folder / name
    folder.mkdir()
    (folder / "w.duckdb").mkdir()

    with pytest.raises(LingokidsError, match="cannot be opened as a DuckDB file"):
        Warehouse(folder / "w.duckdb", folder / "g.duckdb", None).begin()


def test_a_connection_that_the_process_has_open_is_named(delivered):
    with (
        duckdb.connect(str(delivered.database), read_only=True),
        pytest.raises(LingokidsError, match=r"is open in this process already: close that"),
    ):
        delivered.run()

    delivered.run()


def test_two_runs_of_one_process_take_turns(delivered, monkeypatch):
    """The one that waits too long ends in a sentence; the other is not disturbed."""
    monkeypatch.setattr(warehouse, "LOCK_WAIT_SECONDS", 0.2)
    status, errors = enrichment.subscription_status, []

    def run_beside(events):
        monkeypatch.setattr(enrichment, "subscription_status", status)
        beside = threading.Thread(target=try_to_run)
        beside.start()
        beside.join()
        return status(events)

    def try_to_run():
        try:
            delivered.run()
        except LingokidsError as error:
            errors.append(error.message)

    monkeypatch.setattr(enrichment, "subscription_status", run_beside)
    delivered.run()

    assert errors == [
        "lingokids.duckdb is in use by another run in this process: run again when it ends."
    ]
    assert delivered.rows("SELECT count(*) FROM stg_events") == [(2,)]
    assert delivered.rows("SELECT DISTINCT status FROM runs") == [("succeeded",)]
    delivered.run()


def test_sessions_of_several_threads_read_their_own_configuration(delivered):
    """Kedro's resolvers are those of the process: else one resolves by the places of another."""
    expected = {"base": ROOT / "data" / "lingokids.duckdb", "test": delivered.database}

    def databases(environment):
        found = set()
        for _ in range(20):
            conf = str(delivered.folder / "conf")
            loader = ConfigLoader(conf, environment, {}, **settings.CONFIG_LOADER_ARGS)
            found.add(loader["catalog"]["stg_users"]["warehouse"]["database"])
        return found

    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(databases, expected)]

    assert found == [{str(database)} for database in expected.values()]


def test_another_thread_sees_what_is_committed(delivered, monkeypatch):
    status, seen = enrichment.subscription_status, []

    def read_beside(events):
        beside = threading.Thread(target=read)
        beside.start()
        beside.join()
        return status(events)

    def read():
        with kedro_session.KedroSession.create(delivered.folder, env="test") as session:
            gold = session.load_context().catalog.load("activity_engagement_metrics")
            seen.append(int(gold.activities_played.sum().execute()))

    monkeypatch.setattr(enrichment, "subscription_status", read_beside)
    delivered.run()

    assert set(seen) == {1}


def test_a_run_that_reads_the_warehouse_takes_its_turn(delivered, monkeypatch):
    """Else a run of the same process would find the file open."""
    monkeypatch.setattr(warehouse, "LOCK_WAIT_SECONDS", 0.2)
    copy = delivered.folder / "lingokids-gold.duckdb"
    shared = Warehouse.at(str(delivered.database), str(copy))
    shared.begin_reading(gold_alone=False)
    errors = []

    def try_to_run():
        with pytest.raises(LingokidsError) as error:
            delivered.run()
        errors.append(error.value.message)

    beside = threading.Thread(target=try_to_run)
    beside.start()
    beside.join()
    shared.close()

    assert errors == [
        "lingokids.duckdb is in use by another run in this process: run again when it ends."
    ]
    delivered.run()
