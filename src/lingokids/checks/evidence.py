"""Store check results, in two tables and a report for each run.

Also those of a run that is rolled back: they are written in a transaction of their own.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from lingokids import schema
from lingokids.checks.results import FAILED, MOST_EXAMPLES, WARNED, Result
from lingokids.storage.records import insert_records, kept_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingokids.storage.duckdb.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)
MOST_PAGES = 100
RUNS_OF_A_TREND = 30


def save(warehouse: Warehouse, run_id: str, results: list[Result]) -> None:
    """Insert the results in the current transaction."""
    insert_records(
        warehouse,
        schema.CHECK_RESULTS,
        [
            {
                "run_id": run_id,
                "table_name": result.table_name,
                "rule": result.rule.name,
                "severity": result.severity,
                "verdict": result.verdict,
                "rows_checked": result.rows_checked,
                "rows_failed": result.rows_failed,
                "check_seconds": result.seconds,
            }
            for result in results
        ],
    )
    insert_records(
        warehouse,
        schema.CHECK_FAILURES,
        [
            {
                "run_id": run_id,
                "table_name": result.table_name,
                "rule": result.rule.name,
                "failure_number": number,
                "row_key": example.key_text,
                "row_values": example.values_text,
                "object_key": example.object_key,
                "line_number": example.line_number,
            }
            for result in results
            for number, example in enumerate(result.examples[:MOST_EXAMPLES], start=1)
        ],
    )


def write_page(warehouse: Warehouse, run_id: str, about: str, results: list[Result]) -> None:
    """Write the check report of a run, and delete old ones."""
    from lingokids.checks import report

    if warehouse.reports is None:
        return
    file = page_of(warehouse.reports, run_id)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(report.page(run_id, about, results, _trends(warehouse)), encoding="utf-8")
        for old in sorted(file.parent.glob("*.html"))[:-MOST_PAGES]:
            old.unlink()
        if any(result.verdict in (FAILED, WARNED) for result in results):
            near = file.is_relative_to(Path.cwd())
            LOGGER.info("Check report: %s", file.relative_to(Path.cwd()) if near else file)
    except OSError as error:  # the tables have the results as well
        LOGGER.warning("The check report could not be written: %s", error)


def write_index(
    warehouse: Warehouse, environment: str, where_of: Callable[[str | None], str]
) -> None:
    """Write the page of the last runs, which leads to their check reports.

    Args:
        warehouse: The tables, in a run.
        environment: Its name.
        where_of: Says of a recorded failure in which node it was, and no more.
    """
    from lingokids.checks import report

    if warehouse.reports is None:
        return
    history, file = warehouse.history(), warehouse.reports / "index.html"
    pages = {page.stem for page in page_of(warehouse.reports, "").parent.glob("*.html")}
    recorded = history.runs(RUNS_OF_A_TREND)
    runs = report.entries(
        [run | {"where": where_of(run["failure"])} for run in recorded],
        history.lines_of_events(),
        history.checked(MOST_PAGES),
        pages,
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(report.index(environment, runs), encoding="utf-8")
        part.replace(file)
    except OSError as error:  # the tables have it as well
        LOGGER.warning("The page of the last runs could not be written: %s", error)


def page_of(reports: Path, run_id: str) -> Path:
    """The file of a run's check report."""
    return reports / "checks" / f"{run_id}.html"


def _trends(warehouse: Warehouse) -> dict[tuple[str, str], list[int]]:
    results = kept_table(warehouse, schema.CHECK_RESULTS).load()
    runs = results.select("run_id").distinct().order_by(ibis.desc("run_id"))
    recent = results.semi_join(runs.limit(RUNS_OF_A_TREND), "run_id").order_by("run_id")
    failed = recent.select("table_name", "rule", "rows_failed")
    trends: dict[tuple[str, str], list[int]] = {}
    for table_name, rule, rows_failed in warehouse.rows(failed):
        trends.setdefault((table_name, rule), []).append(rows_failed)
    return trends
