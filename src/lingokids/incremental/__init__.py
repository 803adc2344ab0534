"""What a run rebuilds: links between tables, fingerprints of nodes, windows."""
