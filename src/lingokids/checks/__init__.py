"""Whether rows keep the rules of their table's contract.

Here: what an operator may ask and tune (``asked``); a rule as a query over tables
(``conditions``), a day against the days before it (``anomalies``); which rules are checked on
which rows of a run (``inspection``), and how the tables are read for it (``reading``); what was
found (``results``), what to do about it (``cures``), where it is kept (``evidence``) and the page
that shows it (``report``). Elsewhere: which rules a table has (``schema``), which rows a run
changed (``storage``), when a run is checked and rolled back (``hooks``).

``inspection``, ``reading`` and ``evidence`` work on the warehouse; the others on tables and
numbers alone.
"""

from lingokids.checks.options import CheckOptions, parse_options
from lingokids.checks.results import Example, Result

__all__ = ["CheckOptions", "Example", "Result", "parse_options"]
