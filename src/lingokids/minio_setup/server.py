"""The connection to the server as root, and its failures as sentences."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.error import InvalidResponseError, MinioAdminException, S3Error, ServerError
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, SSLError

from lingokids.minio_setup.variables import Credentials, SetupError, Target

_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "XMinioInvalidIAMCredentials",
}


@dataclass(frozen=True)
class Server:
    """A server that answers, spoken to as root."""

    target: Target
    admin: MinioAdmin
    objects: Minio

    def as_user(self, credentials: Credentials) -> Minio:
        """The server's objects, as another user sees them."""
        return _objects(self.target, credentials)


def connect(target: Target, patience: float) -> Server:
    """Wait until the server is ready and takes root's credentials.

    Raises:
        SetupError: It was not ready in ``patience`` seconds, or is no MinIO.
        MinioAdminException: It refuses the credentials.
    """
    _wait(target, patience)
    admin = MinioAdmin(
        endpoint=target.address,
        credentials=StaticProvider(target.root.user, target.root.secret),
        secure=target.is_secure,
        http_client=_connections(target),
    )
    admin.policy_list()  # root alone may; asked first, so that nothing is half done
    return Server(target, admin, _objects(target, target.root))


def _objects(target: Target, credentials: Credentials) -> Minio:
    return Minio(
        target.address,
        credentials.user,
        credentials.secret,
        secure=target.is_secure,
        http_client=_connections(target),
    )


def _wait(target: Target, patience: float) -> None:
    connections = _connections(target, Retry(0, redirect=0))
    deadline = time.monotonic() + patience
    while True:
        try:
            status = connections.request("GET", f"{target.endpoint}/minio/health/ready").status
        except HTTPError as error:
            if _is_distrust(error):  # waiting does not help
                raise
            status = None
        if status == 200:
            return
        if status is not None and status < 500:
            raise SetupError(
                f"{target.endpoint} answers, but not as MinIO does (status {status}): correct "
                "MINIO_ENDPOINT; on another S3 make buckets, user and policy by its own tools."
            )
        if time.monotonic() >= deadline:
            raise SetupError(
                f"No MinIO server is ready at {target.endpoint} after {patience:g} s: start it, or "
                "correct MINIO_ENDPOINT."
            )
        time.sleep(0.2)


def _connections(target: Target, retries: Retry | None = None) -> PoolManager:
    """Connections that verify certificates."""
    if target.ca_file and not Path(target.ca_file).is_file():
        raise SetupError(f"{target.ca_file} is not there: MINIO_CA_FILE names it, correct that.")
    return PoolManager(
        timeout=Timeout(connect=5, read=60),
        retries=retries
        or Retry(total=5, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        cert_reqs="CERT_REQUIRED",
        ca_certs=target.ca_file or certifi.where(),
    )


@contextmanager
def in_a_sentence(target: Target) -> Iterator[None]:
    """Raise what the server or the network refused as a sentence without secrets.

    Raises:
        SetupError: In place of what the libraries raise.
    """
    try:
        yield
    except HTTPError as error:
        if _is_distrust(error):
            raise SetupError(
                f"{target.endpoint} shows no certificate that is trusted: set MINIO_CA_FILE to the "
                "file of the authority's certificate, or write http if it does not speak TLS."
            ) from error
        raise SetupError(
            f"The connection to {target.endpoint} broke ({type(error).__name__}): run it again."
        ) from error
    except (MinioAdminException, S3Error, InvalidResponseError, ServerError) as error:
        code, message = _answer(error)
        if code in _REFUSED:
            raise SetupError(
                f"{target.endpoint} refuses MINIO_ROOT_USER and MINIO_ROOT_PASSWORD ({code}): set "
                "those that the server was started with."
            ) from error
        raise SetupError(f"{target.endpoint} refuses a step: {code}: {message}") from error


def _is_distrust(error: HTTPError) -> bool:
    return isinstance(error, SSLError) or isinstance(getattr(error, "reason", None), SSLError)


def error_code(error: Exception) -> str:
    """The server's name for a failure, such as ``NoSuchBucket``."""
    return _answer(error)[0]


def _answer(error: Exception) -> tuple[str, str]:
    """The server's own name and words for a failure."""
    if isinstance(error, S3Error):
        return error.code or "", error.message or ""
    if isinstance(error, MinioAdminException):
        try:  # the library keeps status and body private; its text has both in words of its own
            answer = json.loads(error._body)
        except ValueError:
            return f"status {error._code}", "without a reason"
        return answer.get("Code", ""), answer.get("Message", "")
    return type(error).__name__, "the answer was not understood"
