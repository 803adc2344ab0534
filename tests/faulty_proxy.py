"""A proxy in front of a server, that misbehaves when it is read from, on request."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"


@dataclass
class Fault:
    """What happens to requests whose path has ``part``.

    Attributes:
        part: Part of the path and query, unquoted.
        kind: ``busy`` (503), ``stall`` (no answer), ``cut`` (half of the body), ``late`` (the
            answer, after ``act`` was called).
        times: How many requests it happens to.
        act: Called once, before the first of these is passed on.
    """

    part: str
    kind: str
    times: float = float("inf")
    act: Callable[[], object] | None = None
    met: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def meets(self, path: str) -> bool:
        with self.lock:
            if self.part not in unquote(path) or len(self.met) >= self.times:
                return False
            self.met.append(path)
            if self.act and len(self.met) == 1:
                self.act()
            return True


@contextmanager
def proxy(endpoint: str, *faults: Fault) -> Iterator[str]:
    """The URL of a proxy in front of ``endpoint``, with these faults."""
    upstream = urlsplit(endpoint).netloc
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_reading = self.command == "GET"
            fault = next((each for each in faults if is_reading and each.meets(self.path)), None)
            kind = fault.kind if fault else "none"
            if kind == "stall":
                is_over.wait(60)
                self.close_connection = True
                return
            if kind == "busy":
                self.answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
                return
            connection = http.client.HTTPConnection(upstream, timeout=60)
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            response = connection.getresponse()
            body = response.read()
            connection.close()
            self.answer(response.status, dict(response.getheaders()), body, is_cut=kind == "cut")

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815

        def answer(
            self, status: int, headers: dict[str, str], body: bytes, *, is_cut: bool = False
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(body)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
            self.wfile.flush()
            self.close_connection = self.close_connection or is_cut

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start
