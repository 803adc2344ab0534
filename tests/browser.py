"""A real browser for tests: what chromium makes of a page."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

PATIENCE_SECONDS = 120.0


def browse(url: str, folder: Path, what: str) -> str:
    """What chromium prints of a page, once the page had a minute of its own clock."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not on PATH: apt-get install chromium.")
    command = [
        *("chromium", "--headless=new", "--no-sandbox", f"--user-data-dir={folder / 'profile'}"),
        *("--window-size=1600,1200", "--virtual-time-budget=60000", what, url),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as browser:
        try:
            return browser.communicate(timeout=PATIENCE_SECONDS)[0].decode()
        finally:
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
