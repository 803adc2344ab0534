"""A real browser for tests: what chromium makes of a page."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS = 120.0
#: Nothing that asks the network for itself, and nothing kept between tests.
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def browse(url: str, folder: Path, what: str) -> str:
    """What chromium prints of a page, once the page had a minute of its own clock."""
    _require_chromium()
    command = [
        *("chromium", *QUIET, f"--user-data-dir={folder / 'profile'}"),
        *("--window-size=1600,1200", "--virtual-time-budget=60000", what, url),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as browser:
        try:
            return browser.communicate(timeout=PATIENCE_SECONDS)[0].decode()
        finally:
            _end(browser)


class _PageLeftError(Exception):
    """The page that was asked gave way to another meanwhile."""


class Page:
    """A page that stays open: asked in JavaScript, measured as it is laid out on the screen."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._unread = b""
        (page,) = [
            target
            for target in self._call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        ]
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def open(self, url: str, width: int, height: int) -> None:
        """Go to an address, in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        self._ask("Page.navigate", url=url)

    def prefer(self, scheme: str) -> None:
        """Show pages as to a reader who prefers ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def press(self, *keys: str) -> None:
        """Press keys one after the other: letters, or names such as ``Enter``."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Enter": 13, "Tab": 9}.get(key, 0)
            pressed = {"key": key, "text": text, "windowsVirtualKeyCode": code}
            self._ask("Input.dispatchKeyEvent", type="keyDown", **pressed)
            self._ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def value(self, expression: str) -> Any:
        """What an expression is, or what it promises, as JSON has it."""
        asked = {"returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", expression=expression, **asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true, and has been for half a second."""
        held = 0
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while held < 5:
            assert time.monotonic() < give_up_at, f"never on the page: {condition}"
            try:
                held = held + 1 if self.value(condition) else 0
            except _PageLeftError:
                held = 0
            time.sleep(0.1)

    def save_picture(self, path: Path) -> None:
        """Save what is on the screen as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._call(method, session=self._session, **parameters)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass  # an event
        if "navigated or closed" in answer.get("error", {}).get("message", ""):
            raise _PageLeftError(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser ended"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """A browser with one empty page, spoken to through a pair of pipes."""
    _require_chromium()
    commands, answers = os.pipe(), os.pipe()
    # chromium reads commands from descriptor 3 and answers on 4
    passed = f'exec chromium "$@" 3<&{commands[0]} 4>&{answers[1]}'
    arguments = (*QUIET, f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe")
    with subprocess.Popen(
        ["bash", "-c", passed, "chromium", *arguments, "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(commands[0], answers[1]),
        start_new_session=True,
    ) as browser:
        os.close(commands[0])
        os.close(answers[1])
        patience = threading.Timer(PATIENCE_SECONDS, _end, [browser])
        patience.start()
        try:
            yield Page(commands[1], answers[0])
        finally:
            patience.cancel()
            _end(browser)
            os.close(commands[1])
            os.close(answers[0])


def _require_chromium() -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not on PATH: apt-get install chromium.")


def _end(browser: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(browser.pid, signal.SIGKILL)


def lines_of_png(picture: Path) -> tuple[tuple[int, int], int]:
    """The width and height of a picture, and how many of its lines differ."""
    data = picture.read_bytes()
    pixels, position = b"", 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        if data[position + 4 : position + 8] == b"IDAT":
            pixels += data[position + 8 : position + 8 + length]
        position += length + 12
    width, height = struct.unpack(">II", data[16:24])
    lines = zlib.decompress(pixels)
    line_bytes = len(lines) // height
    return (width, height), len({lines[n * line_bytes :][:line_bytes] for n in range(height)})
