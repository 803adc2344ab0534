"""Environment variables: those of the shell first, then those of the project's ``.env``.

Here: where a value comes from. Elsewhere: which variables there are (``.env.example``), and which
settings name them (``conf/base/credentials.yml``). The file is read, never exported: programs that
a run starts do not see its secrets.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from dotenv import dotenv_values
from omegaconf.resolvers import oc

PROJECT = Path(__file__).resolve().parents[3]


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


@cache
def _of_file() -> dict[str, str]:
    values = dotenv_values(PROJECT / ".env", interpolate=False)
    return {name: value for name, value in values.items() if value is not None}
