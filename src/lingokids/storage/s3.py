"""The client of a bucket on MinIO or any S3: credentials, retries, time-outs.

What is read and written with it: ``raw.buckets``, ``lake.storage``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from lingokids.errors import LingokidsError, refuse_out_of_range
from lingokids.minio_setup.variables import why_unsafe
from lingokids.storage.refusals import Server, refusal

if TYPE_CHECKING:
    from obstore.store import ClientConfig


@dataclass(frozen=True)
class S3ClientOptions:
    """Concurrency, time-outs and retries of the client: ``s3`` in globals.yml.

    Attributes:
        concurrency: Requests at a time.
        connect_seconds: Time-out of a connection.
        stall_seconds: Time-out between two bytes of an answer.
        request_seconds: Time-out of a whole request, of at most 4 MiB.
        retries: Retries after a 5xx answer, a cut connection or a time-out; the waits between
            grow from 0.1 s to 10 s, with jitter.
        retry_seconds: After so long there is no further retry.
    """

    concurrency: int = 16
    connect_seconds: float = 5
    stall_seconds: float = 15
    request_seconds: float = 300
    retries: int = 6
    retry_seconds: float = 60

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            # those that the client takes as whole numbers
            least = {"concurrency": 1, "retries": 0}.get(name, 1.0)
            refuse_out_of_range(f"s3.{name}", value, least, 86_400)


class Client:
    """The client of one bucket, or of a folder of it.

    Args:
        url: ``s3://<bucket>``, or ``s3://<bucket>/<folder>``.
        credentials: ``key`` and ``secret``; in ``client_kwargs`` the ``endpoint_url`` of the
            server, its ``region_name``, and ``verify``, the file of the authority that
            certifies it: the words that s3fs has for them.
        options: Fields of ``S3ClientOptions``.

    Attributes:
        url: As given.
        options: Concurrency, time-outs and retries.
        store: The client of ``obstore``.

    Raises:
        LingokidsError: A setting or credential is missing or of no use.
    """

    def __init__(self, url: str, credentials: dict[str, Any], options: dict[str, Any]) -> None:
        self.url = url.rstrip("/")
        bucket, _, folder = self.url.removeprefix("s3://").partition("/")
        self.options = _parse_options(options)
        client = credentials.get("client_kwargs") or {}
        endpoint = client.get("endpoint_url")
        keys = _keys(self.url, credentials)
        # a function, so that keys of the environment (AWS_…) are not mixed in, and no
        # description of the client has them
        self._keys = lambda: keys
        self._endpoint, self._ca_file = endpoint, client.get("verify")
        self._region = client.get("region_name")
        self._server = Server(_shown(endpoint), asdict(self.options))
        if unsafe := why_unsafe(self._server.address, keys["secret_access_key"]):
            raise LingokidsError(unsafe)
        config: dict[str, Any] = {"aws_endpoint_url_s3": endpoint} if endpoint else {}
        if self._region:
            config["region"] = self._region
        with self.refusing("listed", self.url):
            self.store = S3Store(
                bucket,
                prefix=folder or None,
                credential_provider=self._keys,  # type: ignore[arg-type]
                client_options=_client_options(endpoint, client.get("verify"), self.options),
                retry_config={
                    "max_retries": self.options.retries,
                    "retry_timeout": timedelta(seconds=self.options.retry_seconds),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=10),
                        "base": 2,
                    },
                },
                **config,
            )

    @property
    def table_options(self) -> dict[str, str]:
        """The client in words of ``deltalake``: all, for it looks for others in the environment."""
        keys = self._keys()
        options = {
            "aws_access_key_id": keys["access_key_id"],
            "aws_secret_access_key": keys["secret_access_key"],
            "aws_session_token": keys["token"] or "",
            "aws_region": self._region or "us-east-1",
            "aws_conditional_put": "etag",
            "aws_virtual_hosted_style_request": "false",
            "aws_allow_http": str(str(self._endpoint).startswith("http://")).lower(),
            "aws_s3_locking_provider": "",
            "connect_timeout": f"{self.options.connect_seconds}s",
            "timeout": f"{self.options.request_seconds}s",
            "max_retries": str(self.options.retries),
            "retry_timeout": f"{self.options.retry_seconds}s",
        }
        if self._endpoint:
            options["aws_endpoint_url"] = self._endpoint
        return options

    @contextlib.contextmanager
    def trusting(self) -> Iterator[None]:
        """Have ``deltalake`` trust the server's authority: it has no option for that."""
        before = os.environ.get("SSL_CERT_FILE")
        if self._ca_file:
            os.environ["SSL_CERT_FILE"] = self._ca_file
        try:
            yield
        finally:
            if self._ca_file:
                os.environ.pop("SSL_CERT_FILE")
                os.environ.update({"SSL_CERT_FILE": before} if before else {})

    @contextlib.contextmanager
    def refusing(self, done: str, place: str) -> Iterator[None]:
        """Raise the client's errors as a sentence: they quote answers that may name keys.

        Args:
            done: ``listed``, ``read``, ``written`` or ``removed``.
            place: The bucket or object.
        """
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise LingokidsError(refusal(self._server, done, place, str(error))) from None


def _parse_options(given: dict[str, Any]) -> S3ClientOptions:
    if unknown := sorted(set(given) - set(S3ClientOptions.__dataclass_fields__)):
        names = ", ".join(S3ClientOptions.__dataclass_fields__)
        raise LingokidsError(f"There is no s3.{unknown[0]}. There are: {names}. See globals.yml.")
    return S3ClientOptions(**given)


def _keys(url: str, credentials: dict[str, Any]) -> dict[str, Any]:
    if unset := [name for name in ("key", "secret") if not credentials.get(name)]:
        raise LingokidsError(
            f"{url} needs credentials, and {' and '.join(unset)} is not set: set MINIO_ENDPOINT, "
            "MINIO_ACCESS_KEY and MINIO_SECRET_KEY, in the environment or in .env (cp .env.example "
            ".env)."
        )
    key, secret = itemgetter("key", "secret")(credentials)
    return {
        "access_key_id": str(key),
        "secret_access_key": str(secret),
        "token": credentials.get("token"),
        "expires_at": None,
    }


def _shown(endpoint: str | None) -> str:
    """The server's address as a message may show it.

    Raises:
        LingokidsError: It is not a URL.
    """
    if not endpoint:
        return "S3"
    with contextlib.suppress(ValueError):
        address = urlsplit(endpoint)
        if address.scheme in {"http", "https"} and address.hostname and address.username is None:
            return f"{address.scheme}://{address.netloc}"
    raise LingokidsError(
        "MINIO_ENDPOINT is not the URL of a server: write http:// or https://, a host and a port, "
        "such as http://127.0.0.1:9000."
    )


def _client_options(
    endpoint: str | None, ca_file: str | None, options: S3ClientOptions
) -> ClientConfig:
    config: ClientConfig = {
        "allow_http": bool(endpoint) and str(endpoint).startswith("http://"),
        "connect_timeout": timedelta(seconds=options.connect_seconds),
        "read_timeout": timedelta(seconds=options.stall_seconds),
        "timeout": timedelta(seconds=options.request_seconds),
        "pool_max_idle_per_host": str(2 * options.concurrency),
    }
    if ca_file and not config["allow_http"]:
        try:
            config["root_certificate"] = Path(ca_file).read_bytes()
        except OSError as error:
            raise LingokidsError(
                f"{ca_file}, the certificate of the server's authority, cannot be read "
                f"({error.strerror}): check MINIO_CA_FILE."
            ) from error
    return config
