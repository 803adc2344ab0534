"""docker-compose.yml: valid, pinned, reachable from this machine alone, no default secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
import yaml
from dotenv import dotenv_values

from conftest import ROOT
from lingokids.minio_setup import VARIABLES
from minio_server import go_program

TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def _reader() -> list[str]:
    """A program that reads the file as ``docker compose config`` does; no engine is needed."""
    if shutil.which("docker"):
        known = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if known.returncode == 0:
            return ["docker", "compose", "config"]
    if program := go_program("compose-config"):
        # Compose's own parser, which .ci/run installs; by itself it does not see the environment
        return [program, "-no-interpolation", "docker-compose.yml"]
    pytest.skip("no Compose: install it, or let .ci/run install its parser")


@pytest.mark.minio
def test_compose_reads_the_file():
    read = subprocess.run(
        _reader(),
        cwd=ROOT,
        env=os.environ | dotenv_values(ROOT / ".env.example") | {"COMPOSE_PROFILES": "spark"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert read.returncode == 0, read.stderr
    assert set(yaml.safe_load(read.stdout)["services"]) == {"minio", "init", "ready", "catalog"}


def test_without_a_profile_there_is_no_database():
    assert {name: each.get("profiles") for name, each in SERVICES.items()} == {
        **dict.fromkeys(("minio", "init", "ready")),
        "catalog": ["spark"],
    }


def test_every_credential_is_asked_for_and_none_has_a_default():
    asked = re.findall(r"\$\{(\w+)(.*?)\}", TEXT)

    of_spark = {"PGUSER", "PGPASSWORD"}
    assert {name for name, _ in asked} == {*VARIABLES, *of_spark} - {"MINIO_ENDPOINT"}
    demands = {name: demand for name, demand in asked if name not in of_spark}
    assert set(demands.values()) == {":?copy .env.example to .env"}
    # Compose asks for what it is told to ask for in any profile: PostgreSQL itself asks for these
    assert {demand for name, demand in asked if name in of_spark} == {":-"}


def test_the_server_is_not_given_the_pipelines_secret_nor_the_idle_service_any():
    assert set(SERVICES["minio"]["environment"]) == {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}
    assert set(SERVICES["init"]["environment"]) > set(VARIABLES)
    assert "environment" not in SERVICES["ready"]


def test_a_service_that_ends_has_one_that_waits_for_its_success():
    """Or ``up --wait`` fails although everything is well."""
    awaited = {
        (name, how["condition"])
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
    }

    assert awaited == {("minio", "service_healthy"), ("init", "service_completed_successfully")}


def test_images_are_pinned_by_release():
    tags = {service["image"].rpartition(":")[2] for service in SERVICES.values()}

    assert all(re.match(r"RELEASE\.\d{4}-|\d+\.\d+(\.\d+)?-", tag) for tag in tags), tags


def test_ports_are_published_to_this_machine_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_the_init_container_is_given_is_there():
    for volume in SERVICES["init"]["volumes"]:
        source, _, mode = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode.endswith(":ro")


@pytest.mark.minio
def test_the_init_container_has_all_that_its_command_needs(tmp_path):
    """Its command, on its mounts, without the rest of the project; the server is not there."""
    init = SERVICES["init"]
    for volume in init["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            place = tmp_path / target.removeprefix("/lingokids/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(ROOT / source)
    unreachable = {"MINIO_ENDPOINT": "http://127.0.0.1:1"}

    ended = subprocess.run(
        [*init["command"].split(), "--wait", "0.1"],
        cwd=tmp_path,
        env=os.environ
        | dotenv_values(ROOT / ".env.example")
        | unreachable
        | {"PYTHONPATH": "src", "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "Error: No MinIO server is ready at http://127.0.0.1:1" in ended.stderr, ended.stderr
