"""The client of a bucket on MinIO, or any S3, for those who read it and those who write it.

Here: credentials and certificates, how long and how often a server is asked, and its failures as
sentences. Elsewhere: what is read (``buckets``) and written (``storage``), the sentences
(``refusals``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from lingokids.errors import LingokidsError
from lingokids.storage.refusals import Server, refusal

if TYPE_CHECKING:
    from obstore.store import ClientConfig


@dataclass(frozen=True)
class Asking:
    """How long, how often and with how many requests a server is asked.

    Attributes:
        concurrency: Requests at a time.
        connect_seconds: For a connection to be made.
        stall_seconds: For the next byte of an answer.
        request_seconds: For the whole answer to one request, of at most 4 MiB.
        retries: How often a request is made again after a 5xx answer, a cut connection or a
            time that ran out; the waits between grow from 0.1 s to 10 s, with jitter.
        retry_seconds: After so long, it is not made again.
    """

    concurrency: int = 16
    connect_seconds: float = 5
    stall_seconds: float = 15
    request_seconds: float = 300
    retries: int = 6
    retry_seconds: float = 60

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "retries" else 1
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or value < least:
                raise LingokidsError(
                    f"s3.{name} is {value!r}: write a number, {least} or more, in globals.yml."
                )


class Client:
    """The client of one bucket, or of a folder of it.

    Args:
        url: ``s3://<bucket>``, or ``s3://<bucket>/<folder>``.
        credentials: ``key`` and ``secret``; in ``client_kwargs`` the ``endpoint_url`` of the
            server, its ``region_name``, and ``verify``, the file of the authority that
            certifies it: the words that s3fs has for them.
        asking: Fields of ``Asking``.

    Attributes:
        url: As given.
        asking: How the server is asked.
        store: What ``obstore`` speaks to.

    Raises:
        LingokidsError: A setting or credential is missing or of no use.
    """

    def __init__(self, url: str, credentials: dict[str, Any], asking: dict[str, Any]) -> None:
        self.url = url.rstrip("/")
        bucket, _, folder = self.url.removeprefix("s3://").partition("/")
        self.asking = _asking(asking)
        client = credentials.get("client_kwargs") or {}
        endpoint = client.get("endpoint_url")
        keys = _keys(self.url, credentials)
        self._server = Server(_shown(endpoint), asdict(self.asking))
        options: dict[str, Any] = {"aws_endpoint_url_s3": endpoint} if endpoint else {}
        if region := client.get("region_name"):
            options["region"] = region
        with self.refusing("listed", self.url):
            self.store = S3Store(
                bucket,
                prefix=folder or None,
                # a function, so that keys of the environment (AWS_…) are not mixed in, and no
                # description of the client has them
                credential_provider=lambda: keys,  # type: ignore[arg-type]
                client_options=_client_options(endpoint, client.get("verify"), self.asking),
                retry_config={
                    "max_retries": self.asking.retries,
                    "retry_timeout": timedelta(seconds=self.asking.retry_seconds),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=10),
                        "base": 2,
                    },
                },
                **options,
            )

    @contextlib.contextmanager
    def refusing(self, done: str, place: str) -> Iterator[None]:
        """Turn the client's errors into a sentence: they quote answers that may name keys.

        Args:
            done: ``listed``, ``read``, ``written`` or ``removed``.
            place: The bucket or object.
        """
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise LingokidsError(refusal(self._server, done, place, str(error))) from None


def _asking(given: dict[str, Any]) -> Asking:
    if unknown := sorted(set(given) - set(Asking.__dataclass_fields__)):
        names = ", ".join(Asking.__dataclass_fields__)
        raise LingokidsError(f"There is no s3.{unknown[0]}. There are: {names}. See globals.yml.")
    return Asking(**given)


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


def _client_options(endpoint: str | None, ca_file: str | None, asking: Asking) -> ClientConfig:
    options: ClientConfig = {
        "allow_http": bool(endpoint) and str(endpoint).startswith("http://"),
        "connect_timeout": timedelta(seconds=asking.connect_seconds),
        "read_timeout": timedelta(seconds=asking.stall_seconds),
        "timeout": timedelta(seconds=asking.request_seconds),
        "pool_max_idle_per_host": str(2 * asking.concurrency),
    }
    if ca_file and not options["allow_http"]:
        try:
            options["root_certificate"] = Path(ca_file).read_bytes()
        except OSError as error:
            raise LingokidsError(
                f"{ca_file}, the certificate of the server's authority, cannot be read "
                f"({error.strerror}): check MINIO_CA_FILE."
            ) from error
    return options
