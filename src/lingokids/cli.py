"""Commands of the project, and ``kedro run`` that stops cleanly."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.hooks import cli_hook_impl
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import env_option

from lingokids.errors import LingokidsError, did_you_mean, sentence_of
from lingokids.operations import commands
from lingokids.operations.commands import WithParams

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

_NO_PIPELINE = re.compile(r"Failed to find the pipeline named '(.*?)'", re.DOTALL)
_FORMAT = click.Choice(["table", "csv", "json"])


class _StoppableRun(WithParams):
    """``kedro run``; Ctrl-C and SIGTERM end it with a sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["pipeline"] and not ctx.params["pipelines"]:
            # Kedro 1.7 prefers --pipelines and says so on each run; both work and mean the same
            ctx.params["pipelines"] = [ctx.params.pop("pipeline")]
            ctx.params["pipeline"] = None
        with commands.stoppable() as stop:
            try:
                return super().invoke(ctx)
            except BaseException as error:
                if stop.interrupted:  # the engine may report the interruption in words of its own
                    click.echo("Stopped. Every table is as it was before the run.", err=True)
                    ctx.exit(128 + stop.interrupted)
                if (expected := _expected_failure(error)) is not None:
                    raise LingokidsError("", to_write=expected) from None  # lines stay lines
                raise


def _expected_failure(error: BaseException) -> str | None:
    """The sentence of an expected failure, of ours or of Kedro."""
    if (sentence := sentence_of(error)) is not None:
        return sentence
    if isinstance(error, ValueError) and (named := _NO_PIPELINE.match(str(error))):
        from kedro.framework.project import pipelines

        hint = did_you_mean(named[1], pipelines)
        names = ", ".join(name for name in pipelines if name != "__default__")
        return f"There is no pipeline {named[1]}.{hint} There are: {names}."
    has_no_node = isinstance(error, ValueError) and str(error).startswith("Pipeline does not")
    if has_no_node or isinstance(error, MissingConfigException):
        return str(error)
    if isinstance(error, ValueError) and str(error).startswith("Async data loading"):
        from lingokids.runtime.preconditions import ASYNC

        return ASYNC
    return None


class CommandHooks:
    """What is done before a command of Kedro or of one of its plugins."""

    @cli_hook_impl
    def before_command_run(
        self, project_metadata: ProjectMetadata | None, command_args: list[str]
    ) -> None:
        """Before any: refuse an environment that there is not, where a plugin would fail.

        Before ``kedro viz``: have it show the runs of the environment that it is asked for.

        Before ``kedro ipython``: leave Ctrl-C to the session, which Kedro would kill with it.
        """
        if command_args[:1] in (["ipython"], ["jupyter"]):
            signal.signal(signal.SIGINT, lambda *_: None)  # the session has the default again
        is_of_plugin = command_args[:1] in (["viz"], ["server"])
        if project_metadata is None or not is_of_plugin or {"-h", "--help"} & {*command_args}:
            return
        from lingokids.runtime import preconditions, viz
        from lingokids.runtime.environment import name_of

        options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        options.add_argument("--env", "-e", default=os.environ.get("KEDRO_ENV"))
        environment = options.parse_known_args(command_args)[0].env
        try:
            conf = project_metadata.project_path / "conf"
            preconditions.refuse_unknown_environment(conf, environment)
        except LingokidsError as error:  # no command has begun that would show it
            error.show()
            sys.exit(error.exit_code)
        if command_args[0] != "viz":
            return
        viz.show(project_metadata.project_path, environment)
        click.echo(
            f"Rows, row counts and run status are those of environment {name_of(environment)}."
        )


hooks = CommandHooks()


@click.group(name="lingokids")
def cli() -> None:
    """Commands of the project."""


run = _StoppableRun(
    name="run", params=kedro_run.params, callback=kedro_run.callback, help=kedro_run.help
)
for _command in (run, *commands.COMMANDS):
    cli.add_command(_command)


@cli.group(name="sample")
def sample_group() -> None:
    """The sample data in data/01_raw."""


@sample_group.command(name="next-day")
@click.pass_obj
def next_day(metadata: ProjectMetadata, /) -> None:
    """Deliver one more arrival day, so that the next run has something new."""
    from lingokids import sample

    day = sample.add_next_day(metadata.project_path / "data" / "01_raw")
    click.echo(f"Delivered {day} into data/01_raw. Take it in with: uv run kedro run")


