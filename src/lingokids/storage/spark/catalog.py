"""The catalog's database: where each table's metadata lies, and the commit of a run.

An Iceberg table is one row of ``iceberg_tables`` that points to its metadata; nothing else is
shared. A run gets rows of its own, copied from those of ``main``: no data moves. It writes there,
and its commit points the rows of ``main`` to what it made, in one transaction with the book. So a
reader of ``main`` sees every table as of one run or of the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from lingokids.errors import LingokidsError, in_one_line
from lingokids.storage.spark.session import CATALOG, refuse_without

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

MAIN = "main"
_RUN, _READER = "run_", "reader_"
_LONGEST_READING_SECONDS = 7 * 24 * 3600
_TABLES = """
    CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name varchar(255) NOT NULL, table_namespace varchar(255) NOT NULL,
        table_name varchar(255) NOT NULL, metadata_location varchar(1000),
        previous_metadata_location varchar(1000), iceberg_type varchar(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name))
"""
_BOOK = """
    CREATE TABLE IF NOT EXISTS lingokids_book (
        catalog_name varchar(255) PRIMARY KEY, run integer NOT NULL, content bytea NOT NULL)
"""
#: An error as Python and Java print it, at the beginning of a line.
_RAISED = re.compile(r"^(?:: )?([\w.]+(?:Error|Exception)): (.*)$", re.MULTILINE)
_OWN_ROWS = f"catalog_name = '{CATALOG}' AND iceberg_type = 'TABLE' AND table_namespace"
_COPY_POINTERS = f"""
    INSERT INTO iceberg_tables SELECT catalog_name, %s, table_name, metadata_location,
        previous_metadata_location, iceberg_type FROM iceberg_tables WHERE {_OWN_ROWS}
