"""Environment variables, of the shell or else ``.env``; names of ``--env``.

The file is read, never exported: programs that a run starts do not see its secrets.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from dotenv import dotenv_values
from kedro.utils import find_kedro_project
from omegaconf.resolvers import oc

_SOURCES = Path(__file__).resolve().parents[3]
#: The folder of pyproject.toml; of an installed package, the one it is run in, with conf and data.
PROJECT: Path = (
    _SOURCES
    if (_SOURCES / "pyproject.toml").is_file()
    else find_kedro_project(Path.cwd()) or Path.cwd()
)


def variables() -> dict[str, str]:
    """Every variable that has a value."""
    return _of_file() | os.environ


def variable(name: str, *default: str | None) -> str | None:
    """A variable, as the configuration asks for it: ``${oc.env:NAME,default}``.

    Raises:
        ValidationError: It is not set, and there is no default.
    """
    if name not in os.environ and name in _of_file():
        return _of_file()[name]
    return oc.env(name, *default)


def name_of(env: str | None) -> str:
    """The name of an environment: what a command without ``--env`` runs in is ``base``."""
    return env if env and env != "local" else "base"


@cache
def _of_file() -> dict[str, str]:
    values = dotenv_values(PROJECT / ".env", interpolate=False)
    return {name: value for name, value in values.items() if value is not None}