@cli.group(name="lake", invoke_without_command=True)
@click.option(
    *("--for", "reader"),
    default="duckdb",
    show_default=True,
    help="duckdb, polars, pandas, ibis or spark; snowflake, bigquery or motherduck.",
)
@click.option("--table", default="activity_engagement_metrics", show_default=True)
@click.option(
    *("--since", "loaded"),
    type=click.Path(path_type=Path),
    help="Of a warehouse: the publication.json of its last load; what changed is replaced.",
)
@env_option
@click.pass_context
def lake_group(
    context: click.Context, /, reader: str, table: str, loaded: Path | None, env: str | None
) -> None:
    """Print what reads or loads a published table; set up the MinIO server of --env minio."""
    if context.invoked_subcommand:
        return
    from kedro.framework.session import KedroSession

    from lingokids.storage.lake import exports, readers

    with KedroSession.create(project_path=context.obj.project_path, env=env) as session:
        config = session.load_context().config_loader  # type: ignore[attr-defined]
    published = {
        name.removeprefix("published_"): entry
        for name, entry in config["catalog"].items()
        if name.startswith("published_")
    }
    if table not in published:
        raise LingokidsError(
            f"{table} is not published.{did_you_mean(table, published)} There are: "
            f"{', '.join(published)}."
        )
    if reader in exports.WAREHOUSES:
        click.echo(exports.statements(reader, published[table], config["credentials"], loaded))
    elif loaded is not None:
        raise LingokidsError(
            f"--since is for warehouses ({', '.join(exports.WAREHOUSES)}), and {reader} reads the "
            "publication as it is: leave it out."
        )
    else:
        click.echo(readers.lines(reader, published[table]["lake"], table), nl=False)


@lake_group.command(name="init")
@click.option("--without-sample", is_flag=True, help="Leave the raw buckets as they are.")
@click.option("--wait", default=10.0, show_default=True, help="Seconds to wait for the server.")
@click.pass_obj
def init_lake(metadata: ProjectMetadata, /, without_sample: bool, wait: float) -> None:
    """Make buckets and the pipeline's user, and deliver the sample; changes only what differs.

    The server and the credentials are those of the environment, or of the file .env.
    """
    from lingokids import minio_setup
    from lingokids.runtime import environment

    sample = None if without_sample else metadata.project_path / "data" / "01_raw"
    try:
        for step in minio_setup.initialise(environment.variables(), sample, patience=wait):
            click.echo(step)
    except minio_setup.SetupError as refused:
        raise click.ClickException(str(refused)) from None


@cli.command(name="metrics")
@click.option("--metric", "-m", "metric", multiple=True, help="A metric; repeat for several.")
@click.option("--by", "-b", multiple=True, help="A dimension to group by; repeat for several.")
@click.option("--grain", "-g", help="day, week, month or year: one row per period.")
@click.option("--where", "-w", multiple=True, help="dimension=value; repeated: either value.")
@click.option("--since", help="First day, YYYY-MM-DD.")
@click.option("--until", help="The day after the last.")
@click.option("--top", type=int, help="Keep so many rows per period, by the first metric.")
@click.option("--per", multiple=True, help="A dimension of --by within whose values --top applies.")
@click.option("--format", "-f", "format_name", type=_FORMAT, default="table")
@click.option("--restricted", is_flag=True, help="Any question and span, small groups included.")
@click.option("--glossary", is_flag=True, help="Print the glossary and exit.")
@env_option
@click.pass_obj
def ask_metrics(metadata: ProjectMetadata, /, **asked: Any) -> None:
    """Query metrics by dimension and period.

    Name metrics, dimensions to group by, and filters:

        kedro metrics --metric completion_rate --by country_code --grain week --where os_name=iOS

    The answer may be shared: it is of closed weeks, without small groups.
    """
    if asked["glossary"]:
        from lingokids.metrics.glossary import glossary

        click.echo(glossary(), nl=False)
        return
    from lingokids.query import command
    from lingokids.runtime import configuration
    from lingokids.runtime.preconditions import refuse_another_copy

    if asked["format_name"] != "table":
        configuration.refuse_a_log_on_standard_output()
    question = command.parse_question(asked)
    places = command.find_places(metadata.project_path, asked["env"])
    refuse_another_copy(places.copy, asked["env"] or os.environ.get("KEDRO_ENV"))
    if asked["restricted"]:
        answer = command.ask(places.copy, question)
        click.echo("Restricted: small groups are not hidden; do not pass this on.", err=True)
    else:
        answer = command.ask_shared(places, question)
    click.echo(command.FORMATS[asked["format_name"]](answer))
    if asked["format_name"] != "table":  # standard output is for a program
        for note in answer.notes:
            click.echo(note, err=True)


