"""What may be asked of this project over HTTP, by whom: runs of a server, looks of a watch.

Only this machine may ask; others with the token ``LINGOKIDS_TOKEN``, as ``Authorization: Bearer``.
A page of another site in a browser of this machine is not this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lingokids.errors import LingokidsError, in_one_line
from lingokids.runtime.environment import variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message
    from pathlib import Path

    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Receive, Scope, Send

_TOKEN = "LINGOKIDS_TOKEN"
_LONGEST_BODY = 1 << 20
_PATIENCE_SECONDS = 5.0


def token_for(host: str) -> str | None:
    """The token without which nothing may be asked; None: none is needed.

    Raises:
        LingokidsError: Other machines may reach this address, and there is none.
    """
    token = variable(_TOKEN, None)
    if not token and not _is_of_this_machine(host):
        raise LingokidsError(
            f"{in_one_line(host)} can be reached from other machines: set {_TOKEN}, which they "
            "must send as Authorization: Bearer, or listen on 127.0.0.1."
        )
    return token or None


def is_admitted(header: str | None, token: str | None) -> bool:
    """Whether an Authorization header has the token."""
    return token is None or hmac.compare_digest((header or "").encode(), f"Bearer {token}".encode())


def is_local(headers: Headers | Message) -> bool:
    """Whether a request names this machine, and no page of another site sent it.

    Such a page may have its own name lead to this machine, and then read answers. Browsers say
    that a page sent a request, by Origin or by Sec-Fetch-Site.
    """
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    named = f"//{headers.get('host', '')}", headers.get("origin", "//localhost")
    with contextlib.suppress(ValueError):
        return all(_is_of_this_machine(urlsplit(each).hostname or "") for each in named)
    return False


class Gate:
    """What stands before Kedro's server: the token, and a queue of one run.

    A run holds the warehouse, and a second one waits until it ends; a third is told to come again.
    Only ``/health`` is for everyone.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token
        self._turn, self._runs = asyncio.Lock(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or answer it."""
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        if scope["type"] != "http" or scope["path"] == "/health":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._token is None and not is_local(headers):
            said = {"detail": f"Ask localhost from this machine; for another name set {_TOKEN}."}
            await JSONResponse(said, HTTPStatus.FORBIDDEN)(scope, receive, send)
        elif not is_admitted(headers.get("authorization"), self._token):
            said = {"detail": f"Send {_TOKEN} as Authorization: Bearer."}
            await JSONResponse(said, HTTPStatus.UNAUTHORIZED)(scope, receive, send)
        elif scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self._runs > 1:
            said = {"detail": "A run is under way, and another waits: ask again when they end."}
            await JSONResponse(said, HTTPStatus.TOO_MANY_REQUESTS)(scope, receive, send)
        else:
            self._runs += 1
            try:
                async with self._turn:
                    await self._app(scope, receive, send)
            finally:
                self._runs -= 1


def serve(folder: Path, host: str, port: int, **options: str | None) -> None:
    """Start Kedro's server, behind a gate.

    Raises:
        LingokidsError: Other machines may reach this address, and there is no token.
    """
    token = token_for(host)
    import uvicorn
    from kedro.server import create_http_server

    app = create_http_server(folder, **options)
    app.add_middleware(Gate, token=token)
    uvicorn.run(app, host=host, port=port)


def _is_of_this_machine(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def listening(address: str | None, notify: Callable[[], None]) -> Iterator[None]:
    """Call ``notify`` for each POST to an address HOST:PORT; without one, do nothing.

    What is posted is not looked at: a notification may be late, twice, or lie.

    Raises:
        LingokidsError: It is no address, or cannot be listened to.
    """
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise LingokidsError(
            f"--webhook is {in_one_line(address)}: write HOST:PORT, such as 127.0.0.1:8001."
        )
    token = token_for(host)

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_SECONDS

        def do_GET(self) -> None:
            self._answer(HTTPStatus.OK)

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                self.rfile.read(min(int(self.headers["Content-Length"] or 0), _LONGEST_BODY))
            if token is None and not is_local(self.headers):
                self._answer(HTTPStatus.FORBIDDEN)
            elif not is_admitted(self.headers["Authorization"], token):
                self._answer(HTTPStatus.UNAUTHORIZED)
            else:
                notify()
                self._answer(HTTPStatus.NO_CONTENT)

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response_only(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: what is found is said by the look."""

    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise LingokidsError(
            f"--webhook {address} cannot be listened to: {error.strerror}. Name a free port."
        ) from error
    with server:
        threading.Thread(target=server.serve_forever, name="webhook", daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
