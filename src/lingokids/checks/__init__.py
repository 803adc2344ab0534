"""Check that rows keep the rules of their table's contract.

``inspection`` decides which rules are checked on which rows, ``conditions`` turns a rule into a
query, ``evidence`` stores the results. Which rules a table has is in ``schema``; when a run is
checked and rolled back, in ``runtime.hooks``.
"""

from lingokids.checks.results import Example, Result

__all__ = ["Example", "Result"]
