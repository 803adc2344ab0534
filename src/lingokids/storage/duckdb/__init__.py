"""DuckDB as the engine: one file an environment, one transaction a run."""
