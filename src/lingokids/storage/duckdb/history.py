"""What a warehouse has recorded, as its operators ask for it: runs, arrivals, what was set aside.

One short-lived connection answers everything; what is due by rows is found by ``units``. Values are
written into the statements: to be given one apart, the engine loads pandas, a second of CPU.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.schema import INGESTED_OBJECTS, RUNS
from lingokids.storage.duckdb.expressions import text
from lingokids.storage.duckdb.published_copy import open_copy
from lingokids.storage.duckdb.sentences import cannot_open, first_line, is_held
from lingokids.storage.duckdb.state import changed_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from lingokids.incremental.links import Step

#: How many runs an estimate is made from.
_PAST_RUNS = 30
#: Of fewer runs of a kind none is unusual.
_LEAST_RUNS = 3

_RUNS = """
    SELECT * EXCLUDE (environment, parameters),
        CASE WHEN count(*) OVER kind >= {least} THEN median(run_seconds) OVER kind END
        AS usual_seconds
    FROM main.runs WINDOW kind AS (PARTITION BY pipelines, parameters, status)
    ORDER BY started_at DESC LIMIT {count}
"""
#: Loads are numbered in the order of runs; of a restored one no run is known.
_LAST_LOAD_BEFORE = """
    SELECT coalesce(max(load_id), 0) FROM main.run_units JOIN main.runs USING (run_id)
    WHERE started_at < TIMESTAMP '{since}'
"""
_QUARANTINED = """
    SELECT dataset, reason, CAST(sum(lines_alike) AS BIGINT) AS lines FROM main.quarantined_lines
    WHERE load_id > ({past}) GROUP BY ALL ORDER BY lines DESC, 1, 2
"""
_UNKNOWN_KEYS = """
    SELECT dataset, unknown_key, json_type, CAST(sum(lines_with_key) AS BIGINT) AS lines
    FROM main.unknown_keys WHERE load_id > ({past}) GROUP BY ALL ORDER BY lines DESC, 1, 2
"""
_WARNINGS = """
    SELECT table_name, rule, verdict, rows_failed, started_at
    FROM main.check_results JOIN main.runs USING (run_id)
    WHERE started_at >= TIMESTAMP '{since}' AND verdict IN ('warned', 'failed')
    QUALIFY row_number() OVER (PARTITION BY table_name, rule ORDER BY started_at DESC) = 1
    ORDER BY started_at DESC, table_name, rule
"""
_WRITTEN = """
    SELECT table_name, max(started_at) AS written_at
    FROM main.run_steps JOIN main.runs USING (run_id) GROUP BY ALL
"""
_RESULTS = """
    SELECT table_name, rule, max(run_id) AS run_id, arg_max(verdict, run_id) AS verdict,
        arg_max(rows_checked, run_id) AS rows_checked, arg_max(rows_failed, run_id) AS rows_failed,
        list_reverse(list(rows_failed ORDER BY run_id DESC)[:{runs}]) AS trend
    FROM main.check_results GROUP BY ALL
"""
#: By run: lines of events, and the rules that were checked.
_LINES_OF_EVENTS = """
    SELECT run_id, CAST(sum(rows_read) AS BIGINT) FROM main.run_steps
    WHERE table_name = 'bronze_events' GROUP BY ALL
"""
_CHECKED = """
    SELECT run_id, count(*) FILTER (verdict = 'held') AS held,
        list(table_name || '.' || rule ORDER BY ALL) FILTER (verdict = 'failed') AS failed,
        list(table_name || '.' || rule ORDER BY ALL) FILTER (verdict = 'warned') AS warned
    FROM main.check_results GROUP BY ALL ORDER BY run_id DESC LIMIT {count}
"""
_STORED = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
#: A block may hold parts of several tables, so the sizes of small ones are rough.
_BYTES = """
    (SELECT count(DISTINCT block_id) FROM pragma_storage_info('{0}') WHERE block_id >= 0)
    * (SELECT max(block_size) FROM pragma_database_size())
"""
#: Runs that took in objects: how many bytes, and for how long they ran.
_TAKEN_IN = f"""
    SELECT runs.run_id, run_seconds, (
        SELECT sum(size_bytes) FROM main.ingested_objects WHERE load_id IN (
            SELECT load_id FROM main.run_units AS unit
            WHERE unit.run_id = runs.run_id AND unit.table_name = '{INGESTED_OBJECTS.table_name}'
        )
    ) AS size_bytes
    FROM main.runs WHERE status = 'succeeded' AND size_bytes > 0
    ORDER BY started_at DESC LIMIT {_PAST_RUNS}
