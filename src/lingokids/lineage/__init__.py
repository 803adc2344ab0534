"""Column lineage: where each column comes from, and what a change of one touches.

Of one expression: ``expressions``; of the project: ``graph``; what no expression says:
``declared``; the command line: ``command``.
"""
