"""What operators ask besides running: how things stand, what is due, and whether a run can begin.

Nothing here writes, keeps a run waiting longer than it would wait, or shows what is of a person.
"""
