"""The commands of operators; each loads what it needs when it is given."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.server import server_start
from kedro.framework.cli.utils import _split_params, env_option
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from kedro.framework.startup import ProjectMetadata

    from lingokids.operations.recovery import Recovery

_PLACE = "A folder, or a URL such as s3://backups; default: backups.place in globals.yml."
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Modules and expressions live as long as the command: looking for garbage among them as often as
# Python does by default was a tenth of the CPU time of a small run.
COLLECTION_THRESHOLDS = (100_000, 50, 50)


@dataclass
class Stop:
    """Whether a command was told to stop.

    Attributes:
        is_asked: It was.
        interrupted: By which signal it was interrupted; 0: none. A run that is committed ends.
    """

    is_asked: bool = False
    interrupted: int = 0


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Have Ctrl-C and SIGTERM roll back the run under way, by a KeyboardInterrupt."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    stop = Stop()

    def handle(signal_number: int, _frame: FrameType | None) -> None:
        from lingokids.storage.duckdb.warehouse import Warehouse

        stop.is_asked = True
        if Warehouse.is_committing:
            click.echo("The run is committed; it ends in a moment.", err=True)
            return
        stop.interrupted = signal_number
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class WithParams(click.Command):
    """A command with ``--params``; those that cannot be read are refused in a sentence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See above."""
        try:
            return super().parse_args(ctx, args)
        except (OmegaConfBaseException, YAMLError):  # by these Kedro reads --params
            raise LingokidsError(
                "--params cannot be read: write name=value,name=value, with values as they are and "
                "without ${…}."
            ) from None


@click.command(name="status")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="The last look, UTC; default: a week ago.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.option("--alert", is_flag=True, help="Send what is new and what is over: LINGOKIDS_ALERTS.")
@env_option
@click.pass_context
def show_status(context: click.Context, /, **asked: Any) -> None:
    """Show runs, freshness, what is due and what is unusual.

    Exit code: 0 fine, 1 the last run failed, 2 a source is stale.
    """
    from lingokids.operations import status, words
    from lingokids.runtime import configuration

    if asked["is_json"]:
        configuration.refuse_a_log_on_standard_output()
    found = status.status_of(context.obj.project_path, asked["env"], asked["since"])
    click.echo((words.as_json if asked["is_json"] else status.as_text)(found))
    if asked["alert"]:
        status.alert(context.obj.project_path, asked["env"], found)
    context.exit(found.exit_code)


@click.command(name="doctor")
@env_option
@click.pass_context
def examine(context: click.Context, /, env: str | None) -> None:
    """Check server, versions, disk, memory, files and warehouse; exit code 1 if one fails."""
    from lingokids.operations import doctor

    findings = [*doctor.examine(context.obj.project_path, env)]
    click.echo(doctor.as_text(findings))
    context.exit(not all(each.is_ok for each in findings))


@click.command(name="plan", cls=WithParams)
@click.option("--pipeline", "-p", default="__default__", help="Of which pipeline; default: all.")
@click.option("--params", default="", callback=_split_params, help="As of kedro run.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@env_option
@click.pass_obj
def show_plan(metadata: ProjectMetadata, /, **asked: Any) -> None:
    """Show what the next run would do, and why; nothing is written."""
    from lingokids.operations import plan, words
    from lingokids.runtime import configuration

    if asked["is_json"]:
        configuration.refuse_a_log_on_standard_output()
    found = plan.plan_of(
        metadata.project_path, asked["env"], asked["pipeline"], asked["params"] or None
    )
    click.echo((words.as_json if asked["is_json"] else plan.as_text)(found))


@click.command(name="watch")
@click.option(
    "--every",
    type=click.FloatRange(min=1, max=86_400),
    default=60.0,
    show_default=True,
    help="Seconds between two looks at the raw objects.",
)
@click.option(
    "--daily",
    type=click.DateTime(["%H:%M"]),
    help="Run at this time of day, UTC, whether or not objects are new.",
)
@click.option(
    "--webhook",
    metavar="HOST:PORT",
    help="Listen here for notifications, and look at once: 127.0.0.1:8001.",
)
@env_option
@click.pass_obj
def watch_raw(metadata: ProjectMetadata, /, webhook: str | None, **asked: Any) -> None:
    """Stay, and run whenever raw objects are new; Ctrl-C or SIGTERM ends it."""
    from lingokids.operations import requests
    from lingokids.operations.watch import Watch

    with stoppable() as stop:
        try:
            watch = Watch(metadata.project_path, **asked, is_over=lambda: stop.is_asked)
            with requests.listening(webhook, watch.hint.set):
                watch.go_on()
        except BaseException:
            if not stop.interrupted:
                raise
    click.echo("Stopped. Every table is as the last run left it.", err=True)


@click.group(name="server")
def server_group() -> None:
    """Kedro's HTTP server: runs for webhooks and other schedulers."""


