"""What the project is measured against: how little time and memory the same job can take.

Here: ``handwritten`` ("the limit"), which turns raw objects into bronze, silver and gold in plain
Python and DuckDB SQL, without Kedro and Ibis; ``raw_lines`` and ``raw_records`` are its two other
rooms: objects to lines, lines to typed records. They share no code with the rest of the project on
purpose: so they inherit neither a cost nor a mistake from it, and their tables are a second
opinion on its tables. Elsewhere: the raw objects to measure with (``lingokids.sample``).
"""
