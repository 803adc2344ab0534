"""What a run rebuilds: windows that are asked for, links between tables, what a node computes."""
