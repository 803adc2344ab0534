"""``kedro lake init``: a server that is empty, set up, or astray becomes what the project needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from minio.error import S3Error

from lingokids.cli import cli
from lingokids.minio_setup import SetupError, initialise
from minio_server import BUCKETS, Server, start_server
from set_up_server import (
    PIPELINE,
    SAMPLE,
    admin,
    admin_as,
    init,
    objects_as,
    pipeline_objects,
    variables_of,
)

pytestmark = pytest.mark.minio


@pytest.fixture
def new_server(tmp_path) -> Iterator[Server]:
    yield from start_server(tmp_path)


def _listing(server: Server) -> list[tuple]:
    return [
        (found.bucket_name, found.object_name, found.etag, found.last_modified)
        for bucket in BUCKETS
        for found in objects_as(server).list_objects(bucket, recursive=True)
    ]


# -- init


def test_an_empty_server_gets_buckets_sample_policy_and_user(new_server):
    steps = init(new_server, SAMPLE)

    assert steps == [
        f"server: {new_server.endpoint} is ready",
        "buckets: made raw-events, raw-users, raw-activities, bronze, gold, lake",
        "raw-events: 301 objects delivered, 0 there already",
        "raw-users: 31 objects delivered, 0 there already",
        "raw-activities: 3 objects delivered, 0 there already",
        "policy: lingokids-pipeline made",
        "user: the-pipeline made, bound to lingokids-pipeline",
    ]
    keys = {
        found.object_name for found in objects_as(new_server).list_objects("raw-events", "", True)
    }
    assert keys == {
        path.relative_to(SAMPLE / "events").as_posix()
        for path in (SAMPLE / "events").rglob("*")
        if path.is_file()
    }


def test_a_second_time_changes_nothing_and_says_so(lake):
    before = _listing(lake)

    steps = init(lake, SAMPLE)

    assert steps[1:] == [
        "buckets: all there",
        "raw-events: 0 objects delivered, 301 there already",
        "raw-users: 0 objects delivered, 31 there already",
        "raw-activities: 0 objects delivered, 3 there already",
        "policy: lingokids-pipeline is there, unchanged",
        "user: the-pipeline is there, unchanged",
    ]
    assert _listing(lake) == before


def test_objects_land_in_the_order_of_their_keys(lake):
    landed = [found[3] for found in _listing(lake) if found[0] == "raw-events"]

    assert landed == sorted(landed)


def test_an_object_with_new_content_is_delivered_anew(lake, tmp_path):
    for dataset in ("events", "users", "activities"):
        (tmp_path / dataset / "2021-02-09").mkdir(parents=True)
    (tmp_path / "events" / "2021-02-09" / "a b+c.jsonl").write_text("{}\n")
    assert "raw-events: 1 objects delivered, 0 there already" in init(lake, tmp_path)
    (tmp_path / "events" / "2021-02-09" / "a b+c.jsonl").write_text("{} \n")

    assert "raw-events: 1 objects delivered, 0 there already" in init(lake, tmp_path)
    assert "raw-events: 0 objects delivered, 1 there already" in init(lake, tmp_path)
    objects_as(lake).remove_object("raw-events", "2021-02-09/a b+c.jsonl")


def test_a_changed_secret_is_set_on_the_server(new_server):
    init(new_server)

    steps = init(new_server, MINIO_SECRET_KEY="a-later-secret")

    assert steps[-1] == "user: the-pipeline secret changed"
    assert objects_as(new_server, "the-pipeline", "a-later-secret").bucket_exists("gold")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        pipeline_objects(new_server).list_buckets()


def test_what_went_astray_is_put_right(new_server):
    init(new_server)
    root = admin(new_server)
    anything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
    root.policy_add("lingokids-pipeline", policy={"Version": "2012-10-17", "Statement": [anything]})
    root.policy_set("readwrite", user="the-pipeline")
    root.user_disable("the-pipeline")
    objects_as(new_server).remove_bucket("gold")

    steps = init(new_server)

    assert steps[1:] == [
        "buckets: made gold",
        "policy: lingokids-pipeline brought up to date",
        "user: the-pipeline secret changed, bound to lingokids-pipeline",
    ]
    user = json.loads(root.user_info("the-pipeline"))
    assert (user["status"], user["policyName"]) == ("enabled", "lingokids-pipeline")
    assert init(new_server)[1:] == [
        "buckets: all there",
        "policy: lingokids-pipeline is there, unchanged",
        "user: the-pipeline is there, unchanged",
    ]


# -- the policy, proven by attempts


def test_the_main_job_as_the_pipelines_user_gives_the_tables_of_the_embedded_run(
    lake, new_project, minio_project, monkeypatch
):
    embedded = new_project()
    for dataset in ("events", "users", "activities"):
        shutil.copytree(SAMPLE / dataset, embedded.folder / "raw" / dataset, dirs_exist_ok=True)
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "key")
    embedded.run()

    run = minio_project.command("run", MINIO_ENDPOINT=lake.endpoint, **PIPELINE)

    assert run.returncode == 0, run.stdout + run.stderr
    names = embedded.rows("SELECT table_name FROM information_schema.tables")
    tables = [name for (name,) in names]
    compared = [name for name in tables if name.startswith(("stg_", "activity_", "q"))]
    compared = [name for name in compared if name != "quarantined_lines"]
    compared.append("intermediate_activity_events_enriched")
    assert len(compared) == 9
    for name in compared:
        columns = {
            column for (column,) in embedded.rows(f"SELECT column_name FROM (DESCRIBE {name})")
        }
        by_run = tuple(sorted(columns & {"landed_at", "load_id", "etag"}))
        assert minio_project.table(name, without=by_run) == embedded.table(name, without=by_run), (
            name
        )
    again = minio_project.command("run", MINIO_ENDPOINT=lake.endpoint, **PIPELINE)
    assert "Nothing new: 0 objects read, 0 rows written." in again.stderr


# -- rights besides those of the policy


def test_a_stronger_group_a_second_key_and_a_public_bucket_are_noticed(lake):
    root, user = admin(lake), PIPELINE["MINIO_ACCESS_KEY"]
    root.group_add("weak", [user])
    init(lake)

    root.policy_set("readwrite", group="weak")
    with pytest.raises(SetupError, match=r"is in the group weak, which may do more \(readwrite\):"):
        init(lake)
    root.group_remove("weak", [user])
    root.policy_unset("readwrite", group="weak")

    # as one that was made before the policy denied it
    root.policy_set("readwrite", user=user)
    admin_as(lake, *PIPELINE.values()).add_service_account(
        access_key="second-key", secret_key="second-secret"
    )
    with pytest.raises(SetupError, match="has a second access key, second-key, which a new secret"):
        init(lake)
    root.delete_service_account("second-key")

    to_all = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"]}
    policy = {"Version": "2012-10-17", "Statement": [to_all | {"Resource": "arn:aws:s3:::gold/*"}]}
    objects_as(lake).set_bucket_policy("gold", json.dumps(policy))
    with pytest.raises(SetupError, match=r"gold is open to everyone, by a policy of its own: take"):
        init(lake)
    objects_as(lake).delete_bucket_policy("gold")
    assert init(lake)[-1] == f"user: {user} is there, unchanged"


# -- refusals: one sentence, exit code 1, no secret


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"MINIO_ENDPOINT": "http://127.0.0.1:1"},
            "No MinIO server is ready at http://127.0.0.1:1",
        ),
        ({"MINIO_ROOT_PASSWORD": "wrong-secret"}, "(SignatureDoesNotMatch): set those that the"),
        ({"MINIO_ROOT_USER": "nobody"}, "refuses MINIO_ROOT_USER and MINIO_ROOT_PASSWORD (Inv"),
        ({"MINIO_ROOT_USER": ""}, "MINIO_ROOT_USER is not set: copy .env.example to .env"),
    ],
)
def test_the_command_refuses_in_a_sentence(lake, minio_project, variables, sentence):
    _copy_sample_folder(minio_project)

    told = SimpleNamespace(project_path=minio_project.folder)
    refused = CliRunner(env=variables_of(lake) | variables).invoke(
        cli, ["lake", "init", "--wait", "0.5"], obj=told
    )

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1
    assert sentence in refused.stderr
    assert isinstance(refused.exception, SystemExit), "no traceback"
    assert_no_secrets(refused.output, lake)


def test_the_command_and_the_module_do_the_same(lake, minio_project):
    _copy_sample_folder(minio_project)

    command = minio_project.command("lake", "init", **variables_of(lake))
    module = subprocess.run(
        [sys.executable, "-m", "lingokids.minio_setup", "--sample", str(SAMPLE)],
        env=os.environ | variables_of(lake),
        capture_output=True,
        text=True,
        check=True,
    )
    without = minio_project.command("lake", "init", "--without-sample", **variables_of(lake))

    assert command.stdout == module.stdout
    assert "raw-events: 0 objects delivered, 301 there already" in command.stdout
    assert "objects delivered" not in without.stdout
    assert_no_secrets(command.stdout + command.stderr + module.stderr, lake)


def test_the_module_refuses_in_a_sentence(lake):
    refused = subprocess.run(
        [sys.executable, "-m", "lingokids.minio_setup"],
        env=os.environ | variables_of(lake, MINIO_ROOT_PASSWORD="wrong-secret"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1
    assert "wrong-secret" not in refused.stderr


def test_what_the_server_refuses_is_said_in_its_words(lake):
    with pytest.raises(SetupError, match="refuses a step: XMinio"):
        init(lake, MINIO_ACCESS_KEY="with=sign")


def test_a_certificate_is_verified_against_the_authority_that_is_named(https_server, tmp_path):
    server, authority = https_server

    assert init(server, MINIO_CA_FILE=str(authority))[0] == f"server: {server.endpoint} is ready"
    with pytest.raises(SetupError, match="shows no certificate that is trusted: set MINIO_CA_FILE"):
        init(server)
    with pytest.raises(SetupError, match="is not there: MINIO_CA_FILE names it"):
        init(server, MINIO_CA_FILE=str(tmp_path / "missing.crt"))
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(SetupError, match="shows no certificate that is trusted: set MINIO_CA_FILE"):
        init(server, MINIO_CA_FILE=str(tmp_path / "text"))


def test_a_server_that_speaks_the_other_scheme_is_named(lake, https_server):
    secure, _ = https_server
    with pytest.raises(SetupError, match="or write http if it does not speak TLS"):
        init(replace(lake, endpoint=lake.endpoint.replace("http:", "https:")))
    with pytest.raises(SetupError, match=r"answers, but not as MinIO does \(status 400\)"):
        init(replace(secure, endpoint=secure.endpoint.replace("https:", "http:")))


def test_a_server_that_is_no_minio_is_named(tmp_path):
    class Forbidding(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Forbidding) as other:
        Thread(target=other.handle_request, daemon=True).start()
        endpoint = f"http://127.0.0.1:{other.server_port}"
        with pytest.raises(SetupError, match=r"answers, but not as MinIO does \(status 403\)"):
            list(initialise(variables_of(Server(endpoint, "root", "root-secret")), None))


def _copy_sample_folder(project) -> None:
    (project.folder / "data").mkdir()
    (project.folder / "data" / "01_raw").symlink_to(SAMPLE)


def assert_no_secrets(text: str, server: Server) -> None:
    for secret in (server.password, PIPELINE["MINIO_SECRET_KEY"], "wrong-secret"):
        assert secret not in text
    assert "Traceback" not in text
