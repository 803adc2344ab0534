"""What a run reads and rebuilds: windows, links, units that are due, state."""
