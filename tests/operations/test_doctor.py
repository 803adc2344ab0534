"""Whatever would keep a run from its work is found, with its cure; each is brought about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pytest

from conftest import Project
from lingokids.operations.doctor import examine
from lingokids.runtime.alerts import told_file
from minio_server import free_address
from operators import ask, configure, held
from set_up_server import PIPELINE, admin, init

pytestmark = pytest.mark.slow

_KILLED = """
import duckdb, os, sys
con = duckdb.connect(sys.argv[1])
con.execute("CREATE TABLE made AS SELECT 1 AS a")
os._exit(0)
"""


def test_a_sound_project_may_run_and_nothing_is_written(fresh_project):
    before = {path: path.read_bytes() for path in fresh_project.folder.glob("*.duckdb*")}

    done = ask(fresh_project, "doctor")

    assert done.exit_code == 0, done.stdout
    assert "FAILED" not in done.stdout
    assert {path: path.read_bytes() for path in fresh_project.folder.glob("*.duckdb*")} == before
    assert fresh_project.is_free


def test_a_project_without_a_run_is_sound(project):
    assert ask(project, "doctor").exit_code == 0
    assert not project.database.exists()


def _remove_users(project: Project) -> None:
    (project.folder / "raw" / "users").rmdir()


def _file_in_place_of_a_lake(project: Project) -> None:
    (project.folder / "02_bronze").write_text("")


def _huge_warehouse(project: Project) -> None:
    os.truncate(project.database, 2**43)


def _limit_above_memory(project: Project) -> None:
    configure(project, "globals.yml", "memory_limit: 1GB", "memory_limit: 900TB")


def _killed_writer(project: Project) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(project.database)], check=True)


def _dropped_column(project: Project) -> None:
    with duckdb.connect(str(project.database)) as con:
        con.execute("ALTER TABLE stg_users DROP country_code")


def _wrong_parameter(project: Project) -> None:
    configure(project, "parameters.yml", "session_gap_minutes: 30", "session_gap_minutes: 0")


@pytest.mark.parametrize(
    ("fault", "check", "cure"),
    [
        (_remove_users, "raw_users", "raw/users is not there: create the folder"),
        (_file_in_place_of_a_lake, "lake bronze", "02_bronze is no folder: mend that, or change"),
        (_huge_warehouse, "disk", "a rebuild may need 8.8 TB: free disk space"),
        (_limit_above_memory, "memory", "memory_limit is 900.0 TB, and there are .*: lower it"),
        (_killed_writer, "files", r"left lingokids\.duckdb\.wal: .*uv run kedro run takes in"),
        (_dropped_column, "warehouse", "stg_users was made by another version .* rebuild=bronze"),
        (_wrong_parameter, "configuration", "session_gap_minutes is 0: write a whole number of"),
    ],
)
def test_a_fault_is_found_with_its_cure(
    begun_project, fault: Callable[[Project], None], check: str, cure: str
):
    for folder in begun_project.folder.glob("0[23]_*"):
        folder.rename(begun_project.folder / f"away-{folder.name}")
    fault(begun_project)

    done = ask(begun_project, "doctor")

    assert done.exit_code == 1
    assert re.search(rf" {check} +FAILED  .*{cure}", done.stdout), done.stdout
    # .wal and size make others of a file that is no file of the engine
    assert done.stdout.count("FAILED") <= (3 if fault is _limit_above_memory else 2)


def test_what_alerts_have_told_was_left_by_no_killed_run(begun_project):
    told_file(begun_project.database).write_text("{}")

    assert "FAILED" not in ask(begun_project, "doctor").stdout


def test_the_holder_of_the_warehouse_is_named(begun_project):
    with held(begun_project) as pid:
        said = ask(begun_project, "doctor")

    assert said.exit_code == 1
    assert re.search(rf"warehouse +FAILED .*\(PID {pid}, .*Wait until it ends, or", said.stdout)


def test_what_killed_readers_spilled_is_named_after_a_day(begun_project, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spilled = tmp_path / "lingokids-5f1c4a3e-1111-4222-8333-444455556666"
    spilled.mkdir()
    assert ask(begun_project, "doctor").exit_code == 0
    os.utime(spilled, (time.time() - 90_000,) * 2)

    said = ask(begun_project, "doctor")

    assert said.exit_code == 1
    assert re.search(rf"left 1 folder such as {spilled}: remove", said.stdout)


@pytest.mark.slow
def test_another_version_of_a_package_is_named(begun_project, tmp_path):
    metadata = tmp_path / "duckdb-2.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: duckdb\nVersion: 2.0.0\n")

    done = begun_project.command("doctor", PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert re.search(r"versions +FAILED +duckdb is 2\.0\.0, wanted .*: uv sync", done.stdout)


# --- a server -------------------------------------------------------------------------------


@pytest.mark.minio
def test_a_server_that_is_set_up_is_sound(minio_project, monkeypatch):
    init(minio_project.server)
    found = _found(minio_project, monkeypatch, **PIPELINE, **_root(minio_project))

    assert not [each for each in found.values() if not each.is_ok]
    assert found["policy"].says.startswith("the-pipeline may do what its policy says on http")
    assert not minio_project.server.filesystem.ls("bronze")


@pytest.mark.minio
@pytest.mark.parametrize(
    ("variables", "check", "cure"),
    [
        ({"MINIO_SECRET_KEY": "wrong-secret"}, "raw_events", "check MINIO_ACCESS_KEY and MINIO_SE"),
        ({"MINIO_SECRET_KEY": "wrong-secret"}, "lake gold", "check MINIO_ACCESS_KEY and MINIO_SE"),
        ({"MINIO_ENDPOINT": "nobody"}, "raw_users", "refused.: start the server, or check MINIO_"),
        ({"MINIO_ENDPOINT": "nobody"}, "clock", "MINIO_ENDPOINT cannot be asked for the time"),
        ({"MINIO_ENDPOINT": "late"}, "clock", "is 3,6.. s ahead of the server's: set the clock"),
    ],
)
def test_what_a_server_refuses_is_found_with_its_cure(
    minio_project, monkeypatch, variables, check, cure
):
    with _telling(datetime.now(UTC) - timedelta(hours=1)) as late:
        places = {"nobody": f"http://{free_address()}", "late": late}
        given = {name: places.get(value, value) for name, value in variables.items()}
        found = _found(minio_project, monkeypatch, **given)

    assert not found[check].is_ok
    assert re.search(cure, found[check].says), found[check].says
    assert "wrong-secret" not in str(found)


@pytest.mark.minio
def test_rights_beyond_the_policy_and_a_missing_bucket_are_found(minio_project, monkeypatch):
    init(minio_project.server)
    root = admin(minio_project.server)
    root.policy_set("readwrite", user=PIPELINE["MINIO_ACCESS_KEY"])
    minio_project.server.filesystem.rmdir("gold")

    found = _found(minio_project, monkeypatch, **PIPELINE, **_root(minio_project))

    assert [name for name, each in found.items() if not each.is_ok] == ["lake gold", "policy"]
    assert "create the bucket" in found["lake gold"].says
    assert "kedro lake init --without-sample sets that right" in found["policy"].says


def _found(project, monkeypatch, **variables: str):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {each.check: each for each in examine(Path(project.folder), "minio")}


def _root(project) -> dict[str, str]:
    server = project.server
    return {"MINIO_ROOT_USER": server.user, "MINIO_ROOT_PASSWORD": server.password}


@contextmanager
def _telling(instant: datetime) -> Iterator[str]:
    """A server whose clock says this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()

        def date_time_string(self, timestamp=None) -> str:
            return format_datetime(instant, usegmt=True)

        def log_message(self, *_arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
