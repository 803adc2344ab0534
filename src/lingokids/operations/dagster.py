"""The code location for Dagster: tables as assets, made by one run; a schedule, a sensor, checks.

    DAGSTER_HOME=… dagster dev -m lingokids.operations.dagster

One run is one transaction, so one op makes all assets: ``kedro run``, with its own report.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.operations.project import Project
from lingokids.operations.status import not_in_ledger
from lingokids.runtime.environment import PROJECT
from lingokids.storage.duckdb.history import history_of

FOLDER = find_kedro_project(Path.cwd()) or PROJECT
bootstrap_project(FOLDER)
ENV = os.environ.get("KEDRO_ENV")
#: Of checks, how many rules are named in a sentence.
_NAMED = 5


def _specs() -> Iterator[dg.AssetSpec]:
    """The tables, and what each is made from."""
    for node in pipelines["__default__"].nodes:
        for name in node.outputs:
            contract = schema.STORED[name]
            yield dg.AssetSpec(
                name,
                deps=[each for each in node.inputs if not each.startswith("params:")],
                description=contract.meaning,
                group_name=node.namespace,
                kinds={"duckdb", "ibis"},
            )


SPECS = [*_specs()]
TABLES = [spec.key.to_user_string() for spec in SPECS]


@dg.multi_asset(name="run", specs=SPECS, pool="warehouse")
def run() -> Iterator[dg.MaterializeResult]:
    """Run the default pipeline; what fails is said in one sentence."""
    project = Project.read(FOLDER, ENV)
    try:
        with KedroSession.create(FOLDER, env=ENV) as session:
            session.run()
    except LingokidsError as error:
        raise dg.Failure(error.message) from None
    with history_of(project.database, project.published) as history:
        written_at = history.written_at()
        sizes = history.sizes(TABLES)
    for name in TABLES:
        rows, _size_bytes = sizes.get(name, (0, 0))
        facts: dict[str, Any] = {
            "dagster/row_count": rows,
            "last written": str(written_at.get(name, "never")),
        }
        yield dg.MaterializeResult(asset_key=name, metadata=facts)


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec("rules", asset=name) for name in TABLES], pool="warehouse"
)
def rules() -> Iterator[dg.AssetCheckResult]:
    """Whether the rules of each table held when they were last checked: ``check_results``."""
    project = Project.read(FOLDER, ENV)
    with history_of(project.database, project.published) as history:
        results = history.results(1)
    for name in TABLES:
        of_table = [each for each in results if each["table_name"] == name]
        broken = [each for each in of_table if each["verdict"] in ("warned", "failed")]
        named = ", ".join(f"{each['rule']} by {each['rows_failed']:,}" for each in broken[:_NAMED])
        is_error = any(each["verdict"] == "failed" for each in broken)
        yield dg.AssetCheckResult(
            check_name="rules",
            asset_key=name,
            passed=not broken,
            severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
            description=f"Broken: {named}" if broken else f"{len(of_table)} rules hold.",
        )


update = dg.define_asset_job("update", selection=dg.AssetSelection.all())

daily = dg.ScheduleDefinition(
    name="daily",
    job=update,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.sensor(job=update, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def new_objects() -> dg.RunRequest | dg.SkipReason:
    """Ask for a run if objects have landed that the ledger has not got, once for each listing."""
    project = Project.read(FOLDER, ENV)
    listed = project.list_as_a_run()
    with history_of(project.database, project.published) as history:
        if history.held_by:
            return dg.SkipReason(history.held_by)
        due = [*not_in_ledger(listed, history)]
    if not due:
        return dg.SkipReason("No object is new.")
    versions = sorted((name, str(each)) for name in listed for each in listed[name])
    return dg.RunRequest(run_key=hashlib.sha256(repr(versions).encode()).hexdigest())


defs = dg.Definitions(
    assets=[run],
    asset_checks=[rules],
    jobs=[update],
    schedules=[daily],
    sensors=[new_objects],
    executor=dg.in_process_executor,
)
