"""Reads outside a run: the file is open, read-only, for one query at a time.

So notebooks and kedro-viz never keep a run waiting.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import duckdb
from ibis.backends.duckdb import Backend

from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.published_copy import open_copy
from lingokids.storage.duckdb.sentences import cannot_open, is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import ibis.expr.types as ir


class ReadingBackend(Backend):
    """An Ibis backend that opens the file, read-only, for one call at a time.

    Ibis has no such backend, so this one replaces the connection (``con``) of its own, and wraps
    the methods that use it: what a new version of Ibis adds must be added to ``_OPENING``.
    """

    def __init__(self, database: Path, published: Path) -> None:
        super().__init__()
        self._database = database
        self._published = published
        self._opened = 0

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        if not self._opened:
            self.con = connect_for_reading(self._database, self._published)
            self._memtables.clear()  # Ibis takes them for registered, with the last connection
            self._post_connect()  # settings and extensions of each connection
        self._opened += 1
        try:
            yield
        finally:
            self._opened -= 1
            if not self._opened:
                self.con.close()

    def raw_sql(self, query: Any, **kwargs: Any) -> Any:
        """Refused where its result would outlive the connection."""
        if not self._opened:
            raise LingokidsError(
                "The warehouse is opened for one result at a time: use .execute() or .to_pyarrow() "
                "on a table, or open the file with duckdb.connect(…, read_only=True)."
            )
        return super().raw_sql(query, **kwargs)

    def to_pyarrow_batches(self, expr: ir.Expr, /, **kwargs: Any) -> Any:
        """Batches of the result, which is read whole before the file is closed.

        As a stream, DuckDB 1.5 gives no row of some unions of many large groups, and never ends.
        """
        chunk_size = kwargs.pop("chunk_size", 1_000_000)
        return self.to_pyarrow(expr.as_table(), **kwargs).to_reader(max_chunksize=chunk_size)


def _while_open(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: ReadingBackend, *args: Any, **kwargs: Any) -> Any:
        with self._open():
            return method(self, *args, **kwargs)

    return call


_OPENING = (
    *("table", "list_tables", "list_catalogs", "list_databases", "get_schema"),
    *("_get_schema_using_query", "execute", "to_pyarrow"),  # the first is what sql() needs
    *("to_parquet", "to_csv", "to_json", "to_xlsx"),
)
for _name in _OPENING:
    setattr(ReadingBackend, _name, _while_open(getattr(Backend, _name)))


def connect_for_reading(database: Path, published: Path) -> duckdb.DuckDBPyConnection:
    """The warehouse, read-only; while a run holds it, the published copy."""
    if not database.exists():
        raise LingokidsError(f"{database.name} is not there yet: uv run kedro run makes it.")
    try:
        return duckdb.connect(str(database), read_only=True)
    except duckdb.Error as error:
        if is_held(error) and published.exists():  # a damaged one is not to be passed over
            return open_copy(published)
        raise LingokidsError(cannot_open(database, error, "Read it when that one ends.")) from error
