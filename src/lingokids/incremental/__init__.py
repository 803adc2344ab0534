"""What a run rebuilds: links between tables, and fingerprints of nodes."""
