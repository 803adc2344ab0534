"""A server that fails: one sentence or success, nothing half taken in, and running again cures."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
from kedro.io import DatasetError
from minio import Minio, MinioAdmin
from minio.commonconfig import ComposeSource
from minio.credentials import StaticProvider

from builders import an_event_record
from faulty_proxy import Fault, Stopwatch, proxy
from lingokids.errors import LingokidsError
from minio_server import MinioProject

pytestmark = pytest.mark.minio

KEY = "2021-02-01/00/a.jsonl"


@pytest.fixture
def taken_in(minio_project) -> MinioProject:
    """A project that has taken in one event, and has another to take in."""
    minio_project.deliver("events", "2021-02-01/00/first.jsonl", [an_event_record(1)])
    minio_project.run()
    minio_project.deliver("events", KEY, [an_event_record(2)])
    return minio_project


def ask(project: MinioProject, **settings: float) -> None:
    """Let the project ask its server as told."""
    places = project.folder / "conf" / "base" / "globals.yml"
    lines = places.read_text().splitlines()
    for name, value in settings.items():
        (at,) = (i for i, line in enumerate(lines) if line.startswith(f"  {name}:"))
        lines[at] = f"  {name}: {value}"
    places.write_text("\n".join(lines))


def peak_of(run: subprocess.Popen[str]) -> int:
    """The most memory it had until its end, in MiB: of this program, not of those before it."""
    peak = 0
    while run.poll() is None:
        status = Path(f"/proc/{run.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            peak = int(found[1]) >> 10
        time.sleep(0.05)
    return peak


def assert_refused(project: MinioProject, sentence: str, **environment: str) -> None:
    """The run fails with one sentence, and changes nothing."""
    before = project.snapshot()

    with pytest.raises(DatasetError) as refused:
        project.run_with(**environment)

    said = str(refused.value)
    assert sentence in said
    assert "Nothing was changed" in said
    variables = project.environment | environment
    secrets = variables["MINIO_ACCESS_KEY"], variables["MINIO_SECRET_KEY"]
    assert not [each for each in (*secrets, "X-Amz-", "Authorization") if each in said]
    assert project.snapshot() == before


def assert_cured(project: MinioProject, events: int = 2, **environment: str) -> None:
    """Running again takes in what was left."""
    if environment:
        project.run_with("ingestion", **environment)
    project.run()
    assert len(project.table("stg_events")) == events


def a_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_server_that_is_down_is_named(taken_in):
    nobody = f"http://127.0.0.1:{a_free_port()}"

    refused = taken_in.command("run", MINIO_ENDPOINT=nobody)

    assert refused.returncode == 1
    assert f"{nobody} cannot be reached (connection refused)" in refused.stderr
    assert refused.stderr.count("Error: ") == 1
    assert "Traceback" not in refused.stdout + refused.stderr
    assert_cured(taken_in)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "http://", "http://a:secret@b"])
def test_an_endpoint_that_is_no_url_is_refused(minio_project, endpoint):
    with pytest.raises(DatasetError, match="MINIO_ENDPOINT is not the URL of a server") as refused:
        minio_project.run_with(MINIO_ENDPOINT=endpoint)

    assert "secret@" not in str(refused.value)


def test_credentials_that_are_not_set_are_asked_for(minio_project):
    with pytest.raises(DatasetError, match="needs credentials, and secret is not set: set MINIO_E"):
        minio_project.run_with(MINIO_SECRET_KEY="")


def test_what_a_server_does_not_allow_is_named_and_changes_nothing(taken_in):
    accepts = "does not accept the credentials ({}): check MINIO_ACCESS_KEY".format
    wrong = "Wr0ng-credential"
    assert_refused(taken_in, accepts("InvalidAccessKeyId"), MINIO_ACCESS_KEY=wrong)
    assert_refused(taken_in, accepts("SignatureDoesNotMatch"), MINIO_SECRET_KEY=wrong)

    for denied, place in (
        ("s3:ListBucket", "s3://raw-activities may not be listed"),
        ("s3:GetObject", "s3://bronze/erasures.json may not be read"),
    ):
        user = {"MINIO_ACCESS_KEY": f"{denied[3:]}-of-tests", "MINIO_SECRET_KEY": "secret-of-tests"}
        add_user(taken_in, user, denied)
        sentence = f"{place} with these credentials (AccessDenied): allow their user {denied} on it"
        assert_refused(taken_in, sentence, **user)

    taken_in.server.filesystem.rmdir("raw-users")
    assert_refused(taken_in, "s3://raw-users is not there (NoSuchBucket): create the bucket")

    taken_in.server.filesystem.mkdir("raw-users")
    assert_cured(taken_in)


def add_user(project: MinioProject, user: dict[str, str], denied: str) -> None:
    """A user who may do anything but ``denied``."""
    admin = MinioAdmin(
        endpoint=project.server.address,
        credentials=StaticProvider(project.server.user, project.server.password),
        secure=False,
    )
    effects = {"Allow": ["s3:*"], "Deny": [denied]}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": effect, "Action": actions, "Resource": ["arn:aws:s3:::*"]}
            for effect, actions in effects.items()
        ],
    }
    file = project.folder / "policy.json"
    file.write_text(json.dumps(policy))
    admin.user_add(user["MINIO_ACCESS_KEY"], user["MINIO_SECRET_KEY"])
    admin.policy_add("of-tests", str(file))
    admin.policy_set("of-tests", user=user["MINIO_ACCESS_KEY"])


def test_a_connection_cut_in_the_middle_is_taken_up_again(taken_in):
    cut = Fault(KEY, "cut", times=1)
    with proxy(taken_in.server.endpoint, cut) as endpoint:
        assert_cured(taken_in, MINIO_ENDPOINT=endpoint)
    assert cut.met


def test_a_server_that_fails_all_the_while_ends_the_run_in_a_bounded_time(taken_in):
    ask(taken_in, retries=2)
    with proxy(taken_in.server.endpoint, Fault(KEY, "cut")) as endpoint:
        sentence = f"broke off again and again when s3://raw-events/{KEY} was to be read"
        assert_refused(taken_in, sentence, MINIO_ENDPOINT=endpoint)

    ask(taken_in, retries=3)
    storm = Fault(KEY, "busy")
    with proxy(taken_in.server.endpoint, storm) as endpoint:
        sentence = "answered 503 SlowDown again and again (3 retries within 60 s)"
        assert_refused(taken_in, sentence, MINIO_ENDPOINT=endpoint)
    assert len(storm.met) == 4

    ask(taken_in, retries=1, stall_seconds=1, retry_seconds=5)
    for part in "list-type", KEY:
        stopwatch = Stopwatch()
        with proxy(taken_in.server.endpoint, Fault(part, "stall")) as endpoint:
            sentence = "is too slow and sent nothing for 1 s"
            assert_refused(taken_in, sentence, MINIO_ENDPOINT=endpoint)
        assert stopwatch.seconds < 30

    assert_cured(taken_in)


def test_a_server_that_hangs_when_it_is_published_to_ends_the_run_in_a_bounded_time(taken_in):
    ask(taken_in, retries=1, stall_seconds=1, retry_seconds=5)
    stopwatch = Stopwatch()
    with (
        proxy(taken_in.server.endpoint, Fault("publication.json", "stall")) as endpoint,
        pytest.raises(
            LingokidsError, match=r"run is committed.*slow and sent nothing for 1 s"
        ) as e,
    ):
        taken_in.run_with(MINIO_ENDPOINT=endpoint)

    assert stopwatch.seconds < 30
    assert "Nothing was changed" not in str(e.value)
    assert_cured(taken_in)


def test_a_server_that_is_busy_for_a_while_is_waited_for(taken_in):
    storms = [Fault("list-type", "busy", times=3), Fault(KEY, "busy", times=4)]
    with proxy(taken_in.server.endpoint, *storms) as endpoint:
        assert_cured(taken_in, MINIO_ENDPOINT=endpoint)
    assert [len(storm.met) for storm in storms] == [3, 4]


def test_an_object_deleted_before_it_is_read_is_left_out(taken_in, caplog):
    filesystem = taken_in.server.filesystem
    gone = Fault(KEY, "late", times=1, act=lambda: filesystem.rm(f"raw-events/{KEY}"))
    with proxy(taken_in.server.endpoint, gone) as endpoint:
        taken_in.run_with("ingestion", MINIO_ENDPOINT=endpoint)

    assert f"{KEY} changed or is gone: the next run takes it in." in caplog.text
    assert len(taken_in.table("ingested_objects")) == 1
    caplog.clear()
    taken_in.run()
    assert "Nothing new" in caplog.text


def test_an_object_overwritten_before_it_is_read_is_left_for_the_next_run(taken_in, caplog):
    def overwrite() -> None:
        taken_in.deliver("events", KEY, [an_event_record(3)])  # of the same size

    with proxy(taken_in.server.endpoint, Fault(KEY, "late", times=1, act=overwrite)) as endpoint:
        taken_in.run_with("ingestion", MINIO_ENDPOINT=endpoint)

    assert f"{KEY} changed or is gone" in caplog.text
    assert len(taken_in.table("stg_events")) == 1
    assert_cured(taken_in)
    assert len(taken_in.table("ingested_objects")) == 2


def test_a_large_object_overwritten_halfway_ends_the_run(taken_in):
    large = b"\n" * (20 << 20)  # three parts
    taken_in.deliver("events", KEY, large)
    with proxy(
        taken_in.server.endpoint,
        Fault(KEY, "late", times=2),
        Fault(KEY, "late", act=lambda: taken_in.deliver("events", KEY, [an_event_record(3)])),
    ) as endpoint:
        ask(taken_in, concurrency=1)  # one part after the other
        assert_refused(
            taken_in, f"{KEY} was overwritten or deleted while it was read", MINIO_ENDPOINT=endpoint
        )
    assert_cured(taken_in)


def test_an_object_of_no_bytes_is_taken_in_once(taken_in, caplog):
    taken_in.deliver("events", "2021-02-01/00/empty.jsonl", b"")

    assert_cured(taken_in)
    counted = taken_in.rows(
        "SELECT lines FROM ingested_objects WHERE object_key LIKE '%empty.jsonl'"
    )
    assert counted == [(0,)]
    caplog.clear()
    taken_in.run()
    assert "Nothing new" in caplog.text


def test_buckets_of_no_objects_are_a_run_with_nothing_new(minio_project):
    minio_project.run()

    assert minio_project.table("ingested_objects") == []


@pytest.mark.slow
def test_an_object_of_a_gigabyte_is_read_in_bounded_memory(taken_in):
    line = json.dumps(an_event_record(2) | {"name": "activity_enter"})
    line = line[:-1] + " " * 50_000 + "}"  # read, but not kept, as an unknown key would be
    block = (line.encode() + b"\n") * 200
    blocks = (1 << 30) // len(block)
    server = taken_in.server
    server.filesystem.pipe_file("gold/block", block)
    client = Minio(server.address, server.user, server.password, secure=False)
    # put together by the server: to send it takes longer than to read it
    client.compose_object("raw-events", "large.jsonl", [ComposeSource("gold", "block")] * blocks)

    run = taken_in.start("--pipeline", "ingestion")
    peak_mebibytes = peak_of(run)

    assert run.returncode == 0, run.stdout and run.stdout.read()
    assert 100 < peak_mebibytes <= 900
    counted = taken_in.rows("SELECT lines FROM ingested_objects WHERE object_key = 'large.jsonl'")
    assert counted == [(200 * blocks,)]