"""


class Book(NamedTuple):
    """The file of what runs note and record.

    Attributes:
        run: The number of the run that committed it.
        content: The file.
    """

    run: int
    content: bytes


class Catalog:
    """The database of the tables' catalog.

    Args:
        address: ``postgresql://<host>:<port>/<database>``.
        credentials: ``user`` and ``password``; unset, what libpq finds elsewhere.
    """

    def __init__(self, address: str, credentials: dict[str, Any] | None = None) -> None:
        self.address = address
        self._credentials = credentials or {}
        self._held: psycopg.Connection | None = None
        self._reading: str | None = None
        self._before: dict[str, str] = {}
        self._book_before = 0

    @property
    def is_held(self) -> bool:
        """Whether a run of this thread holds it."""
        return self._held is not None

    @property
    def jdbc_address(self) -> str:
        """The same place, as Java calls it."""
        place = urlsplit(self.address)
        options = f"?{place.query}" if place.query else ""  # sslmode=… has the same name there
        return f"jdbc:postgresql://{place.hostname}:{place.port or 5432}{place.path}{options}"

    def _connect(self) -> psycopg.Connection:
        refuse_without("psycopg")
        import psycopg

        try:
            connection = psycopg.connect(
                self.address, autocommit=True, connect_timeout=5, **self._credentials
            )
            with connection.transaction():
                # one at a time: two that make the tables at once are refused by the database
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('lingokids'))")
                connection.execute(_TABLES)
                connection.execute(_BOOK)
            return connection
        except psycopg.Error as error:
            raise LingokidsError(
                f"The catalog of tables does not answer ({str(error).splitlines()[0]}): start "
                "PostgreSQL, or correct warehouse.catalog of globals.yml, PGUSER or PGPASSWORD."
            ) from error

    def hold(self) -> Book | None:
        """Hold the catalog for a run, until ``release``; returns the book, if there is one.

        Killed, a run holds it no longer: the lock goes with its connection.

        Raises:
            LingokidsError: Another run holds it.
        """
        connection = self._connect()
        lock = "SELECT pg_try_advisory_lock(hashtext('lingokids run'))"
        if not (connection.execute(lock).fetchone() or (False,))[0]:
            connection.close()
            raise LingokidsError(
                "Another run writes the tables of this catalog: run again when it ends. Nothing "
                "was changed."
            )
        self._held = connection
        self._sweep()
        book = self._book(connection)
        self._book_before = book.run if book else 0
        return book

    def _sweep(self) -> None:
        """Forget what killed runs left, nobody else holds the catalog; and readers of long ago."""
        long_ago = f"{_READER}{time.time() - _LONGEST_READING_SECONDS:.0f}"
        self._held_connection.execute(
            f"DELETE FROM iceberg_tables WHERE {_OWN_ROWS} LIKE '{_RUN}%%' "
            f"OR table_namespace LIKE '{_READER}%%' AND table_namespace < %s",
            [long_ago],
        )

    @property
    def _held_connection(self) -> psycopg.Connection:
        assert self._held is not None
        return self._held

    @staticmethod
    def _book(connection: psycopg.Connection) -> Book | None:
        query = "SELECT run, content FROM lingokids_book WHERE catalog_name = %s"
        row = connection.execute(query, [CATALOG]).fetchone()
        return Book(row[0], bytes(row[1])) if row else None

    def read_book(self, known: bytes) -> Book | None:
        """The book of the last commit; what is known is not sent again."""
        with contextlib.closing(self._connect()) as connection:
            query = (
                "SELECT run, CASE WHEN md5(content) <> %s THEN content END FROM lingokids_book "
                "WHERE catalog_name = %s"
            )
            digest = hashlib.md5(known, usedforsecurity=False).hexdigest()
            row = connection.execute(query, [digest, CATALOG]).fetchone()
            return Book(row[0], known if row[1] is None else bytes(row[1])) if row else None

    def branch(self, run: int) -> str:
        """Make the run a namespace with every table as it is; returns its name.

        No other run had it: what Spark still does for a killed one changes none of its tables.
        """
        namespace = f"{_RUN}{run}_{uuid.uuid4().hex[:8]}"
        connection = self._held_connection
        with connection.transaction():
            self._before = self._pointers(MAIN)
            connection.execute(f"{_COPY_POINTERS} = %s", [namespace, MAIN])
        return namespace

    def branch_to_read(self) -> str:
        """Give a reader every table as of one instant, until ``release``; returns the namespace.

        Runs write meanwhile. What a killed reader left is forgotten after some days.
        """
        self._reading = f"{_READER}{time.time():.0f}_{uuid.uuid4().hex[:8]}"
        with contextlib.closing(self._connect()) as connection:
            connection.execute(f"{_COPY_POINTERS} = %s", [self._reading, MAIN])
        return self._reading

    def commit(self, namespace: str, book: Book | None) -> None:
        """Make everything that a run wrote into its namespace, and its book, the state of all.

        The namespace stays until the run ends, for what is published after its commit.

        Args:
            namespace: Its own.
            book: None: it noted nothing, and wrote files anew with the same rows.

        Raises:
            LingokidsError: Another run committed meanwhile, or the database does not answer.
        """
        import psycopg

        try:
            with self._held_connection.transaction():
                self._set_pointers(namespace)
                if book is not None:
                    self._set_book(book)
        except psycopg.Error as error:
            raise LingokidsError(
                f"The commit failed ({str(error).splitlines()[0]}): run again when the catalog's "
                "database answers. Every table is as it was."
            ) from error
        self._before = self._pointers(MAIN)
        self._book_before = book.run if book else self._book_before

    def read_elsewhere(self) -> set[str]:
        """The tables that somebody reads as they were before: files of these are not to go."""
        query = f"""
            SELECT DISTINCT table_name FROM iceberg_tables AS reader WHERE {_OWN_ROWS} LIKE %s
                AND metadata_location NOT IN (
                    SELECT metadata_location FROM iceberg_tables
                    WHERE {_OWN_ROWS} = %s AND table_name = reader.table_name)
        """
        rows = self._held_connection.execute(query, [f"{_READER}%", MAIN]).fetchall()
        return {name for (name,) in rows}

    def _set_pointers(self, namespace: str) -> None:
        execute, after = self._held_connection.execute, self._pointers(namespace)
        if self._pointers(MAIN) != self._before:
            raise LingokidsError("Another run committed meanwhile: run again. Nothing was changed.")
        changed = {
            name for name, location in after.items() if location != self._before.get(name)
        } | (self._before.keys() - after.keys())
        for name in sorted(changed):
            execute(
                f"DELETE FROM iceberg_tables WHERE {_OWN_ROWS} = '{MAIN}' AND table_name = %s",
                [name],
            )
            execute(f"{_COPY_POINTERS} = %s AND table_name = %s", [MAIN, namespace, name])

    def location_of(self, table_name: str) -> str:
        """Where the files of a table lie, as last committed; nothing if there is none."""
        return self._before.get(table_name, "").rpartition("/metadata/")[0]

    def replace_book(self, book: Book) -> None:
        """Put a book in the place of the one that was committed, and keep nothing of that one."""
        import psycopg

        try:
            self._set_book(book)
            self._held_connection.execute("VACUUM (FULL) lingokids_book")
        except psycopg.Error as error:
            raise LingokidsError(
                "The run is committed, but the catalog's database may hold what was deleted "
                f"({str(error).splitlines()[0]}): run again when it answers."
            ) from error

    def _set_book(self, book: Book) -> None:
        written = self._held_connection.execute(
            "INSERT INTO lingokids_book AS old VALUES (%s, %s, %s) ON CONFLICT (catalog_name) "
            "DO UPDATE SET run = excluded.run, content = excluded.content WHERE old.run = %s",
            [CATALOG, book.run, book.content, self._book_before],
        )
        if not written.rowcount:
            raise LingokidsError("Another run committed meanwhile: run again. Nothing was changed.")

    def _pointers(self, namespace: str) -> dict[str, str]:
        """By table, where its metadata lies."""
        query = f"SELECT table_name, metadata_location FROM iceberg_tables WHERE {_OWN_ROWS} = %s"
        return dict(self._held_connection.execute(query, [namespace]).fetchall())

    def release(self) -> None:
        """End the run: what is not committed is forgotten."""
        if self._held is not None:
            import psycopg

            with contextlib.suppress(psycopg.Error):  # a dead connection holds nothing
                self._sweep()
            self._held.close()
            self._held = None
        if self._reading is not None:
            with contextlib.closing(self._connect()) as connection:
                query = f"DELETE FROM iceberg_tables WHERE {_OWN_ROWS} = %s"
                connection.execute(query, [self._reading])
            self._reading = None


@contextlib.contextmanager
def expected_failures(doing: str) -> Iterator[None]:
    """Tell failures of Spark in a sentence; one of a worker of ours has its own."""
    try:
        yield
    except Exception as error:
        if (sentence := told(error, doing)) is None:
            raise
        raise LingokidsError(sentence) from error


def told(error: BaseException, doing: str) -> str | None:
    """A failure of Spark in a sentence; None: it is none, or a wrong query, which is ours."""
    from py4j.protocol import Py4JError
    from pyspark.errors import AnalysisException, PySparkException

    is_of_spark = isinstance(error, Py4JError | PySparkException | ConnectionError)
    if not is_of_spark or isinstance(error, AnalysisException):
        return None
    raised = _RAISED.findall(str(error))
    name, reason = raised[-1] if raised else ("", str(error).strip().splitlines()[0])
    if name.endswith(LingokidsError.__name__):
        return reason
    return (
        f"{doing}: Spark failed ({in_one_line(reason, 300)}). When its cluster and the tables' "
        "bucket answer again, run again."
    )
