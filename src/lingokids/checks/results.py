"""What a check found: how many rows, how many fail, what follows from it, and some of them.

Here: the verdict on a rule. Elsewhere: where it is kept (``evidence``), how it is shown
(``report``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lingokids.errors import in_one_line
from lingokids.schema import ERROR, Rule

MOST_EXAMPLES = 1_000
#: Failing rows told in a sentence, where the rule has words for them.
MOST_TOLD = 5
HELD, WARNED, FAILED, SKIPPED = "held", "warned", "failed", "skipped"


@dataclass(frozen=True)
class Example:
    """A failing row: what identifies it, all of it, and the line it came from if there is one."""

    key: dict[str, Any]
    values: dict[str, Any]
    object_key: str | None = None
    line_number: int | None = None

    @property
    def key_text(self) -> str:
        """What identifies it, as JSON."""
        return json.dumps(self.key, default=str, ensure_ascii=False)

    @property
    def values_text(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self.values, default=str, ensure_ascii=False)


@dataclass(frozen=True)
class Result:
    """What was found of one rule of one table.

    Attributes:
        severity: The rule's own, or the one an operator gave it.
        rows_checked: Rows judged; for a rule of days, days; 0: there was nothing to judge by.
        seconds: The time of the pass over the table that this and other rules share.
        obstacle: Why the rule could not be checked, if it could not: it then counts as failed.
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
        """What is wrong, in words."""
        rule = f"{self.table_name}: rule {self.rule.name} ({self.rule.meaning})"
        if self.obstacle:
            return f"{rule} cannot be checked: {self.obstacle}"
        such_as = (
            f", such as {in_one_line(self.examples[0].key_text, 300)}" if self.examples else ""
        )
        if self.examples and (in_words := getattr(self.rule, "in_words", None)):
            told = [in_words(example.values) for example in self.examples[:MOST_TOLD]]
            more = self.rows_failed - len(told)
            such_as = f": {'; '.join(told)}{f'; and {more:,} more' if more else ''}"
        tolerated = f" ({self.rule.tolerance} tolerated)" if self.rule.tolerance else ""
        counts = f"{self.rows_failed:,} of {self.rows_checked:,}"
        return f"{rule} is broken by {counts}{tolerated}{such_as}"
