"""What the project is measured against: how little time and memory the same job can take.

Here: ``handwritten``, one script that turns raw objects into bronze, silver and gold in plain
Python and DuckDB SQL, without Kedro and Ibis ("the limit"). It stands alone on purpose: it
shares no code with the project, so it cannot inherit a mistake or a cost from it, and its
tables are a second opinion on theirs. Elsewhere: the raw objects to measure with (``sample``).
"""
