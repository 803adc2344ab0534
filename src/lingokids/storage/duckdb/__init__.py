"""The engine behind the door: DuckDB, one file an environment, one transaction a run."""
