"""Project settings: what Kedro is told once.

Here: hooks, configuration patterns and resolvers. Elsewhere: places (``conf/base/globals.yml``),
tables (``catalog.yml``), what an operator may tune (``parameters.yml``).
"""

from kedro_viz.integrations.kedro.run_hooks import PipelineRunStatusHook

from lingokids import environment
from lingokids.hooks import RunHooks


def _in_project(path: str) -> str:
    """A path below the project, wherever the command is given from."""
    return (environment.PROJECT / path).as_posix()


# Of kedro-viz's two hooks only the one that notes how each node ended: the other counts rows of
# pandas frames, and empties the file of row counts that RunHooks writes.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-viz",)
HOOKS = (RunHooks(), PipelineRunStatusHook())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"globals": "soft", "parameters": "soft"},
    "custom_resolvers": {"project": _in_project, "oc.env": environment.variable},
}