"""
_SECONDS = f"""
    SELECT count(*), min(run_seconds), median(run_seconds),
        regr_slope(run_seconds, size_bytes), regr_intercept(run_seconds, size_bytes)
    FROM ({_TAKEN_IN})
"""
_ROWS_A_BYTE = f"""
    WITH taken_in AS ({_TAKEN_IN})
    SELECT table_name, sum(rows_inserted) / (SELECT sum(size_bytes) FROM taken_in)
    FROM taken_in JOIN main.run_steps USING (run_id) GROUP BY ALL
"""
_KEPT_A_BYTE = """
    SELECT dataset, sum(kept) / sum(size_bytes) FROM main.ingested_objects GROUP BY ALL
    HAVING sum(size_bytes) > 0
"""
_DAYS_A_RUN = f"""
    SELECT table_name, median(days) FROM (
        SELECT unit.table_name, run_id, count(DISTINCT unit.date) AS days
        FROM ({_TAKEN_IN}) JOIN main.run_units AS unit USING (run_id)
        WHERE unit.date IS NOT NULL GROUP BY ALL
    ) GROUP BY ALL
"""


@dataclass(frozen=True)
class Estimates:
    """What past runs let expect of one that takes in objects.

    Attributes:
        runs: How many runs it is made from.
        kept_a_byte: By dataset, usable lines.
        rows_a_byte: By table, rows inserted.
        days_a_run: By table, days of a run, at the median.
    """

    runs: int
    kept_a_byte: dict[str, float]
    rows_a_byte: dict[str, float]
    days_a_run: dict[str, float]
    _seconds: tuple[float | None, ...] = (None,) * 4

    def seconds(self, size_bytes: int) -> float | None:
        """For how long a run takes in so many bytes; None: no run has yet."""
        least, median, slope, intercept = self._seconds
        if least is None or slope is None or intercept is None or slope <= 0:
            return median
        return max(least, intercept + slope * size_bytes)


class History:
    """The records of one warehouse.

    Attributes:
        held_by: Why the published copy answers in its place, in a sentence; "": it does not.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, held_by: str = "") -> None:
        self._con = con
        self.held_by = held_by
        names = con.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_catalog = current_database() AND table_schema = 'main'"
        )
        self.tables = {name for (name,) in names.fetchall()}

    def runs(self, count: int) -> list[dict[str, Any]]:
        """The last runs, and how long others of their kind took, at the median."""
        return self._rows(_RUNS.format(count=count, least=_LEAST_RUNS), RUNS.table_name)

    def newest(self, table_name: str, column: str, by: str) -> dict[str, Any]:
        """The newest instant of each group."""
        query = f'SELECT "{by}", max("{column}") FROM main."{table_name}" GROUP BY ALL'
        return dict(self._ask(query, table_name))

    def written_at(self) -> dict[str, datetime]:
        """When a run last wrote a table, by name."""
        return dict(self._ask(_WRITTEN, "run_steps"))

    def quarantined(self, since: datetime) -> list[dict[str, Any]]:
        """Lines set aside by runs since then, and still there."""
        return self._rows(_since(_QUARANTINED, since), "quarantined_lines", "run_units")

    def unknown_keys(self, since: datetime) -> list[dict[str, Any]]:
        """Keys that no field reads, in lines of runs since then."""
        return self._rows(_since(_UNKNOWN_KEYS, since), "unknown_keys", "run_units")

    def warnings(self, since: datetime) -> list[dict[str, Any]]:
        """Rules that did not hold in runs since then, each as it was last found."""
        return self._rows(_since(_WARNINGS, since), "check_results")

    def results(self, runs: int) -> list[dict[str, Any]]:
        """The last result of each rule, and how many rows failed in so many checks of it."""
        return self._rows(_RESULTS.format(runs=runs), "check_results")

    def lines_of_events(self) -> dict[str, int | None]:
        """Lines of events that each run read."""
        return dict(self._ask(_LINES_OF_EVENTS, "run_steps"))

    def checked(self, count: int) -> list[dict[str, Any]]:
        """The last runs that checked rules: how many held, and which did not; the newest first."""
        return self._rows(_CHECKED.format(count=count), "check_results")

    def sizes(self, of: Iterable[str] = schema.STORED) -> dict[str, tuple[int, int]]:
        """Rows and bytes of tables; a view has no bytes."""
        stored = {name for (name,) in self._ask(_STORED)}
        counts = " UNION ALL ".join(
            f"SELECT '{name}', count(*), {_BYTES.format(name) if name in stored else 0} "
            f'FROM main."{name}"'
            for name in sorted(self.tables & {*of})
        )
        return {name: (rows, size) for name, rows, size in self._ask(counts)} if counts else {}

    def facts(self, table_name: str) -> dict[str, str]:
        """What is known of one table, in words: rows, size, last run, verdicts, freshness."""
        rows, size = self.sizes([table_name]).get(table_name, (None, 0))
        written_at = self.written_at().get(table_name)
        of_table = [each for each in self.results(1) if each["table_name"] == table_name]
        verdicts = Counter(each["verdict"] for each in of_table)
        broken = (each["rule"] for each in of_table if each["verdict"] in ("warned", "failed"))
        facts = {
            "rows": "" if rows is None else f"{rows:,}",
            "size": f"{size / 1024:,.0f} KiB" if size else "",
            "last written": f"{written_at:%Y-%m-%d %H:%M} UTC" if written_at else "",
            "last verdicts": ", ".join(f"{n} {verdict}" for verdict, n in verdicts.most_common()),
            "broken": ", ".join(broken),
        }
        for rule in schema.CONTRACTS[table_name].rules:
            if isinstance(rule, schema.Fresh):
                newest = self.newest(table_name, rule.column, rule.by)
                facts["newest"] = ", ".join(
                    f"{group} {newest[group]:%Y-%m-%d %H:%M} UTC"
                    + (f" (promised within {rule.hours[group]:g} h)" if group in rule.hours else "")
                    for group in sorted(newest)
                )
        return facts

    def behind(self, step: Step) -> list[str] | None:
        """The inputs of a table that changed since it was made; None: it never was."""
        needed = {step.table_name, *(link.table_name for link in step.links), "table_state", "gone"}
        return changed_inputs(self._con, step) if needed <= self.tables else None

    def known(self, dataset: str) -> set[tuple[str, str, datetime]]:
        """The versions of objects that the ledger takes for those there are."""
        query = (
            "SELECT object_key, etag, landed_at FROM main.ingested_objects "
            f"WHERE dataset = {text(dataset)} AND is_current"
        )
        return set(self._ask(query, INGESTED_OBJECTS.table_name))

    def estimates(self) -> Estimates:
        """What past runs let expect of the next."""
        needed = (INGESTED_OBJECTS.table_name, "run_units")
        seconds = self._ask(_SECONDS, *needed)
        runs, *others = seconds[0] if seconds else (0, *(None,) * 4)
        kept, rows, days = (
            dict(self._ask(query, *needed)) for query in (_KEPT_A_BYTE, _ROWS_A_BYTE, _DAYS_A_RUN)
        )
        return Estimates(runs, kept, rows, days, tuple(others))

    def _ask(self, query: str, *tables: str) -> list[Any]:
        """The rows of an answer; none where one of the tables is not there."""
        if not {*tables} <= self.tables:
            return []
        return self._con.execute(query).fetchall()

    def _rows(self, query: str, *tables: str) -> list[dict[str, Any]]:
        rows = self._ask(query, *tables)
        names = [column[0] for column in self._con.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]


def _since(query: str, since: datetime) -> str:
    return query.replace("{past}", _LAST_LOAD_BEFORE).format(since=since)


@contextlib.contextmanager
def history_of(database: Path, published: Path) -> Iterator[History]:
    """The records of a warehouse; those of its published copy while a run holds it.

    Raises:
        LingokidsError: It is damaged, or held and there is no copy.
    """
    held_by = ""
    try:
        # a warehouse that is not there yet has no records
        name, is_there = str(database), database.exists()
        con = duckdb.connect(name, read_only=True) if is_there else duckdb.connect()
    except duckdb.Error as error:
        if not (is_held(error) and published.exists()):  # a damaged one is not to be passed over
            cure = "Ask again when that one ends."
            raise LingokidsError(cannot_open(database, error, cure)) from error
        held_by = cannot_open(database, error, cure="").strip()
        con = open_copy(published)
    try:
        with con:
            yield History(con, held_by)
    except duckdb.IOException as error:  # a block that is damaged is found when it is read
        raise LingokidsError(f"{database.name} cannot be read: {first_line(error)}.") from error