def _start_server(metadata: ProjectMetadata, /, **asked: Any) -> None:
    from lingokids.operations import requests

    requests.serve(metadata.project_path, **asked)


server_group.add_command(
    click.Command(
        name="start",
        # of these, --reload would start it by its name, which is of the server without a gate
        params=[each for each in server_start.params if each.name != "reload"],
        callback=click.pass_obj(_start_server),
        help="Start it: POST /run, one run at a time; GET /health. Others than this machine need "
        "the token LINGOKIDS_TOKEN.",
    )
)


@click.group(name="backup", invoke_without_command=True)
@click.option("--to", "place", help=_PLACE)
@env_option
@click.pass_context
def back_up(context: click.Context, /, **_asked: str | None) -> None:
    """Back up the warehouse, checked; list backups; restore one."""
    if context.invoked_subcommand is None:
        _say(_recovery(context).back_up())


@back_up.command(name="list")
@click.option("--from", "place", help=_PLACE)
@env_option
@click.pass_context
def list_backups(context: click.Context, /, **_asked: str | None) -> None:
    """List the backups, the last one last."""
    _say(_recovery(context).listed())


@back_up.command(name="restore")
@click.argument("name", required=False)
@click.option("--replace", is_flag=True, help="Replace the warehouse that is there.")
@click.option("--from", "place", help=_PLACE)
@env_option
@click.pass_context
def restore_backup(
    context: click.Context, /, name: str | None, replace: bool, **_asked: str | None
) -> None:
    """Have a backup be the warehouse, checked: the one of that NAME, or the last one."""
    _say(_recovery(context).restore(name, replace=replace))


def _recovery(context: click.Context) -> Recovery:
    """Of what a command names, or the group before it."""
    from lingokids.operations.recovery import Recovery

    asked: dict[str, str | None] = {"env": None, "place": None}
    for each in (context.parent, context):
        given = each.params.items() if each else ()
        asked |= {name: value for name, value in given if name in asked and value is not None}
    return Recovery(context.obj.project_path, asked["env"], asked["place"])


@click.command(name="compare")
@click.argument("other", type=click.Path(path_type=Path))
@env_option
@click.pass_context
def compare_warehouses(context: click.Context, /, other: Path, env: str | None) -> None:
    """Compare the warehouse with another file, table by table; exit code 1 if they differ."""
    from lingokids.operations import recovery

    lines, is_same = recovery.compare(context.obj.project_path, env, other)
    _say(lines)
    context.exit(not is_same)


@click.command(name="swap")
@click.argument("other", type=click.Path(path_type=Path))
@env_option
@click.pass_obj
def swap_warehouses(metadata: ProjectMetadata, /, other: Path, env: str | None) -> None:
    """Have another warehouse take the place of the one that is there, and the other way round."""
    from lingokids.operations import recovery

    _say(recovery.swap(metadata.project_path, env, other))


@click.command(name="migrate")
@click.option("--to", required=True, help="The environment on Spark, which has no table yet.")
@env_option
@click.pass_obj
def migrate_to_spark(metadata: ProjectMetadata, /, to: str, env: str | None) -> None:
    """Take the tables of an environment over into one on Spark, without reading raw again."""
    from lingokids.operations import spark

    _say(spark.migrate(metadata.project_path, env, to))


@click.command(name="maintain")
@click.option(
    "--keep-days",
    type=click.IntRange(min=7),  # a reader's state is there until the catalog forgets the reader
    default=7,
    show_default=True,
    help="Days for which a state that was replaced can still be read.",
)
@env_option
@click.pass_obj
def maintain_tables(metadata: ProjectMetadata, /, env: str | None, keep_days: int) -> None:
    """Compact the tables on Spark, and remove the files that nobody needs."""
    from lingokids.operations import spark

    _say(spark.maintain(metadata.project_path, env, keep_days))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


COMMANDS = (
    *(show_status, show_plan, examine, watch_raw, server_group),
    *(back_up, compare_warehouses, swap_warehouses, migrate_to_spark, maintain_tables),
)
