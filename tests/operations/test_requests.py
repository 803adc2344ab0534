"""Who may ask the server that stands behind the gate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lingokids.operations.requests import Gate


async def _served(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_what_is_no_request_is_handed_on():
    """Kedro's server makes what it answers by when it is told to start."""
    handed_on: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        handed_on.append(scope["type"])

    asyncio.run(Gate(app, None)({"type": "lifespan"}, None, None))

    assert handed_on == ["lifespan"]


def _asked(token: str | None, **headers: str) -> int:
    """The code that a request with these headers is answered by."""
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": "/snapshot", "method": "GET", "headers": named}
    codes: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        codes.extend([message["status"]] if "status" in message else [])

    asyncio.run(Gate(_served, token)(scope, None, send))
    return codes[0]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_this_machine_may_ask_without_a_token(host):
    assert _asked(None, host=host) == 200
    assert _asked(None, host=host, origin="http://localhost:8000") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "elsewhere.example:8000"},  # a name that leads to this machine
        {"host": "127.0.0.1:8000", "origin": "https://elsewhere.example"},
        {"host": "127.0.0.1:8000", "origin": "null"},
        {"host": "localhost", "sec-fetch-site": "cross-site"},  # an image's address
        {"host": "[::1"},
        {},
    ],
)
def test_pages_of_other_sites_may_not(headers):
    assert _asked(None, **headers) == 403


def test_with_a_token_any_name_will_do():
    named = {"host": "events.example", "origin": "https://events.example"}

    assert _asked("a-token", **named, authorization="Bearer a-token") == 200
    assert _asked("a-token", **named) == 401
