"""The script's bronze: typed records, quarantined lines and the ledger of ingested objects.

Unusable lines are held in memory until their dataset is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

import handwritten_arrow as arrow
import handwritten_records as records
from handwritten_lines import BadLine, LineReader, RawObject, list_objects
from handwritten_records import FIELDS

BLANK = " \t\r\n"


def create_bronze(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables of bronze."""
    for dataset, fields in FIELDS.items():
        columns = ", ".join(f"{field.column} {field.type}" for field in fields)
        con.execute(
            f"CREATE OR REPLACE TABLE bronze_{dataset} (object_key VARCHAR, etag VARCHAR, "
            f"line_number INTEGER, {columns}, landed_at TIMESTAMP, load_id INTEGER)"
        )
    con.execute("""
        CREATE OR REPLACE TABLE quarantined_lines (
            dataset VARCHAR, object_key VARCHAR, etag VARCHAR, line_number INTEGER,
            line_text VARCHAR, reason VARCHAR, lines_alike BIGINT, landed_at TIMESTAMP,
            load_id INTEGER)""")
    con.execute("""
        CREATE OR REPLACE TABLE ingested_objects (
            dataset VARCHAR, object_key VARCHAR, etag VARCHAR, size_bytes BIGINT, lines BIGINT,
            blank BIGINT, kept BIGINT, quarantined BIGINT, landed_at TIMESTAMP, load_id INTEGER)""")


def ingest_new_objects(con: duckdb.DuckDBPyConnection, raw_dir: Path) -> tuple[int, int]:
    """Ingest the objects below ``raw_dir`` that the ledger lacks.

    Returns:
        The load's id, and its number of objects.
    """
    known = set(con.execute("SELECT dataset, object_key, etag FROM ingested_objects").fetchall())
    (load_id,) = con.execute(
        "SELECT coalesce(max(load_id), 0) + 1 FROM ingested_objects"
    ).fetchone() or (1,)
    objects = 0
    for dataset in FIELDS:
        listed = list_objects(raw_dir / dataset)
        new = [raw for raw in listed if (dataset, raw.key, raw.etag) not in known]
        _ingest(con, dataset, new, load_id)
        objects += len(new)
    return load_id, objects


def _ingest(
    con: duckdb.DuckDBPyConnection, dataset: str, objects: list[RawObject], load_id: int
) -> None:
    bad_lines = _insert_valid_lines(con, dataset, objects, load_id)
    _count_bad_lines(objects, bad_lines)
    unusable = [bad for bad in bad_lines if bad.reason or not _is_blank(bad)]
    _insert_quarantined_lines(con, dataset, objects, unusable, load_id)
    _insert_ledger(con, dataset, objects, load_id)


def _insert_valid_lines(
    con: duckdb.DuckDBPyConnection, dataset: str, objects: list[RawObject], load_id: int
) -> list[BadLine]:
    """Insert the valid lines of ``objects``, and return the others."""
    reader = LineReader(objects)

    def reject(object_index: int, line_number: int, line: str) -> bool:
        reader.bad_lines.append(BadLine(object_index, line_number, line, ""))
        return False

    # A function with side effects sees each invalid line in the pass that inserts the others;
    # and it keeps the engine from typing every line twice, once to filter.
    con.create_function(
        f"reject_{dataset}", reject, ["INTEGER", "INTEGER", "VARCHAR"], "BOOLEAN", side_effects=True
    )
    columns = ", ".join(field.column for field in FIELDS[dataset])
    con.register("lines", reader.stream())
    con.execute(f"""
        INSERT INTO bronze_{dataset}
        SELECT object_key, etag, line_number, {columns}, landed_at, {load_id}
        FROM (
            SELECT *, CASE
                WHEN {records.is_valid(dataset)} THEN true
                ELSE reject_{dataset}(object_index, line_number, line)
            END AS is_valid
            FROM ({records.typed(dataset, "lines")})
        )
        WHERE is_valid""")
    return reader.bad_lines


def _count_bad_lines(objects: list[RawObject], bad_lines: list[BadLine]) -> None:
    for bad in bad_lines:
        raw = objects[bad.object_index]
        if bad.reason:  # its line was blanked, and so rejected a second time, as a blank line
            raw.quarantined += 1
            raw.blank -= 1
        elif _is_blank(bad):
            raw.blank += 1
        else:
            raw.quarantined += 1


def _is_blank(bad: BadLine) -> bool:
    return not bad.text.strip(BLANK)


def _insert_quarantined_lines(
    con: duckdb.DuckDBPyConnection,
    dataset: str,
    objects: list[RawObject],
    unusable: list[BadLine],
    load_id: int,
) -> None:
    con.register("unusable", _bad_line_stream(objects, unusable))
    con.execute(f"""
        INSERT INTO quarantined_lines
        SELECT '{dataset}', object_key, etag, line_number, rtrim(line, E' \\t\\r\\n'),
            coalesce(nullif(known_reason, ''), {records.reason(dataset)}), 1, landed_at, {load_id}
        FROM ({records.typed(dataset, "unusable")})""")


def _bad_line_stream(objects: list[RawObject], bad_lines: list[BadLine]) -> Any:
    of_objects = [objects[bad.object_index] for bad in bad_lines]
    return arrow.stream(
        object_key=arrow.texts(raw.key for raw in of_objects),
        etag=arrow.texts(raw.etag for raw in of_objects),
        landed_at=arrow.instants(raw.landed_at for raw in of_objects),
        line_number=arrow.integers(bad.line_number for bad in bad_lines),
        line=arrow.texts(bad.text for bad in bad_lines),
        known_reason=arrow.texts(bad.reason for bad in bad_lines),
    )


def _insert_ledger(
    con: duckdb.DuckDBPyConnection, dataset: str, objects: list[RawObject], load_id: int
) -> None:
    con.register("objects", _object_stream(objects))
    con.execute(f"""
        INSERT INTO ingested_objects
        SELECT '{dataset}', object_key, etag, size_bytes, lines, blank,
            lines - blank - quarantined, quarantined, landed_at, {load_id}
        FROM objects""")


def _object_stream(objects: list[RawObject]) -> Any:
    return arrow.stream(
        object_key=arrow.texts(raw.key for raw in objects),
        etag=arrow.texts(raw.etag for raw in objects),
        landed_at=arrow.instants(raw.landed_at for raw in objects),
        size_bytes=arrow.integers(raw.size for raw in objects),
        lines=arrow.integers(raw.lines for raw in objects),
        blank=arrow.integers(raw.blank for raw in objects),
        quarantined=arrow.integers(raw.quarantined for raw in objects),
    )
