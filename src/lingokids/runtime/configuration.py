"""How Kedro reads the configuration: the log's, and parameters given with a run as written."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml
from kedro.config import AbstractConfigLoader, MissingConfigException, OmegaConfigLoader
from kedro.framework.project import LOGGING
from kedro.utils import find_config_file

from lingokids.errors import LingokidsError
from lingokids.runtime.environment import PROJECT

_LOGGING = PROJECT / "conf" / "logging.yml"
#: Kedro looks for conf/logging.yml in the working folder alone; else it logs to standard output.
_IS_LOG_FOUND = bool(os.environ.get("KEDRO_LOGGING_CONFIG") or find_config_file("conf/logging"))


def configure_log() -> None:
    """Log as conf/logging.yml says, from a folder below the project as well."""
    if not _IS_LOG_FOUND and _LOGGING.is_file():
        LOGGING.configure(yaml.safe_load(_LOGGING.read_text(encoding="utf-8")))


def refuse_a_log_on_standard_output() -> None:
    """Refuse an answer for a program where Kedro, as it started, wrote a line of its log there."""
    if not _IS_LOG_FOUND:
        raise LingokidsError(
            f"Kedro has logged to standard output, before the answer: give the command in {PROJECT}"
            f", or set KEDRO_LOGGING_CONFIG={_LOGGING}."
        )


class ConfigLoader(OmegaConfigLoader):
    """Kedro's; in parameters given with a run, by whatever way, ``${…}`` is refused.

    It would be filled in from the environment, secrets included, by whoever may ask for a run.
    One thread resolves at a time, by its own values: Kedro's resolvers are those of the process, so
    a server's requests would resolve each other's. What was resolved is kept for as long as all it
    is made of stays: reading it again is a third of a run that finds nothing new.
    """

    _resolving = threading.RLock()
    _kept: ClassVar[dict[str, tuple[Any, dict[str, Any]]]] = {}

    def __init__(
        self,
        conf_source: str,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        for name, value in _values("", runtime_params or {}):
            if "${" in f"{name}{value}":
                raise LingokidsError(
                    f"{name} has ${{…}}: parameters given with a run are taken as written; write "
                    "the value, or put the parameter into conf/local/parameters.yml."
                )
        with self._resolving:
            super().__init__(conf_source, env, runtime_params, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """See Kedro's."""
        with self._resolving:
            self._register_globals_resolver()
            if self.data or not Path(self.conf_source).is_dir():  # set by hand; an archive
                return super().__getitem__(key)
            made_of = self._made_of()
            if key not in self._kept or self._kept[key][0] != made_of:
                self._kept[key] = made_of, super().__getitem__(key)
            return copy.deepcopy(self._kept[key][1])

    def _made_of(self) -> tuple[Any, ...]:
        """All that a value is made of: files, variables, what is given with the run."""
        folders = [
            Path(self.conf_source, name)
            for name in (self.base_env, self.env or self.default_run_env)
        ]
        found = (file for folder in folders for file in folder.rglob("*") if file.is_file())
        contents = {file: file.read_bytes() for file in found}
        return folders, contents, dict(os.environ), copy.deepcopy(self.runtime_params)


def _values(name: str, given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, dict | list):
        inner = given.items() if isinstance(given, dict) else enumerate(given)
        for key, value in inner:
            yield from _values(f"{name}.{key}" if name else str(key), value)
    else:
        yield name, given


def credentials_of(config: AbstractConfigLoader) -> dict[str, Any]:
    """``credentials.yml``; nothing if an environment needs none."""
    try:
        return dict(config["credentials"])
    except MissingConfigException:
        return {}
