"""Every command of the README runs, and what it shows is what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
DRIVEN_ELSEWHERE = {
    "uv run pytest": ".ci/run",
    "uv run ruff check .": ".ci/run",
    "uv run ruff format --check .": ".ci/run",
    "uv run mypy": ".ci/run",
}


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The files in git, as they are in the working tree."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def _run(command: str, checkout: Path) -> str:
    done = subprocess.run(
        command,
        shell=True,
        cwd=checkout,
        env=os.environ
        | {"UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"), "UV_NO_SYNC": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _without_times(text: str) -> list[str]:
    text = re.sub(r"^\d\d:\d\d:\d\d ", "", text, flags=re.MULTILINE)
    return re.sub(r" +\d+\.\d\d s ", " … s ", text).splitlines()


@pytest.mark.slow
def test_every_command_of_the_readme_runs_and_prints_what_is_shown(checkout):
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    printed, compared = "", 0
    for language, text in blocks:
        if language == "bash":
            commands = [line for line in text.splitlines() if line not in DRIVEN_ELSEWHERE]
            printed = "".join(_run(command, checkout) for command in commands)
        elif language == "text":
            assert _without_times(printed.strip()) == _without_times(text.strip())
            compared += 1
        elif language == "sql":
            _run(_as_query(text), checkout)
    assert compared == 5


def _as_query(sql: str) -> str:
    statement = f"import duckdb; duckdb.connect('data/lingokids.duckdb').sql('''{sql.strip()}''')"
    return f'uv run python -c "{statement}"'


def test_commands_not_run_here_are_run_where_it_says():
    for command, place in DRIVEN_ELSEWHERE.items():
        assert command.removeprefix("uv run ") in (ROOT / place).read_text(), command
