"""No key, secret or signed URL in what a run says, in its records, or in what kedro-viz shows."""

from __future__ import annotations

import re

import pytest
import yaml

from builders import an_event_record

pytestmark = pytest.mark.minio

SECRET = "Secret-0f-these-tests"


@pytest.fixture
def talkative(minio_project):
    """The project with every logger at its most talkative."""
    path = minio_project.folder / "conf" / "logging.yml"
    logging = yaml.safe_load(path.read_text())
    levels = logging["loggers"].values()
    for logger in [*levels, logging["root"]]:
        logger["level"] = "DEBUG"
    path.write_text(yaml.safe_dump(logging))
    minio_project.deliver("events", "a.jsonl", [an_event_record()])
    return minio_project


def leaks(said: str, *secrets: str) -> list[str]:
    signatures = re.findall(r"(?i)signature[=:]\s*[0-9a-f]{32,}", said)
    return [secret for secret in secrets if secret in said] + signatures


@pytest.mark.parametrize(
    "wrong",
    [
        {"MINIO_SECRET_KEY": SECRET},
        {"MINIO_ACCESS_KEY": SECRET},
        {"MINIO_ENDPOINT": "http://127.0.0.1:1", "MINIO_SECRET_KEY": SECRET},
        {"MINIO_ENDPOINT": f"http://someone:{SECRET}@127.0.0.1:1"},
        {"MINIO_CA_FILE": "/no/such/file", "MINIO_SECRET_KEY": SECRET},
    ],
)
def test_a_run_that_fails_while_all_is_logged_shows_no_secret(talkative, wrong):
    server = talkative.server

    run = talkative.command("run", **wrong, RUST_BACKTRACE="full", RUST_LOG="trace")

    said = run.stdout + run.stderr
    assert run.returncode == 1, said
    print(said)
    assert "DEBUG" in said
    assert leaks(said, SECRET, server.user, server.password) == []
    if talkative.database.exists():
        recorded = talkative.rows("FROM duckdb_tables() WHERE table_name = 'runs'")
        records = str(talkative.rows("SELECT * FROM runs") if recorded else "")
        assert leaks(records, SECRET, server.user, server.password) == []


def test_a_run_that_succeeds_while_all_is_logged_shows_no_secret(talkative):
    run = talkative.command("run", "--pipeline", "ingestion")

    assert run.returncode == 0, run.stderr
    assert leaks(run.stdout + run.stderr, talkative.server.user, talkative.server.password) == []
    for file in talkative.folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and "src" not in file.parts:
            said = file.read_bytes().decode("latin-1")
            assert leaks(said, talkative.server.user, talkative.server.password) == [], file


def test_a_raw_dataset_shows_no_secret(talkative):
    from kedro.framework.session import KedroSession

    with KedroSession.create(project_path=talkative.folder, env="minio") as session:
        source = session.load_context().catalog.get("raw_events")
        shown = [repr(source), str(source), str(source._describe()), str(source.preview(5))]
        shown += [str(source.metadata), repr(source.store())]
        shown += [str(vars(source.store())), str(vars(source.store()._client))]

    assert "a.jsonl" in shown[3]
    assert leaks(" ".join(shown), talkative.server.user, talkative.server.password) == []