@cli.command(name="lineage")
@click.argument("column")
@click.option("--up", is_flag=True, help="Only what it comes from.")
@click.option("--down", is_flag=True, help="Only what a change of it touches.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_lineage(metadata: ProjectMetadata, /, column: str, **asked: bool) -> None:
    """Show where a column comes from, and what a change of it touches.

    COLUMN is table.column, or a metric, a chart or the dashboard:

        kedro lineage activity_engagement_metrics.completion_rate --up
    """
    from lingokids.lineage import command
    from lingokids.runtime import configuration

    if asked["is_json"]:
        configuration.refuse_a_log_on_standard_output()
    graph = command.of_project(metadata.project_path)
    directions = tuple(filter(asked.get, command.DIRECTIONS)) or command.DIRECTIONS
    show = command.as_json if asked["is_json"] else command.as_text
    click.echo(show(graph, command.find(graph, column), directions))


@cli.group(name="docs")
def docs_group() -> None:
    """The data docs: tables, columns, lineage, metrics, rules and runs as a static site."""


@docs_group.command(name="build")
@click.option("--output", type=click.Path(path_type=Path), help="Default: data/09_shared/docs.")
@click.option(
    "--graph", type=click.Path(path_type=Path), help="Add the folder that kedro viz build wrote."
)
@click.option("--serve", "is_served", is_flag=True, help="Then open it, on 127.0.0.1.")
@click.option("--port", default=4142, show_default=True, help="For --serve; 0: a free one.")
@env_option
@click.pass_obj
def build_docs(metadata: ProjectMetadata, /, is_served: bool, port: int, **asked: Any) -> None:
    """Write the data docs: a static site for a browser, and catalog.json for programs.

    They have no value of a row, and may be shared.
    """
    from lingokids.docs import command

    gc.set_threshold(*commands.COLLECTION_THRESHOLDS)
    folder = command.build(metadata.project_path, **asked)
    click.echo(f"Wrote the data docs: {folder / 'index.html'}")
    if is_served:
        command.serve(folder, port, click.echo)


@cli.group(name="contracts")
def contracts_group() -> None:
    """The contracts of the tables."""


@contracts_group.command(name="dictionary")
def print_dictionary() -> None:
    """Print the data dictionary, in Markdown: src/lingokids/schema/README.md."""
    from lingokids import schema
    from lingokids.schema.dictionary import dictionary

    click.echo(dictionary(schema.STORED.values()), nl=False)


@contracts_group.command(name="export")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Default: data/08_reporting/contracts."
)
@click.pass_obj
def export_contracts(metadata: ProjectMetadata, /, folder: Path | None) -> None:
    """Write the contracts as Open Data Contract Standard, a YAML file a table."""
    from lingokids import schema
    from lingokids.schema.odcs import export

    target = folder or metadata.project_path / "data" / "08_reporting" / "contracts"
    files = export(schema.STORED.values(), target)
    click.echo(f"Wrote the contracts of {len(files):,} tables into {target}.")


@cli.command(name="expire")
@click.option("--raw", is_flag=True, help="Remove the raw objects that may go.")
@env_option
@click.pass_obj
def show_what_expires(metadata: ProjectMetadata, /, raw: bool, env: str | None) -> None:
    """Show what is older than the parameters retention allow, and what removes it."""
    from lingokids.privacy import expire

    expiry = expire.Expiry(metadata.project_path, env)
    click.echo(expire.as_text(expiry.plan()))
    for line in expiry.remove_raw() if raw else ():
        click.echo(line)


@cli.command(name="erase")
@click.option("--user", help="The id of a user; - reads it from standard input.")
@click.option("--child", help="The id of a child; - reads it from standard input.")
@click.option("--rewrite-raw", is_flag=True, help="Take their lines out of raw objects, too.")
@click.option("--drop-backups", is_flag=True, help="Remove the backups made before, too.")
@click.option("--export", is_flag=True, help="Print what is held of them as JSON; erase nothing.")
@env_option
@click.pass_obj
def erase_person(metadata: ProjectMetadata, /, **asked: Any) -> None:
    """Erase a user or a child from every table and file, and refuse them from now on."""
    from lingokids.privacy import erase
    from lingokids.runtime import configuration

    person = erase.person_of(asked["user"], asked["child"])
    where = (metadata.project_path, asked["env"])
    if asked["export"]:
        configuration.refuse_a_log_on_standard_output()
        click.echo(erase.export(*where, person))
        return
    how = {name: asked[name] for name in ("rewrite_raw", "drop_backups")}
    for line in erase.erase(*where, person, **how):
        click.echo(line)
