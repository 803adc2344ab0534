"""The result of checking a rule: counts, verdict and failing rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lingokids.errors import in_one_line
from lingokids.schema import COLUMNS, ERROR, NONE, Rule, masked

MOST_EXAMPLES = 1_000
#: Failing rows described in a message, if the rule has words for them.
MOST_TOLD = 5
_WORD = re.compile(r"\w+")
HELD, WARNED, FAILED, SKIPPED = "held", "warned", "failed", "skipped"


@dataclass(frozen=True)
class Example:
    """A failing row, and the raw line it came from, if any."""

    key: dict[str, Any]
    values: dict[str, Any]
    object_key: str | None = None
    line_number: int | None = None

    @classmethod
    def of(cls, rule: Rule, grain: Sequence[str], row: Mapping[str, Any]) -> Example:
        """A failing row without what names a person.

        Identifiers and free text are masked; of quasi-identifiers those are kept that are in the
        grain or that the rule is about.
        """
        about = {*grain, *_WORD.findall(rule.meaning)}
        values = {
            name: value
            for name, value in masked(row).items()
            if value is not None
            and (name in about or name not in COLUMNS or COLUMNS[name].classification == NONE)
        }
        key = {name: values.get(name) for name in grain if name in row}
        return cls(key or values, values, row.get("object_key"), row.get("line_number"))

    @property
    def key_text(self) -> str:
        """The key as JSON."""
        return json.dumps(self.key, default=str, ensure_ascii=False)

    @property
    def place(self) -> str:
        """Where to find it: its line, else its key."""
        if self.object_key is None or self.line_number is None:
            return in_one_line(self.key_text, 300)
        return in_one_line(f"line {self.line_number} of {self.object_key}", 300)

    @property
    def values_text(self) -> str:
        """The row as JSON."""
        return json.dumps(self.values, default=str, ensure_ascii=False)


@dataclass(frozen=True)
class Result:
    """The result of checking one rule of one table.

    Attributes:
        severity: The rule's own, or overridden by ``checks.severities``.
        rows_checked: Checked rows; for rules about days: days.
        seconds: Duration of the query, which several rules may share.
        obstacle: Why the rule could not be checked; it then counts as failed.
    """

    table_name: str
    rule: Rule
    severity: str
    rows_checked: int
    rows_failed: int
    seconds: float
    examples: tuple[Example, ...] = field(default=(), compare=False)
    obstacle: str = ""

    @property
    def verdict(self) -> str:
        """held, warned, failed, or skipped."""
        if self.obstacle:
            return FAILED
        if not self.rows_checked and not self.rows_failed:
            return SKIPPED
        if not self.rule.is_broken(self.rows_checked, self.rows_failed):
            return HELD
        return FAILED if self.severity == ERROR else WARNED

    @property
    def sentence(self) -> str:
        """What is wrong, in a sentence."""
        rule = f"{self.table_name}: rule {self.rule.name} ({self.rule.meaning})"
        if self.obstacle:
            return f"{rule} cannot be checked: {self.obstacle}"
        such_as = f", such as {self.examples[0].place}" if self.examples else ""
        told = [self.rule.in_words(example.values) for example in self.examples[:MOST_TOLD]]
        if any(told):
            more = self.rows_failed - len(told)
            such_as = f": {'; '.join(told)}{f'; and {more:,} more' if more else ''}"
        tolerated = f" ({self.rule.tolerance} tolerated)" if self.rule.tolerance else ""
        counts = f"{self.rows_failed:,} of {self.rows_checked:,}"
        return f"{rule} is broken by {counts}{tolerated}{such_as}"
