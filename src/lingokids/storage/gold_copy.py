"""The published copy: the gold tables in a file of their own, for readers who never wait.

Here: bringing the copy up to the run that has just been committed, and opening it. Elsewhere: the
warehouse it is copied from (``warehouse``), when it is published (``hooks``).

The copy is written aside and renamed, so a reader has a whole one, old or new. If it is of the
run before, a new one is made from it by replacing the days and users that the run made due: the
cost follows what is new. Any other copy is made anew.
"""

from __future__ import annotations

import functools
import os
import shutil
from typing import TYPE_CHECKING

import duckdb

from lingokids.errors import LingokidsError
from lingokids.storage.units import deletion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Tables that change by units: the columns that name one, and the run's table of those due.
BY_UNIT = {
    "activity_engagement_metrics": (("date",), "due_days"),
    "activity_popularity_daily": (("date",), "due_days"),
    "user_activity_daily": (("date", "user_id"), "due_user_days"),
    "user_journeys": (("user_id",), "due_journeys"),
}
WHOLE = ("q1_completion_rate", "q2_price_tier_engagement", "q3_subscription_impact", "runs")

_COPY = '".lingokids-copy"'  # no file's name: the engine calls a database as its file
_SUCCESSES = "SELECT run_id FROM main.runs WHERE status = 'succeeded' ORDER BY run_id DESC LIMIT 2"


class PublishedCopy:
    """The read-only copy of the gold tables of one warehouse.

    Args:
        file: Where readers find it.
        connection: The run's connection, after its commit.
        tables: The tables of the warehouse.
    """

    def __init__(self, file: Path, connection: duckdb.DuckDBPyConnection, tables: set[str]) -> None:
        self._file = file
        self._con = connection
        self._tables = [name for name in (*BY_UNIT, *WHOLE) if name in tables]
        runs = connection.execute(_SUCCESSES).fetchall() if "runs" in tables else []
        self._runs = [run_id for (run_id,) in runs]

    @property
    def is_current(self) -> bool:
        """Whether it is of the last run that changed something.

        It is not if the run was killed between its commit and its publication.
        """
        return self._copied_run() == self._runs[0] if self._runs else True

    def publish(self, run_tables: set[str], *, anew: bool) -> None:
        """Bring it up to date.

        Args:
            run_tables: The tables of the run, among them those of the units that it replaced.
            anew: Whether more than those units may have changed, so that every row is copied.

        Raises:
            LingokidsError: The file cannot be written; the run itself is committed.
        """
        if not self._runs:
            return
        aside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            aside.unlink(missing_ok=True)
            if anew or self._runs[1:] != [self._copied_run()]:
                self._write(aside, self._copy_rows)
            else:
                shutil.copyfile(self._file, aside)
                self._write(aside, functools.partial(self._replace_units, run_tables=run_tables))
            aside.replace(self._file)
        except (OSError, duckdb.Error) as error:
            raise LingokidsError(
                f"The run is committed, but {self._file.name} could not be written "
                f"({str(error).splitlines()[0]}): mend that and run again."
            ) from error
        finally:
            aside.unlink(missing_ok=True)

    def _copied_run(self) -> str | None:
        """The last run the copy is of; None if there is no copy of ours."""
        if not self._file.exists():
            return None
        try:
            with duckdb.connect(str(self._file), read_only=True) as con:
                row = con.execute("SELECT max(run_id) FROM runs").fetchone()
        except duckdb.Error:
            return None
        return row[0] if row else None

    def _write(self, file: Path, write_units: Callable[[str], None]) -> None:
        self._con.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS {_COPY}")
        try:
            for name in self._tables:
                (write_units if name in BY_UNIT else self._copy_rows)(name)
            self._con.execute(f"DELETE FROM {_COPY}.main.runs WHERE status <> 'succeeded'")
            self._con.execute(f"CHECKPOINT {_COPY}")
        finally:
            self._con.execute(f"DETACH {_COPY}")

    def _copy_rows(self, name: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TABLE {_COPY}.main.{name} AS FROM main.{name}")

    def _replace_units(self, name: str, run_tables: set[str]) -> None:
        unit, due = BY_UNIT[name]
        copy = f"{_COPY}.main.{name}"
        self._con.execute(f"CREATE TABLE IF NOT EXISTS {copy} AS FROM main.{name} LIMIT 0")
        if due in run_tables:
            self._con.execute(deletion(copy, unit, f"temp.main.{due}"))
            self._con.execute(
                f"INSERT INTO {copy} BY NAME FROM main.{name} "
                f"SEMI JOIN temp.main.{due} USING ({', '.join(unit)})"
            )


def open_copy(published: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the published copy.

    Raises:
        LingokidsError: There is no copy, or it cannot be read.
    """
    if not published.exists():
        raise LingokidsError(
            f"{published.name} is not there yet: uv run kedro run, with the same --env, makes it."
        )
    try:
        return duckdb.connect(str(published), read_only=True)
    except duckdb.Error as error:
        raise LingokidsError(
            f"{published.name} cannot be read ({str(error).splitlines()[0]}): uv run kedro run "
            "makes it anew."
        ) from error


def missing_in_copy(published: Path, table_name: str) -> str:
    """What to do when the published copy lacks a table: it is older than the table."""
    return (
        f"{published.name} has no {table_name} yet: uv run kedro run --params rebuild=bronze "
        "makes it."
    )
