"""Whether rows keep the rules of their table's contract.

Here: a rule as a query over tables (``conditions``), a day against the days before it
(``steadiness``), what an operator may ask and tune (``asked``), what was found (``results``), and
the page that shows it (``report``). Elsewhere: which rules a table has (``contracts``), which
rows a run changed (``datasets``), when checks are made and what becomes of a run that breaks one
(``inspections``).
"""

from lingokids.checks.asked import Asked, check_parameters
from lingokids.checks.results import Example, Result

__all__ = ["Asked", "Example", "Result", "check_parameters"]
