"""What tests of checks share: a small warehouse that was made by a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders import a_user_record, an_activity_record, an_event_record


@pytest.fixture(scope="session")
def files_of_small(tmp_path_factory):
    """Where the first project that took in the deliveries is kept, for the others to start from."""
    return tmp_path_factory.mktemp("files_of_small")


@pytest.fixture
def small(project, files_of_small):
    """Two events of a known user and activity, taken in."""
    kept = ("raw", "lingokids.duckdb", "lingokids-gold.duckdb")
    if not any(files_of_small.iterdir()):
        project.deliver("events", "a", [an_event_record(1), an_event_record(2)])
        project.deliver("users", "u", [a_user_record()])
        project.deliver("activities", "c", [an_activity_record()])
        project.run()
        for name in kept:
            _copy(project.folder / name, files_of_small / name)
    for name in kept:
        _copy(files_of_small / name, project.folder / name)
    return project


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
