"""``kedro erase`` is killed anywhere: a run leaves bytes in raw alone, and once more none."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed import PLACES

from people import USER, ask_to_erase, deliver_a_family, found_in, resend_theirs, tables

pytestmark = pytest.mark.slow


def _take_in_a_family(project) -> None:
    deliver_a_family(project)
    project.run()
    resend_theirs(project)
    project.run()


def _erase(project) -> None:
    _take_in_a_family(project)
    ask_to_erase(project, rewrite_raw=True, user=USER)


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_erasure_is_completed_by_the_next(project_after, place):
    expected = tables(project_after("a-family-without-the-user", _erase))
    family = project_after("a-family-in-two-loads", _take_in_a_family)
    script = Path(__file__).with_name("killed.py")

    killed = subprocess.run(
        [sys.executable, str(script), str(family.folder), place, "user", USER],
        cwd=family.folder,
        env=family.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    family.run()
    after_a_run = tables(family, "etag", "size_bytes")
    left = found_in(family.folder, USER)
    ask_to_erase(family, rewrite_raw=True, user=USER)

    assert USER not in str(after_a_run)
    assert [file for file in left if not file.startswith("raw/")] == []
    assert found_in(family.folder, USER) == {}
    assert tables(family) == expected
    assert family.table("stg_users")  # of someone else
