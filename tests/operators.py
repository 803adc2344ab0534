"""What tests of the operators' commands share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from builders import a_user_record, an_event_record
from conftest import ROOT, Project
from lingokids.cli import cli

_HOLD = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"


def ago(hours: float) -> str:
    """An instant so many hours ago, as deliveries have it."""
    return str(datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=hours))


def ask(project: Project, *arguments: str) -> Result:
    """Give a command in this process, which runs no pipeline."""
    project.switch_to()
    told = SimpleNamespace(project_path=project.folder)  # of what Kedro tells, what is used
    return CliRunner(env=project.environment).invoke(cli, arguments, obj=told)


@pytest.fixture
def fresh_project(project_after) -> Project:
    """Events and users that landed an hour ago, taken in by one run."""
    return project_after("fresh", _take_in_what_is_fresh)


def _take_in_what_is_fresh(project: Project) -> None:
    project.deliver("events", "a", [an_event_record()], ago(1))
    project.deliver("users", "u", [a_user_record()], ago(1))
    project.run()


@contextmanager
def held(project: Project) -> Iterator[int]:
    """Another process has the warehouse open for writing; gives its number."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(project.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
    finally:
        holder.communicate("\n")


def configure(project: Project, name: str, before: str, after: str) -> None:
    """Change a line of the project's own copy of the configuration."""
    conf = project.folder / "conf"
    if conf.is_symlink():
        conf.unlink()
        shutil.copytree(ROOT / "conf", conf)
    text = (conf / "base" / name).read_text()
    assert before in text
    (conf / "base" / name).write_text(text.replace(before, after))


def back_up(project: Project) -> str:
    """Make a backup; gives its name."""
    done = ask(project, "backup")
    assert done.exit_code == 0, done.output
    return max(backup_files(project, "*.json")).removesuffix(".json")


def backup_files(project: Project, pattern: str = "*") -> list[str]:
    """The files of backups, without what lies beside them."""
    place = project.folder / "10_backups" / "lingokids"
    return sorted(file.name for file in place.glob(f"2{pattern}") if file.is_file())


class Later(datetime):
    """The clock, so many days on."""

    days = 0

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=cls.days)
