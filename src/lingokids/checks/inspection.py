"""Check changed rows before a commit, or whole tables on demand.

Decides which rules are checked on which rows, and what follows from the results.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lingokids import schema
from lingokids.checks import anomalies, conditions, remedies
from lingokids.checks.conditions import Scope
from lingokids.checks.results import FAILED, HELD, MOST_EXAMPLES, SKIPPED, WARNED, Example, Result
from lingokids.errors import LingokidsError
from lingokids.schema import (
    OFF,
    WARN,
    Contract,
    ForeignKey,
    Fresh,
    MostlyUsable,
    NoOtherColumns,
    Rule,
    SchemaKept,
    Steady,
    Unique,
)
from lingokids.storage.engine import UnreadableError
from lingokids.storage.records import RECORDS, kept_table

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from lingokids.schema.parameters import Checks
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.tables import TableDataset

LOGGER = logging.getLogger(__name__)

#: Tables that are created together: where one of them exists, all did.
_MADE_TOGETHER = (
    {contract.table_name for contract in RECORDS},
    {schema.CHECK_RESULTS.table_name, schema.CHECK_FAILURES.table_name},
)


class BrokenRuleError(LingokidsError):
    """A rule of severity ``error`` does not hold, or cannot be checked."""


class Counts(NamedTuple):
    """Checked rows, failing rows, and the duration of the query."""

    rows_checked: int
    rows_failed: int
    seconds: float


class Inspection:
    """The checks of one run.

    Args:
        warehouse: The tables, in the run's transaction.
        tables: Every table of the catalog, by entry.
        options: The parameters ``checks``.

    Attributes:
        about: Which rows were checked, in a sentence.
        results: One for each checked rule.
    """

    def __init__(
        self, warehouse: Warehouse, tables: dict[str, TableDataset], options: Checks
    ) -> None:
        self._warehouse = warehouse
        self._options = options
        self._tables = {table.table_name: table for table in tables.values()}
        self._is_of_changes = False
        self.about = ""
        self.results: list[Result] = []

    def check_changes(self) -> None:
        """Check the rows that the run changed, in tables that are checked in each run."""
        self.about = "Checked: the rows that the run changed."
        self._is_of_changes = True
        changed = self._warehouse.changed_tables
        if schema.RESCUED_VALUES.table_name in changed:
            changed.append(schema.UNKNOWN_KEYS.table_name)
        for name in changed:
            contract = schema.CONTRACTS[name]
            rules = [
                rule
                for rule in self._options.rules_of(name)
                if rule.each_run and not rule.is_enforced
            ]
            if contract.promise.each_run and rules:
                self._check(contract, rules, self._changed_rows(self._tables[name]))

    def check_tables(self) -> None:
        """Check whole tables on demand."""
        self.about = "Checked: whole tables."
        there, dropped = self._warehouse.tables, self._dropped()
        state = {schema.TABLE_STATE.table_name, schema.GONE.table_name}  # each run makes these
        if not (there & set(schema.STORED)) - state:
            raise LingokidsError("There is no table to check yet: uv run kedro run builds them.")
        if self._options.table is not None and self._options.table not in there | dropped:
            raise LingokidsError(
                f"{self._options.table} does not exist yet: uv run kedro run builds it."
            )
        for name, contract in schema.STORED.items():
            rules = [
                rule
                for rule in self._options.selected_rules(name)
                # a table that no run has built yet is nothing to compare with
                if getattr(rule, "table", name) in there | dropped
            ]
            if rules and name in dropped:
                missing = [Example({"table": name}, {"is": "missing"})]
                self._append_schema(contract, len(contract.columns), missing, 0.0)
            elif rules and name in there and (rules := self._check_columns(contract, rules)):
                self._check(contract, rules, self._whole(name))

    @property
    def broken(self) -> BrokenRuleError | None:
        """The error that ends the run, if a rule failed: the first one, in a sentence."""
        failed = [result for result in self.results if result.verdict == FAILED]
        if not failed:
            return None
        others = f" (and {len(failed) - 1:,} more)" if failed[1:] else ""
        return BrokenRuleError(
            f"{failed[0].sentence}{others}. {self._remedy(failed)}. The failing rows are in "
            "check_failures, and in the check report."
        )

    def _remedy(self, failed: Sequence[Result]) -> str:
        if all(isinstance(result.rule, MostlyUsable) for result in failed):
            return remedies.OF_DELIVERIES
        if self._is_of_changes:
            return remedies.OF_A_RUN
        at_fault = {_at_fault(result) for result in failed}
        layers = {self._tables[name].layer for name in at_fault if name in self._tables}
        altered = {
            result.table_name
            for result in failed
            if isinstance(result.rule, SchemaKept) and result.table_name in self._warehouse.tables
        }
        return remedies.for_tables(layers, altered - {schema.UNKNOWN_KEYS.table_name})

    def log(self) -> None:
        """Log warnings, and how many rules hold."""
        for result in self.results:
            if result.verdict == WARNED:
                LOGGER.warning("%s.", result.sentence)
        if checked := [result for result in self.results if result.verdict != SKIPPED]:
            held = sum(result.verdict == HELD for result in checked)
            tables = {result.table_name for result in checked}
            LOGGER.info(
                "Checked: %s of %s rules hold, in %s tables.",
                f"{held:,}",
                f"{len(checked):,}",
                f"{len(tables):,}",
            )

    # --- which rows ---

    def _table(self, name: str) -> ir.Table:
        """A table; one that does not exist counts as empty, and is not created."""
        contract = schema.CONTRACTS[name]
        if name in self._warehouse.tables:
            return kept_table(self._warehouse, contract).load()
        return self._warehouse.empty(contract.nullable_schema)

    def _changed_rows(self, table: TableDataset) -> Scope:
        if table.table_name == schema.UNKNOWN_KEYS.table_name:  # a view
            keys = table.load()
            new = keys.filter(keys.load_id == self._warehouse.number)
            return Scope(new, keys, None, self._warehouse.number, self._table)
        # no unchanged row has the key of a new one: a table is replaced by units or as a whole, or
        # its rows are identified by their load
        rows, units = table.stored.changed_rows()
        return Scope(rows, table.load(), units, self._warehouse.number, self._table)

    def _whole(self, name: str) -> Scope:
        table = self._table(name)
        return Scope(table, table, None, None, self._table)

    def _dropped(self) -> set[str]:
        """Tables that do not exist although a run has written them."""
        there = self._warehouse.tables
        written = set()
        with contextlib.suppress(UnreadableError):  # its own rules report that
            steps = self._table("run_steps").select("table_name").distinct()
            written = {name for (name,) in self._warehouse.rows(steps)}
        for together in _MADE_TOGETHER:
            written |= together if together & there else set()
        return (written & set(schema.STORED)) - there

    # --- checking ---

    def _check(self, contract: Contract, rules: list[Rule], scope: Scope) -> None:
        in_pass = [rule for rule in rules if isinstance(rule, conditions.OF_PASS)]
        self._try(contract, in_pass, partial(self._check_rows, contract, in_pass, scope))
        for rule in rules:
            if isinstance(rule, conditions.OF_QUERY):
                self._try(contract, [rule], partial(self._query, contract, rule, scope))
            elif isinstance(rule, Fresh):
                self._check_freshness(contract, rule, scope)
        if steady := [rule for rule in rules if isinstance(rule, Steady)]:
            self._check_days(contract, steady, scope)

    def _try(self, contract: Contract, rules: Sequence[Rule], check: Callable[[], None]) -> None:
        """Check rules; if that is impossible, note the obstacle as their result."""
        try:
            check()
        except UnreadableError as error:
            for rule in rules:
                self._append(contract, rule, Counts(0, 0, 0.0), obstacle=error.cause)

    def _check_rows(self, contract: Contract, rules: Sequence[Rule], scope: Scope) -> None:
        started = time.perf_counter()
        rows_checked, *counts = self._warehouse.rows(conditions.one_pass(rules, scope.rows))[0]
        seconds = time.perf_counter() - started
        for rule, count in zip(rules, counts, strict=True):
            failed = int(count)
            if isinstance(rule, Unique):
                # the pass counts hashes of keys: an alarm is followed by an exact count
                failed = self._exactly(rule, scope) if failed else 0
            self._note(contract, rule, Counts(rows_checked, failed, seconds), scope)

    def _query(self, contract: Contract, rule: Rule, scope: Scope) -> None:
        started = time.perf_counter()
        ((checked, failed),) = self._warehouse.rows(conditions.tally(rule, scope))
        self._note(contract, rule, Counts(checked, failed, time.perf_counter() - started), scope)

    def _exactly(self, rule: Unique, scope: Scope) -> int:
        return int(self._warehouse.rows(conditions.tally(rule, scope))[0][1])

    def _check_days(self, contract: Contract, rules: list[Steady], scope: Scope) -> None:
        started = time.perf_counter()
        compared, to_check = scope.table, None
        if scope.units is not None:
            units = self._warehouse.rows(scope.units.select(rules[0].by).distinct())
            to_check = {day for (day,) in units if isinstance(day, date)}
            compared = conditions.with_history(rules, scope.table, to_check)
        days = self._warehouse.rows(conditions.daily(rules, compared))
        # the engine gives a day that Python has not, such as one of the year 10000, as text
        days = [day for day in days if isinstance(day[0], date)]
        there = {day for day, *_ in days}
        to_check = there if to_check is None else there & to_check
        seconds = time.perf_counter() - started
        for place, rule in enumerate(rules, start=1):
            count, unusual = anomalies.unusual_days(
                {day[0]: day[place] for day in days},
                to_check,
                history_days=rule.history_days,
                least_days=rule.least_days,
                most_deviation=self._options.most_deviation,
            )
            examples = [Example({rule.by: day["date"]}, day) for day in unusual]
            self._append(contract, rule, Counts(count, len(unusual), seconds), examples)

    def _check_freshness(self, contract: Contract, rule: Fresh, scope: Scope) -> None:
        now = self._options.now or datetime.now(UTC).replace(tzinfo=None)
        started = time.perf_counter()
        newest = dict(self._warehouse.rows(conditions.newest(rule, scope.table)))
        stale = [
            {rule.by: group, f"newest {rule.column}": newest.get(group), "now": now}
            for group in rule.overdue(newest, now)
        ]
        examples = [Example({rule.by: group[rule.by]}, group) for group in stale]
        seconds = time.perf_counter() - started
        self._append(contract, rule, Counts(len(rule.hours), len(stale), seconds), examples)

    def _check_columns(self, contract: Contract, rules: list[Rule]) -> list[Rule]:
        """Check the stored columns; return the rules that can still be checked."""
        started = time.perf_counter()
        promised = contract.nullable_schema
        try:
            stored = self._warehouse.schema_of(contract.table_name)
        except UnreadableError as error:
            unreadable = [Example({"table": contract.table_name}, {"is": error.cause})]
            self._append_schema(contract, len(promised), unreadable, 0.0)
            return []
        found = schema.nullable(stored)
        wrong = {
            name: f"{found.get(name, 'missing')}, promised {dtype}"
            for name, dtype in promised.items()
            if found.get(name) != dtype
        }
        known = {*promised, self._warehouse.hidden_column}
        others = {name: str(dtype) for name, dtype in found.items() if name not in known}
        seconds = time.perf_counter() - started
        if wrong or any(isinstance(rule, SchemaKept) for rule in rules):
            self._append_schema(contract, len(promised), _columns(wrong), seconds)
        for rule in rules:
            if isinstance(rule, NoOtherColumns):
                tally = Counts(len(promised), len(others), seconds)
                self._append(contract, rule, tally, _columns(others))
        if wrong:
            return []
        return [rule for rule in rules if not isinstance(rule, SchemaKept | NoOtherColumns)]

    def _append_schema(
        self, contract: Contract, checked: int, examples: Sequence[Example], seconds: float
    ) -> None:
        """Note whether the columns are as promised, even if not selected."""
        rule = next(rule for rule in contract.rules if isinstance(rule, SchemaKept))
        self._append(contract, rule, Counts(checked, len(examples), seconds), examples)

    # --- noting ---

    def _note(self, contract: Contract, rule: Rule, tally: Counts, scope: Scope) -> None:
        is_broken = rule.is_broken(tally.rows_checked, tally.rows_failed)
        examples = self._examples(contract, rule, scope) if is_broken else []
        self._append(contract, rule, tally, examples)

    def _append(
        self,
        contract: Contract,
        rule: Rule,
        tally: Counts,
        examples: Sequence[Example] = (),
        obstacle: str = "",
    ) -> None:
        name = contract.table_name
        severity = self._options.severity_of(name, rule)
        if severity == OFF:  # a wrong schema is reported all the same
            severity = WARN
        self.results.append(Result(name, rule, severity, *tally, tuple(examples), obstacle))

    def _examples(self, contract: Contract, rule: Rule, scope: Scope) -> list[Example]:
        failed = conditions.failing(rule, scope)
        try:
            query = conditions.with_source(failed, self._table)
            found = self._warehouse.rows(query)
        except UnreadableError:  # the tables with the source are broken too
            query = failed.limit(MOST_EXAMPLES)
            found = self._warehouse.rows(query)
        rows = (dict(zip(query.columns, row, strict=True)) for row in found)
        return [Example.of(rule, contract.grain, row) for row in rows]


def _at_fault(result: Result) -> str:
    """The table to rebuild: where one lacks rows of the layer below, that one."""
    rule = result.rule
    return rule.table if isinstance(rule, ForeignKey) and rule.is_of_next else result.table_name


def _columns(faults: dict[str, str]) -> list[Example]:
    return [Example({"column": name}, {"is": fault}) for name, fault in faults.items()]
