"""The lake: tables in the Delta format, and the pointer that names their versions.

``delta`` is the dataset, and the tables of one folder or bucket; ``publication`` says which of
their rows are owed after a run; ``pointer`` is what makes versions one publication; ``storage`` is
where they lie. ``readers`` are the lines by which others read them, ``exports`` the statements by
which other warehouses load them.
"""
