"""Server and credentials from environment variables; unsafe ones are refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

VARIABLES = (
    "MINIO_ENDPOINT",
    "MINIO_ROOT_USER",
    "MINIO_ROOT_PASSWORD",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
)

# Secrets of .env.example begin so. Everyone knows them: they serve on this machine only.
EXAMPLE = "example-only-"

# The name of the server for its neighbours in docker-compose.yml, which publishes it to this
# machine only.
_COMPOSE_HOST = "minio"


class SetupError(Exception):
    """An expected failure; its text is the one sentence to show."""


@dataclass(frozen=True)
class Credentials:
    """A user of the server."""

    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Target:
    """A server, its root, and the user that the pipeline runs as."""

    endpoint: str
    root: Credentials
    pipeline: Credentials
    ca_file: str | None = None
    """Certificates of the authority to trust; None: those of the usual authorities."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Target:
        """The target that the environment names.

        Raises:
            SetupError: A variable is missing, or its value is of no use or unsafe.
        """
        missing = [name for name in VARIABLES if not variables.get(name)]
        if missing:
            raise SetupError(
                f"{_listed(missing)} not set: copy .env.example to .env and fill it in."
            )
        endpoint, root_user, root_password, user, secret = (variables[name] for name in VARIABLES)
        target = cls(
            endpoint.rstrip("/"),
            Credentials(root_user, root_password),
            Credentials(user, secret),
            variables.get("MINIO_CA_FILE") or None,
        )
        target._refuse_a_wrong_endpoint()
        target._refuse_unsafe_credentials()
        return target

    @property
    def is_secure(self) -> bool:
        """Whether the server is spoken to through TLS."""
        return urlsplit(self.endpoint).scheme == "https"

    @property
    def address(self) -> str:
        """Host and port."""
        return urlsplit(self.endpoint).netloc

    def _refuse_a_wrong_endpoint(self) -> None:
        parts = urlsplit(self.endpoint)
        is_plain = _has_a_port_or_none(self.endpoint) and not (
            parts.path or parts.query or parts.fragment or "@" in parts.netloc
        )
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise SetupError(
                "MINIO_ENDPOINT is not the URL of a server: write it as http://127.0.0.1:9000."
            )

    def _refuse_unsafe_credentials(self) -> None:
        if self.pipeline.user == self.root.user:
            raise SetupError(
                "MINIO_ACCESS_KEY is MINIO_ROOT_USER: the pipeline must not be root, give it "
                "another name."
            )
        if self.pipeline.secret == self.root.secret:
            raise SetupError(
                "MINIO_SECRET_KEY is MINIO_ROOT_PASSWORD: the pipeline must not hold root's "
                "secret, give it another."
            )
        if len(self.pipeline.user) < 3 or len(self.pipeline.secret) < 8:
            raise SetupError(
                "MINIO_ACCESS_KEY needs at least 3 characters and MINIO_SECRET_KEY at least 8: "
                "MinIO takes no shorter ones."
            )
        if unsafe := why_unsafe(self.endpoint, self.root.secret, self.pipeline.secret):
            raise SetupError(unsafe)


def why_unsafe(endpoint: str, *secrets: str) -> str:
    """Why a server must not be spoken to with these secrets, in a sentence; empty: it may."""
    if _is_on_this_machine(endpoint):
        return ""
    if any(secret.startswith(EXAMPLE) for secret in secrets):
        return (
            f"{endpoint} is another machine, and the secrets of .env.example are known to "
            "everyone: set MINIO_SECRET_KEY (and MINIO_ROOT_PASSWORD, to set it up) to your own."
        )
    if urlsplit(endpoint).scheme == "http":
        return (
            f"{endpoint} is another machine, and plain http shows all that is read and written to "
            "whoever is between: give the server a certificate, and write https in MINIO_ENDPOINT."
        )
    return ""


def _is_on_this_machine(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", _COMPOSE_HOST)


def _has_a_port_or_none(endpoint: str) -> bool:
    try:
        return urlsplit(endpoint).port != 0
    except ValueError:
        return False


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
