"""What a run rebuilds: links between tables, and what a node computes."""
