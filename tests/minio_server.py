"""A real MinIO server, and the project on it.

``MINIO_ENDPOINT`` with ``MINIO_ROOT_USER`` and ``MINIO_ROOT_PASSWORD`` names a server that is
there; without it a ``minio`` binary (on PATH, or in Go's bin folder) is started on a free port of
the loopback interface. Without either the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import s3fs
from filelock import FileLock

from builders import EXERCISE_FILES
from conftest import ROOT, Project

BUCKETS = ("raw-events", "raw-users", "raw-activities", "bronze", "gold", "lake")


@dataclass(frozen=True)
class Server:
    """A MinIO server and its root credentials."""

    endpoint: str
    user: str
    password: str

    @property
    def address(self) -> str:
        """The endpoint without its scheme."""
        return self.endpoint.partition("://")[2]

    @property
    def filesystem(self) -> s3fs.S3FileSystem:
        """The server's objects, as root sees them now."""
        return s3fs.S3FileSystem(
            **self.credentials, skip_instance_cache=True, use_listings_cache=False
        )

    @property
    def credentials(self) -> dict[str, Any]:
        """As conf/base/credentials.yml has them, of root."""
        client = {"endpoint_url": self.endpoint}
        return {"key": self.user, "secret": self.password, "client_kwargs": client}

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which the project finds it, as root."""
        return {
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": self.user,
            "MINIO_SECRET_KEY": self.password,
        }


@dataclass
class MinioProject(Project):
    """The project in the ``minio`` environment, its warehouse in a folder of its own."""

    server: Server

    def deliver(
        self,
        dataset: str,
        key: str,
        records: list[dict[str, Any]] | bytes,
        landed_at: str = "now",
    ) -> None:
        assert landed_at == "now", "a server says itself when an object landed"
        if isinstance(records, list):
            records = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        self.server.filesystem.pipe_file(f"raw-{dataset}/{key}", records)

    def switch_to(self) -> None:
        """It is the one that commands are given to already."""

    def run_with(self, pipeline: str | None = None, **variables: str) -> None:
        """One ``kedro run`` in this process, with other environment variables."""
        with pytest.MonkeyPatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            self.run(pipeline)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"KEDRO_ENV": "minio"} | self.server.variables

    @property
    def database(self) -> Path:
        return self.folder / "lingokids-minio.duckdb"


def go_program(name: str) -> str | None:
    """A program on PATH or in Go's bin folder, if there is one."""
    go_path = Path(os.environ.get("GOPATH", Path.home() / "go"))
    return shutil.which(name) or shutil.which(name, path=str(go_path / "bin"))


def binary() -> str | None:
    """The MinIO program, if there is one."""
    return go_program("minio")


def start_server(folder: Path, *options: str, scheme: str = "http") -> Iterator[Server]:
    """A server of its own on a free port; stopped when the caller is done."""
    program = binary()
    if program is None:
        pytest.skip("no MinIO: set MINIO_ENDPOINT, or go install github.com/minio/minio@latest")
    address = free_address()
    server = Server(f"{scheme}://{address}", "tests-root", "tests-root-secret")
    log = (folder / "minio.log").open("w")
    # it ends with the tests, also when they are killed, where the system can be told so
    with_tests = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
    serve = (program, "server", str(folder / "data"), "--address", address, "--quiet", *options)
    process = subprocess.Popen(
        [*with_tests, *serve],
        env=os.environ
        | {
            "MINIO_ROOT_USER": server.user,
            "MINIO_ROOT_PASSWORD": server.password,
            "MINIO_BROWSER": "off",
        },
        stdout=log,
        stderr=log,
    )
    try:
        wait_until_ready(address, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def free_address() -> str:
    """A port of the loopback interface that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server listens."""
    host, port = address.split(":")
    for _ in range(300):
        assert process.poll() is None, "MinIO ended at its start"
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("MinIO did not start in 30 seconds")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """A server for all tests of a worker."""
    if endpoint := os.environ.get("MINIO_ENDPOINT"):
        yield Server(endpoint, os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
        return
    yield from start_server(tmp_path_factory.mktemp("minio"))


def make_certificate(folder: Path) -> None:
    """A certificate for the loopback interface, which certifies itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder.mkdir()
    options = (
        "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests "
        "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE "
        "-keyout private.key -out public.crt"
    )
    subprocess.run(
        ["openssl", "req", *options.split()],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def https_server(tmp_path_factory) -> Iterator[tuple[Server, Path]]:
    """A server that speaks TLS, and the file of its certificate's authority."""
    folder = tmp_path_factory.mktemp("https")
    make_certificate(folder / "certs")
    for server in start_server(folder, "--certs-dir", str(folder / "certs"), scheme="https"):
        yield server, folder / "certs" / "public.crt"


@pytest.fixture
def buckets(server, shared_folder) -> Iterator[Server]:
    """The server with the project's buckets, all empty; for one test at a time."""
    filesystem = server.filesystem
    with FileLock(shared_folder / f"{server.endpoint.rpartition('/')[2]}.lock"):
        for bucket in BUCKETS:
            if filesystem.exists(bucket):
                empty(filesystem, bucket)
                filesystem.rm(bucket, recursive=True)
            filesystem.mkdir(bucket)
        yield server


def empty(filesystem: s3fs.S3FileSystem, bucket: str) -> None:
    """Delete all objects of a bucket, also those whose keys fsspec cannot say."""
    while listed := filesystem.call_s3("list_objects_v2", Bucket=bucket).get("Contents"):
        for found in listed:
            filesystem.call_s3("delete_object", Bucket=bucket, Key=found["Key"])


@pytest.fixture
def minio_project(buckets, tmp_path, monkeypatch) -> MinioProject:
    """The project with ``--env minio`` on empty buckets."""
    (tmp_path / "src").mkdir()
    for name in ("src/lingokids", "pyproject.toml", ".telemetry"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "conf" / "local").mkdir()
    for places in (tmp_path / "conf").glob("*/globals.yml"):
        places.write_text(places.read_text().replace("${project:data/", f"${{project:{tmp_path}/"))
    exercises = tmp_path / "01_raw" / "exercises"
    exercises.mkdir(parents=True)
    for name, text in EXERCISE_FILES.items():
        (exercises / name).write_text(text)
    for name, value in buckets.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return MinioProject(tmp_path, buckets)
