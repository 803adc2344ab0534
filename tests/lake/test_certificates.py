"""An https server is believed only if its certificate is."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lingokids.errors import LingokidsError
from lingokids.storage.lake.delta import Lake
from lingokids.storage.raw.places import open_store
from lingokids.storage.raw.stores import Store
from minio_server import Server, make_certificate

pytestmark = pytest.mark.minio


def opened(server: Server, ca_file: Path | None) -> Store:
    client = {"endpoint_url": server.endpoint, "verify": ca_file and str(ca_file)}
    credentials = {"key": server.user, "secret": server.password, "client_kwargs": client}
    return open_store("s3://raw-events", credentials, {"retries": 1})


def test_an_unknown_authority_is_refused(https_server):
    server, _ = https_server

    with pytest.raises(LingokidsError, match=r"is not trusted.* set MINIO_CA_FILE to the file"):
        list(opened(server, None).find())


def test_the_authority_in_a_file_is_believed(https_server):
    server, ca_file = https_server

    with pytest.raises(LingokidsError, match="s3://raw-events is not there"):  # it was asked
        list(opened(server, ca_file).find())


def test_a_table_is_published_where_the_authority_in_a_file_certifies(https_server, monkeypatch):
    server, ca_file = https_server
    monkeypatch.setenv("SSL_CERT_FILE", "as before")
    client = {"endpoint_url": server.endpoint, "verify": str(ca_file)}
    lake = Lake(
        "s3://raw-events", {"key": server.user, "secret": server.password, "client_kwargs": client}
    )

    with (
        pytest.raises(LingokidsError, match="s3://raw-events/t is not there"),  # it was asked
        lake.storage.refusing("written", "t"),
    ):
        write_deltalake(lake.uri("t"), pa.table({"a": [1]}), storage_options=lake.storage.options)

    assert os.environ["SSL_CERT_FILE"] == "as before"


def test_another_authority_than_the_servers_is_refused(https_server, tmp_path):
    server, _ = https_server
    make_certificate(tmp_path / "other")

    with pytest.raises(LingokidsError, match="is not trusted"):
        list(opened(server, tmp_path / "other" / "public.crt").find())


def test_a_file_that_is_no_certificate_is_refused(https_server, tmp_path):
    server, _ = https_server
    (tmp_path / "text").write_text("no certificate")

    with pytest.raises(LingokidsError, match="MINIO_CA_FILE"):
        list(opened(server, tmp_path / "text").find())
    with pytest.raises(LingokidsError, match="MINIO_CA_FILE"):
        opened(server, tmp_path / "missing")


def test_a_server_without_tls_is_named(buckets):
    server = replace(buckets, endpoint=buckets.endpoint.replace("http://", "https://"))

    with pytest.raises(LingokidsError, match="does not speak TLS"):
        list(opened(server, None).find())


def test_a_server_that_asks_for_tls_is_named(https_server):
    server, _ = https_server
    plain = replace(server, endpoint=server.endpoint.replace("https://", "http://"))

    with pytest.raises(LingokidsError, match="check MINIO_ENDPOINT"):
        list(opened(plain, None).find())
