"""Project settings: hooks, plugins, configuration patterns and resolvers."""

import os
from typing import Any

from lingokids.runtime import configuration, environment, log
from lingokids.runtime.hooks import RunHooks
from lingokids.runtime.lineage_events import LineageEvents
from lingokids.runtime.viz import RunStatus

configuration.configure_log()
log.format_as_asked()

# What is written here is made of children's data: for its owner alone, unless it is opened up.
os.umask(0o077)


def _in_project(path: str) -> str:
    """A path below the project, wherever the command is given from."""
    return (environment.PROJECT / path).as_posix()


def _own_name(*, _parent_: Any) -> str:
    """The name of the catalog entry that a value stands in."""
    # OmegaConf hands a resolver the node, but no public name of it
    return str(_parent_._key())


# Of kedro-viz's hooks one counts rows of pandas frames only, and would empty the file of row counts
# that RunHooks writes; RunStatus is the other. Telemetry is off beyond this project's folder too.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz", "kedro-telemetry")
_RUNS = RunHooks()
HOOKS = (_RUNS, RunStatus(), LineageEvents(_RUNS))

CONFIG_LOADER_CLASS = configuration.ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"globals": "soft", "parameters": "soft"},
    "config_patterns": {"exposures": ["exposures*"]},
    "custom_resolvers": {
        "project": _in_project,
        "oc.env": environment.variable,
        "own_name": _own_name,
    },
}
