"""Checks of a run: on the rows it changed before its commit, or on whole tables on demand.

Here: which rules are checked on which rows, running their queries, and what follows from them.
Elsewhere: the rules (``contracts``), their queries (``checks``), where results are kept
(``evidence``), when a run is checked and rolled back (``hooks``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from lingokids import contracts
from lingokids.checks.asked import Asked
from lingokids.checks.results import FAILED, HELD, SKIPPED, WARNED, Example, Result
from lingokids.contracts import (
    AddsUp,
    Contract,
    Fresh,
    NoOtherColumns,
    NotNull,
    Refers,
    Rule,
    SchemaKept,
    Steady,
    Unique,
)
from lingokids.datasets.warehouse import out_of_room
from lingokids.errors import LingokidsError
from lingokids.runs import kept_table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.checks.conditions import Scope
    from lingokids.datasets.tables import TableDataset
    from lingokids.datasets.warehouse import Warehouse

LOGGER = logging.getLogger(__name__)


class BrokenPromiseError(LingokidsError):
    """A rule of severity ``error`` does not hold."""


class Tally(NamedTuple):
    """How many rows were judged, how many of them fail, and how long that took."""

    rows_checked: int
    rows_failed: int
    seconds: float


class Inspection:
    """The checks of one run.

    Args:
        warehouse: The tables, in the run's transaction.
        tables: Every table of the catalog, by entry.
        asked: The parameters ``checks``.

    Attributes:
        about: Which rows were checked, in a sentence.
        results: What was found.
    """

    def __init__(self, warehouse: Warehouse, tables: dict[str, TableDataset], asked: Asked) -> None:
        self._warehouse = warehouse
        self._asked = asked
        self._tables = {
            table.table_name: table for table in tables.values() if table.mode != "read"
        }
        self._cure = ""
        self.about = ""
        self.results: list[Result] = []

    def of_changes(self) -> None:
        """Check the rows that the run changed, in the tables that each run checks."""
        self.about = "Checked: the rows that the run changed."
        self._cure = (
            "Every table is as it was. Mend the node or the source, or the rule in "
            "contracts/promises.py if the promise changed, and run again"
        )
        changed = dict.fromkeys(
            change.table_name
            for change in self._warehouse.changes
            if change.is_kept and (change.rows_inserted or change.rows_deleted)
        )
        for name in changed:
            contract = contracts.CONTRACTS[name]
            rules = [rule for rule in self._asked.rules_of(name) if _is_of_changes(rule)]
            if contract.promise.each_run and rules:
                self._check(contract, rules, self._changed_rows(self._tables[name]))

    def of_tables(self) -> None:
        """Check whole tables, without having built anything."""
        self.about = "Checked: whole tables."
        self._cure = (
            "Nothing was changed. If rows were changed by hand, make them anew: silver and gold by "
            "uv run kedro run --params rebuild=bronze, bronze by rebuild=raw"
        )
        due = set(self._all(self._tables["due_checks"].load()))
        names = [name for name in contracts.STORED if name in self._warehouse.tables]
        if self._asked.table is not None and self._asked.table not in names:
            raise LingokidsError(
                f"{self._asked.table} is not there yet: uv run kedro run makes it."
            )
        if not names:
            raise LingokidsError("There is no table to check yet: uv run kedro run makes them.")
        for name in names:
            contract = contracts.CONTRACTS[name]
            asked = [rule for rule in contract.rules if (name, rule.name) in due]
            if rules := self._check_store(contract, asked):
                self._check(contract, rules, self._whole(name))

    @property
    def broken(self) -> BrokenPromiseError | None:
        """What ends the run, if anything does: the first rule that fails, in a sentence."""
        failed = [result for result in self.results if result.verdict == FAILED]
        if not failed:
            return None
        others = f" (and {len(failed) - 1:,} rules more)" if failed[1:] else ""
        return BrokenPromiseError(
            f"{failed[0].sentence}{others}. {self._cure}; the failing rows stand in "
            "check_failures, and on the page of the run."
        )

    def log(self) -> None:
        """Say what was checked, and what is unusual."""
        for result in self.results:
            if result.verdict == WARNED:
                LOGGER.warning("%s.", result.sentence)
        if judged := [result for result in self.results if result.verdict != SKIPPED]:
            held = sum(result.verdict == HELD for result in judged)
            tables = {result.table_name for result in judged}
            LOGGER.info(
                "Checked: %s of %s rules hold, in %s tables.",
                f"{held:,}",
                f"{len(judged):,}",
                f"{len(tables):,}",
            )

    # --- which rows ---

    def _changed_rows(self, table: TableDataset) -> Scope:
        from lingokids.checks.conditions import Scope

        replaced = self._tables[table.replaces].load() if table.replaces else None
        rows = table.inserted_in_run()
        return Scope(rows, table.load(), table.there_before_run(), replaced, self._other)

    def _whole(self, name: str) -> Scope:
        from lingokids.checks.conditions import Scope

        table = self._other(name)
        return Scope(rows=table, table=table, earlier=None, units=None, other=self._other)

    def _other(self, name: str) -> ir.Table:
        return kept_table(self._warehouse, contracts.CONTRACTS[name]).load()

    # --- checking ---

    def _check(self, contract: Contract, rules: list[Rule], scope: Scope) -> None:
        from lingokids.checks import conditions

        started = time.perf_counter()
        in_pass = [rule for rule in rules if isinstance(rule, conditions.OF_PASS)]
        rows_checked, *counts = self._first(conditions.one_pass(in_pass, scope.rows))
        seconds = time.perf_counter() - started
        for rule, count in zip(in_pass, counts, strict=True):
            failed = int(count)
            if isinstance(rule, Unique):
                failed = self._count_repeated(rule, scope, is_alarmed=failed > 0)
            self._note(contract, rule, Tally(rows_checked, failed, seconds), scope)
        for other in rules:
            started = time.perf_counter()
            if isinstance(other, Refers | AddsUp):
                checked, failed = self._first(conditions.tally(other, scope))
                tally = Tally(checked, failed, time.perf_counter() - started)
                self._note(contract, other, tally, scope)
            elif isinstance(other, Fresh) and self._asked.now is not None:
                self._check_freshness(contract, other, scope, self._asked.now)
        if steady := [rule for rule in rules if isinstance(rule, Steady)]:
            self._check_days(contract, steady, scope)

    def _count_repeated(self, rule: Unique, scope: Scope, *, is_alarmed: bool) -> int:
        from lingokids.checks import conditions

        if not is_alarmed and scope.earlier is not None:
            (repeated,) = self._first(conditions.repeated_earlier(rule, scope))
            is_alarmed = repeated > 0
        return int(self._first(conditions.tally(rule, scope))[1]) if is_alarmed else 0

    def _check_days(self, contract: Contract, rules: list[Steady], scope: Scope) -> None:
        from lingokids.checks import conditions, steadiness

        started = time.perf_counter()
        compared, judged = scope.table, None
        if scope.units is not None:
            judged = {day for (day,) in self._all(scope.units.select(rules[0].by).distinct())}
            compared = conditions.with_history(rules, scope.table, judged)
        days = self._all(conditions.daily(rules, compared))
        there = {day for day, *_ in days}
        judged = there if judged is None else there & judged
        seconds = time.perf_counter() - started
        for place, rule in enumerate(rules, start=1):
            count, unusual = steadiness.unusual_days(
                {day[0]: day[place] for day in days},
                judged,
                history_days=rule.history_days,
                least_days=rule.least_days,
                most_deviation=self._asked.most_deviation,
            )
            examples = [Example({rule.by: day["date"]}, day) for day in unusual]
            self._append(contract, rule, Tally(count, len(unusual), seconds), examples)

    def _check_freshness(
        self, contract: Contract, rule: Fresh, scope: Scope, now: datetime
    ) -> None:
        from lingokids.checks import conditions

        started = time.perf_counter()
        newest = dict(self._all(conditions.newest(rule, scope.table)))
        stale = [
            {rule.by: group, f"newest {rule.column}": newest.get(group), "now": now}
            for group, hours in rule.hours.items()
            if newest.get(group) is None or now - newest[group] > timedelta(hours=hours)
        ]
        examples = [Example({rule.by: group[rule.by]}, group) for group in stale]
        seconds = time.perf_counter() - started
        self._append(contract, rule, Tally(len(rule.hours), len(stale), seconds), examples)

    def _check_store(self, contract: Contract, rules: list[Rule]) -> list[Rule]:
        """Check the stored columns; return the rules that can be checked with them."""
        started = time.perf_counter()
        stored = self._warehouse.writer.get_schema(contract.table_name)
        found = {name: dtype.copy(nullable=True) for name, dtype in stored.items()}
        promised = {name: dtype.copy(nullable=True) for name, dtype in contract.schema.items()}
        faults = {
            SchemaKept: {
                name: f"{found.get(name, 'missing')}, promised {dtype}"
                for name, dtype in promised.items()
                if found.get(name) != dtype
            },
            NoOtherColumns: {
                name: str(dtype) for name, dtype in found.items() if name not in promised
            },
        }
        seconds = time.perf_counter() - started
        for rule in rules:
            if isinstance(rule, SchemaKept | NoOtherColumns):
                wrong = faults[type(rule)]
                examples = [Example({"column": name}, {"is": is_}) for name, is_ in wrong.items()]
                self._append(contract, rule, Tally(len(promised), len(wrong), seconds), examples)
        if faults[SchemaKept]:
            return []
        return [rule for rule in rules if not isinstance(rule, SchemaKept | NoOtherColumns)]

    # --- noting ---

    def _note(self, contract: Contract, rule: Rule, tally: Tally, scope: Scope) -> None:
        is_broken = rule.is_broken(tally.rows_checked, tally.rows_failed)
        examples = self._examples(contract, rule, scope) if is_broken else []
        self._append(contract, rule, tally, examples)

    def _append(
        self, contract: Contract, rule: Rule, tally: Tally, examples: Sequence[Example]
    ) -> None:
        name = contract.table_name
        severity = self._asked.severity_of(name, rule)
        self.results.append(Result(name, rule, severity, *tally, tuple(examples)))

    def _examples(self, contract: Contract, rule: Rule, scope: Scope) -> list[Example]:
        from lingokids.checks import conditions

        failed = conditions.with_source(conditions.failing(rule, scope), self._other)
        examples = []
        for row in self._warehouse.writer.to_pyarrow(failed).to_pylist():
            key = {name: row[name] for name in contract.grain if name in row}
            source = (row.get("object_key"), row.get("line_number"))
            values = {name: value for name, value in row.items() if value is not None}
            examples.append(Example(key or values, values, *source))
        return examples

    def _first(self, expression: ir.Table) -> tuple[Any, ...]:
        return self._all(expression)[0]

    def _all(self, expression: ir.Table) -> list[tuple[Any, ...]]:
        writer = self._warehouse.writer
        try:
            return writer.con.execute(writer.compile(expression)).fetchall()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise LingokidsError(f"Checking the tables: {out_of_room(error)}") from error


def _is_of_changes(rule: Rule) -> bool:
    """Whether a rule is checked on the rows that a run changed.

    Not what is refused before: the engine enforces what never is NULL when it writes a row, and
    ``Contract.validate`` the columns and their types when Kedro saves a table.
    """
    is_enforced = isinstance(rule, NotNull) and rule.is_enforced
    return rule.each_run and not is_enforced and not isinstance(rule, SchemaKept | NoOtherColumns)
