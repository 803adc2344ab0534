"""A MinIO server that ``kedro lake init`` has set up, and those who speak to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider

from conftest import ROOT
from lingokids.minio_setup import initialise
from minio_server import Server, start_server

SAMPLE = ROOT / "data" / "01_raw"
PIPELINE = {"MINIO_ACCESS_KEY": "the-pipeline", "MINIO_SECRET_KEY": "the-pipelines-secret"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Iterator[Server]:
    """A server of this module alone, set up with the sample."""
    servers = start_server(tmp_path_factory.mktemp("lake"))
    server = next(servers)
    init(server, SAMPLE)
    yield server
    servers.close()


def variables_of(server: Server, **others: str) -> dict[str, str]:
    root = {"MINIO_ROOT_USER": server.user, "MINIO_ROOT_PASSWORD": server.password}
    return {"MINIO_ENDPOINT": server.endpoint} | root | PIPELINE | others


def init(server: Server, sample=None, **others: str) -> list[str]:
    return list(initialise(variables_of(server, **others), sample))


def admin_as(server: Server, user: str, secret: str) -> MinioAdmin:
    address = server.address
    return MinioAdmin(endpoint=address, credentials=StaticProvider(user, secret), secure=False)


def admin(server: Server) -> MinioAdmin:
    return admin_as(server, server.user, server.password)


def objects_as(server: Server, user: str | None = None, secret: str | None = None) -> Minio:
    address = server.address
    return Minio(address, user or server.user, secret or server.password, secure=False)


def pipeline_objects(server: Server) -> Minio:
    return objects_as(server, *PIPELINE.values())
