"""Which server and whose credentials: what is unsafe is refused before anything is asked."""

from __future__ import annotations

import pytest
from dotenv import dotenv_values

from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.minio_setup import VARIABLES, SetupError, Target, initialise
from lingokids.runtime import environment
from lingokids.storage.s3 import Client

GOOD = {
    "MINIO_ENDPOINT": "https://s3.example.org",
    "MINIO_ROOT_USER": "root-user",
    "MINIO_ROOT_PASSWORD": "root-secret",
    "MINIO_ACCESS_KEY": "pipeline",
    "MINIO_SECRET_KEY": "pipeline-secret",
}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MINIO_ENDPOINT": ""}, "MINIO_ENDPOINT is not set: copy .env.example to .env"),
        (
            {"MINIO_ACCESS_KEY": "", "MINIO_SECRET_KEY": ""},
            "MINIO_ACCESS_KEY, MINIO_SECRET_KEY are not set",
        ),
        ({"MINIO_ENDPOINT": "127.0.0.1:9000"}, "MINIO_ENDPOINT is not the URL of a server"),
        ({"MINIO_ENDPOINT": "http://a/bucket"}, "MINIO_ENDPOINT is not the URL of a server"),
        ({"MINIO_ENDPOINT": "http://u:p@a"}, "MINIO_ENDPOINT is not the URL of a server"),
        ({"MINIO_ENDPOINT": "http://a:port"}, "MINIO_ENDPOINT is not the URL of a server"),
        ({"MINIO_ACCESS_KEY": "root-user"}, "the pipeline must not be root"),
        ({"MINIO_SECRET_KEY": "root-secret"}, "must not hold root's secret"),
        ({"MINIO_SECRET_KEY": "short"}, "needs at least 3 characters and"),
        ({"MINIO_SECRET_KEY": "example-only-x"}, "the secrets of .env.example are known to every"),
        ({"MINIO_ROOT_PASSWORD": "example-only-x"}, "is another machine"),
        ({"MINIO_ENDPOINT": "http://10.0.0.1:9000"}, "plain http shows all that is read and writ"),
    ],
)
def test_a_wrong_value_is_refused_without_being_shown(variables, sentence):
    with pytest.raises(SetupError) as refused:
        Target.of(GOOD | variables)

    assert sentence in str(refused.value)
    for secret in ("root-secret", "pipeline-secret", "example-only-x"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "[::1]:9000", "minio:9000"])
def test_the_example_serves_on_this_machine(host):
    example = dotenv_values(ROOT / ".env.example") | {"MINIO_ENDPOINT": f"http://{host}"}

    assert Target.of(example).address == host


@pytest.mark.parametrize(
    ("endpoint", "secret", "sentence"),
    [
        ("http://10.0.0.1:9000", "own-secret", "is another machine, and plain http shows all that"),
        ("http://127.0.0.1.example.org", "own-secret", "and plain http shows all that is read"),
        ("https://s3.example.org", "example-only-x", "the secrets of .env.example are known to"),
        (None, "example-only-x", "S3 is another machine, and the secrets of .env.example are"),
    ],
)
def test_a_run_refuses_an_unsafe_server_too(endpoint, secret, sentence):
    credentials = {"key": "a", "secret": secret, "client_kwargs": {"endpoint_url": endpoint}}

    with pytest.raises(LingokidsError, match=sentence) as refused:
        Client("s3://gold", credentials, {})

    assert secret not in str(refused.value)
    for safe in (
        {"key": "a", "secret": "example-only-x", "client_kwargs": {"endpoint_url": "http://[::1]"}},
        {"key": "a", "secret": "own", "client_kwargs": {"endpoint_url": "https://a"}},
        {"key": "a", "secret": "own"},
    ):
        assert Client("s3://gold", safe, {}).url == "s3://gold"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0),
        ("concurrency", 1.5),
        ("retries", 10**30),
        ("retry_seconds", float("nan")),
        ("stall_seconds", float("inf")),
        ("request_seconds", 1e300),
        ("connect_seconds", True),
    ],
)
def test_an_option_of_the_client_out_of_range_is_refused(name, value):
    with pytest.raises(LingokidsError, match=rf"s3.{name} is .*: write a .*number, from . to 86"):
        Client("s3://gold", {"key": "a", "secret": "own"}, {name: value})


@pytest.mark.parametrize("patience", [float("nan"), float("inf"), -1, 10**9])
def test_a_wait_without_end_is_refused(patience):
    with pytest.raises(SetupError, match=r"--wait is .*: write seconds, from 0 to 3,600."):
        list(initialise(GOOD, None, patience=patience))


def test_the_example_has_every_variable_and_its_secrets_say_that_they_are_examples():
    example = dotenv_values(ROOT / ".env.example")

    assert set(example) == {*VARIABLES, "PGUSER", "PGPASSWORD"}
    for secret in "MINIO_ROOT_PASSWORD", "MINIO_SECRET_KEY", "PGPASSWORD":
        assert example[secret].startswith("example-only-")


def test_secrets_are_not_in_the_representation():
    shown = repr(Target.of(GOOD))

    assert "root-secret" not in shown
    assert "pipeline-secret" not in shown


def test_the_shell_comes_before_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("MINIO_ENDPOINT=http://file\nMINIO_SECRET_KEY='of $file'\n")
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    monkeypatch.setenv("MINIO_ENDPOINT", "http://shell")
    monkeypatch.delenv("MINIO_SECRET_KEY", raising=False)
    monkeypatch.delenv("MINIO_ROOT_USER", raising=False)
    environment._of_file.cache_clear()

    assert environment.variable("MINIO_ENDPOINT") == "http://shell"
    assert environment.variable("MINIO_SECRET_KEY", None) == "of $file"
    assert environment.variable("MINIO_ROOT_USER", None) is None
    assert environment.variables()["MINIO_SECRET_KEY"] == "of $file"
    monkeypatch.undo()
    environment._of_file.cache_clear()
