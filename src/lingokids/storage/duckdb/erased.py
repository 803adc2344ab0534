"""Lines of erased people: refused when they are delivered, taken out where they are stored.

A line that names someone goes into quarantine without its text, so that every line is still
accounted for; of a user's record that names an erased child the rest stays. Which ids are meant is
found by their hashes, column by column: the record of erasures has no id. It is SQL text because
Ibis has no word for the engine's lists.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.expressions import text
from lingokids.storage.duckdb.state import note, noted
from lingokids.storage.duckdb.units import columns_of
from lingokids.storage.erasures import Spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingokids.schema import Contract
    from lingokids.storage.duckdb.bronze import StoredBronze
    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.erasures import Erasures, Kind

LOGGER = logging.getLogger(__name__)

#: What the warehouse notes beside ``gone``: the erasures that it reflects.
NOTED_ERASURES = " Erased: "
_GONE = schema.GONE.table_name
_RESCUED = schema.RESCUED_VALUES.table_name
_RECORDS = {
    schema.CHECK_FAILURES.table_name: ("row_key", "row_values"),
    schema.RUNS.table_name: ("parameters", "failure"),
}
_LINES, _MOVED = "temp.main.erased_lines", "temp.main.moved_lines"
_DIGITS = 32
NAMED_LINES = pa.schema({"object_key": pa.string(), "etag": pa.string(), "line_number": pa.int32()})


class Named:
    """Erased people who are named somewhere.

    Attributes:
        everyone: How they are spelled.
        refused: Those of whom a line of the dataset is kept in no part.
        redacted: Those who are only taken out of it.
    """

    def __init__(self, found: dict[str, Kind], dataset: str = "") -> None:
        redacted = [each for each, kind in found.items() if (kind, dataset) == ("child", "users")]
        self.everyone = Spellings(found)
        self.refused = Spellings([each for each in found if each not in redacted])
        self.redacted = Spellings(redacted)

    def __bool__(self) -> bool:
        return bool(self.everyone)


def find(con: duckdb.DuckDBPyConnection, erasures: Erasures, texts: str) -> dict[str, Kind]:
    """The erased people whom texts name.

    Args:
        con: A connection.
        erasures: Whom to look for.
        texts: A query of one column, ``text``.
    """
    people = ", ".join(
        f"('{hashed}', '{each.kind}')" for each in erasures.people for hashed in each.hashes
    )
    digits = f"length(run) - {_DIGITS - 2}"
    rows = con.execute(f"""
        SELECT id, kind FROM (
            SELECT DISTINCT unnest(flatten(list_transform(runs,
                lambda run: list_transform(range(1, {digits}),
                    lambda place: substr(run, place, {_DIGITS}))))) AS id
            FROM (SELECT DISTINCT list_transform(
                regexp_extract_all({_UNESCAPED}, '[0-9A-Fa-f-]{{{_DIGITS},}}'),
                lambda run: replace(lower(run), '-', '')) AS runs FROM ({texts})))
        JOIN (VALUES {people}) AS people(hash, kind) ON sha256('{erasures.salt}' || id) = hash
    """).fetchall()
    return dict(rows)


def _unescaped() -> str:
    """Text as it is without JSON's escapes of what an id is made of."""
    unescaped = r"regexp_replace(text, '\\u003([0-9])', '\1', 'g')"
    for number, letter in enumerate("abcdef", start=1):
        unescaped = rf"regexp_replace({unescaped}, '\\u00[46]{number}', '{letter}', 'g')"
    unescaped = rf"regexp_replace({unescaped}, '\\u002[dD]', '-', 'g')"
    return rf"CASE WHEN contains(text, '\u00') THEN {unescaped} ELSE text END"


_UNESCAPED = _unescaped()


def _names(spellings: Spellings, column: str) -> str:
    """Whether a text names one of them, as SQL."""
    return f"regexp_matches({column}, {text(spellings.pattern)})" if spellings else "false"


def _redact(spellings: Spellings, column: str) -> str:
    for pattern, put in spellings.redactions if spellings else ():
        column = f"regexp_replace({column}, {text(pattern)}, {text(put)}, 'g')"
    return column


def naming(con: duckdb.DuckDBPyConnection, erasures: Erasures, texts: str) -> pa.Table | None:
    """The rows of a table whose ``text`` names an erased person; None if there is none."""
    named = Spellings(find(con, erasures, f"SELECT text FROM {texts}"))
    if not named:
        return None
    return con.sql(f"SELECT text FROM {texts} WHERE {_names(named, 'text')}").to_arrow_table()


def changed_lines(
    con: duckdb.DuckDBPyConnection, erasures: Erasures, dataset: str, batch: str
) -> pa.Table | None:
    """The lines of a batch that name someone: refused, or without them; None if there is none.

    Args:
        con: The run's connection.
        erasures: Whom to look for.
        dataset: The raw dataset of the lines.
        batch: The table of the lines: see ``raw.lines.to_arrow``.
    """
    named = Named(find(con, erasures, f"SELECT line_text AS text FROM {batch}"), dataset)
    if not named:
        return None
    refused = _names(named.refused, "line_text")
    return con.sql(f"""
        SELECT * REPLACE (
            CASE WHEN {refused} THEN '' ELSE {_redact(named.redacted, "line_text")} END
            AS line_text,
            CASE WHEN {refused} THEN '{schema.ERASED}' ELSE problem END AS problem,
            NULL AS keys_at_most)
        FROM {batch} WHERE {_names(named.everyone, "line_text")}
    """).to_arrow_table()


class Purge:
    """Takes the lines of erased people out of the tables, in the run in hand.

    What was made of them follows by the run: it must be of every table.
    """

    def __init__(self, warehouse: Warehouse, bronze: Iterable[StoredBronze]) -> None:
        self._warehouse, self._erasures = warehouse, warehouse.erasing.erasures
        self._con = warehouse.writer.con
        self._bronze = [table for table in bronze if table.table_name in warehouse.tables]
        self._known = {*noted(warehouse, _GONE, NOTED_ERASURES).split()}
        self._found: dict[str, Kind] = {}

    @property
    def is_due(self) -> bool:
        """Whether someone was erased since the tables were last looked through, or is named now."""
        is_new = not {each.mark for each in self._erasures.people} <= self._known
        return is_new or bool(self._warehouse.erasing.lines_named)

    def make(self) -> None:
        """Take them out of bronze, quarantine, rescued values and records.

        Raises:
            LingokidsError: The engine failed; what it says is not repeated, as it may name an id.
        """
        self._note_known()
        try:
            for table in self._bronze:
                with table.within_reach() as lines:
                    self._clear(lines)
            self._clear_records()
        except duckdb.Error as error:
            raise LingokidsError(
                f"The erasure failed ({type(error).__name__}): free memory and disk space and run "
                "again. Every table is as it was."
            ) from None
        self._warehouse.erasing.leaves_no_trace |= bool(self._found)

    def end(self) -> None:
        """After every table was made: let no mark name anyone, and note what is reflected.

        Readers are up to date, so marks of lines that bronze lost have served; of the others the
        day is left.
        """
        named = Spellings(self._find(f"SELECT unit AS text FROM {_GONE}"))
        names = _names(named, "unit")
        self._con.execute(f"DELETE FROM {_GONE} WHERE starts_with(table_name, 'bronze_')")
        self._con.execute(f"DELETE FROM {_GONE} WHERE {names} AND NOT contains(unit, '\"date\"')")
        self._con.execute(
            f"UPDATE {_GONE} SET unit = regexp_replace(unit, {text(named.quoted)}, 'null', 'g') "
            f"WHERE {names}"
        )
        note(self._warehouse, _GONE, NOTED_ERASURES, " ".join(sorted(self._known)))

    def _note_known(self) -> None:
        """Take those for known whose lines can all be found.

        Where children's ids are not kept, bronze cannot tell which lines were an erased child's:
        the command reads it from raw objects. Empty bronze has none.
        """
        erasing = self._warehouse.erasing
        is_lost = any(not table.keeps_children and table.count() for table in self._bronze)
        lost = {
            each.mark
            for each in self._erasures.people
            if each.kind == "child" and is_lost and not erasing.looked_for & {*each.hashes}
        }
        if open_ := lost - self._known:
            LOGGER.warning(
                "The erasure of %s children is not complete: give kedro erase --child again.",
                f"{len(open_):,}",
            )
        self._known |= {each.mark for each in self._erasures.people} - lost

    def _find(self, texts: str) -> dict[str, Kind]:
        found = find(self._con, self._erasures, texts)
        self._found |= found
        return found

    def _clear(self, table: StoredBronze) -> None:
        """Take them out of the lines of one dataset."""
        started = time.perf_counter()
        of_dataset = f"dataset = '{table.dataset}'"
        places = {name: self._find(query) for name, query in _texts_of(table).items()}
        places[_RESCUED] = self._find(
            f"SELECT concat_ws(' ', rescued, unknown_keys) AS text FROM {table.rescued.name} "
            f"WHERE {of_dataset}"
        )
        broken = self._find(
            f"SELECT line_text AS text FROM {table.quarantine.name} WHERE {of_dataset}"
        )
        if changed := self._refuse_broken(table, Named(broken, table.dataset)):
            self._warehouse.erasing.lines += changed
            table.note_state()
        found = self._warehouse.erasing.lines_named
        named = [line._asdict() for line in found if line.dataset == table.dataset]
        if not (named or any(places.values())):
            return
        self._con.register("named_lines", pa.Table.from_pylist(named, NAMED_LINES))
        self._list_refused(table, places)
        moved = self._move(table)
        redacted = [
            self._redact(table, name, Named(found, table.dataset).redacted)
            for name, found in places.items()
        ]
        self._warehouse.erasing.lines += moved + max(redacted)
        table.note(moved, 0, time.perf_counter() - started)
        table.note_state()

    def _refuse_broken(self, table: StoredBronze, named: Named) -> int:
        """Take the text out of quarantined lines; those of an erased child lose its id alone."""
        if not named:
            return 0
        refused = _names(named.refused, "line_text")
        return table.note_loads(
            table.quarantine.table_name,
            f"UPDATE {table.quarantine.name} SET "
            f"reason = CASE WHEN {refused} THEN '{schema.ERASED}' ELSE reason END, "
            f"line_text = CASE WHEN {refused} THEN '' "
            f"ELSE {_redact(named.redacted, 'line_text')} END "
            f"WHERE dataset = '{table.dataset}' AND {_names(named.everyone, 'line_text')} "
            "RETURNING load_id",
        )

    def _list_refused(self, table: StoredBronze, places: dict[str, dict[str, Kind]]) -> None:
        """List the lines of bronze of which nothing is kept."""
        line, refused = ", ".join(schema.LINE), []
        for name, found in places.items():
            names = Named(found, table.dataset).refused
            if name == _RESCUED:
                mention = _names(names, "concat_ws(' ', rescued, unknown_keys)")
                refused.append(
                    f"SELECT {line} FROM {table.rescued.name} "
                    f"WHERE dataset = '{table.dataset}' AND {mention}"
                )
            else:
                mention = _names(names, f'CAST("{name}" AS VARCHAR)')
                refused.append(f"SELECT {line} FROM {table.name} WHERE {mention}")
        refused.append(
            f"SELECT {line} FROM {table.name} "
            "SEMI JOIN named_lines USING (object_key, etag, line_number)"
        )
        table.run(f"CREATE OR REPLACE TEMP TABLE {_LINES} AS {' UNION '.join(refused)}")

    def _move(self, table: StoredBronze) -> int:
        """Move the lines listed into quarantine, each by the load that its object came in."""
        line, (key,) = ", ".join(schema.LINE), schema.CONTRACTS[f"stg_{table.dataset}"].grain
        ledger, quarantine, rescued = table.ledger, table.quarantine, table.rescued
        self._warehouse.writer.con.execute(f"""
            CREATE OR REPLACE TEMP TABLE {_MOVED} AS
            SELECT line.*, max(object.load_id) AS object_load
            FROM (SELECT {line}, etag, landed_at, "{key}" FROM {table.name}
                SEMI JOIN {_LINES} USING ({line})) AS line
            JOIN {ledger.name} AS object ON object.dataset = '{table.dataset}'
                AND object.object_key = line.object_key AND object.etag = line.etag
                AND object.landed_at = line.landed_at AND object.load_id <= line.load_id
            GROUP BY ALL
        """)
        table.note_loads(table.table_name, f"SELECT DISTINCT load_id FROM {_MOVED}")
        for each in quarantine, ledger:
            table.note_loads(each.table_name, f"SELECT DISTINCT object_load FROM {_MOVED}")
        table.run(
            f"INSERT INTO {_GONE} SELECT DISTINCT '{table.table_name}', "
            f'to_json(struct_pack("{key}" := "{key}")), {self._warehouse.number} FROM {_MOVED}'
        )
        quarantine.insert_from(
            f"(SELECT * REPLACE (object_load AS load_id), '{table.dataset}' AS dataset, "
            f"'' AS line_text, '{schema.ERASED}' AS reason, 1 AS lines_alike FROM {_MOVED})"
        )
        table.run(f"""
            UPDATE {ledger.name} AS object SET kept = kept - moved.lines,
                quarantined = quarantined + moved.lines
            FROM (SELECT object_key, object_load, count(*) AS lines FROM {_MOVED} GROUP BY ALL)
            AS moved WHERE object.dataset = '{table.dataset}'
                AND object.object_key = moved.object_key AND object.load_id = moved.object_load
        """)
        same_line = " AND ".join(f"old.{name} = line.{name}" for name in schema.LINE)
        table.note_loads(
            _RESCUED,
            f"DELETE FROM {rescued.name} AS old USING {_LINES} AS line "
            f"WHERE old.dataset = '{table.dataset}' AND {same_line} RETURNING old.load_id",
        )
        return table.run(
            f"DELETE FROM {table.name} AS old USING {_LINES} AS line WHERE {same_line}"
        )

    def _redact(self, table: StoredBronze, name: str, child: Spellings) -> int:
        """Take an erased child out of what users' lines say; returns of how many."""
        if not child:
            return 0
        if name == _RESCUED:
            return table.note_loads(
                _RESCUED,
                f"UPDATE {table.rescued.name} SET rescued = {_redact(child, 'rescued')}, "
                "unknown_keys = list_transform(unknown_keys, lambda each: struct_pack("
                f"key := regexp_replace(each.key, {text(child.pattern)}, '', 'g'), "
                f"json_type := each.json_type)) WHERE dataset = '{table.dataset}' "
                f"AND {_names(child, 'concat_ws(chr(32), rescued, unknown_keys)')} "
                "RETURNING load_id",
            )
        others = "NULL"
        if table.contract.schema[name].is_array():
            is_other = f"NOT {_names(child, 'CAST(each AS VARCHAR)')}"
            others = f'list_filter("{name}", lambda each: {is_other})'
        names = _names(child, f'CAST("{name}" AS VARCHAR)')
        return table.note_loads(
            table.table_name,
            f'UPDATE {table.name} SET "{name}" = {others}, version = {self._warehouse.number} '
            f"WHERE {names} RETURNING load_id",
        )

    def _clear_records(self) -> None:
        """Forget what checks and runs said of them."""
        for name, columns in _RECORDS.items():
            if name not in self._warehouse.tables:
                continue
            said = f"concat_ws(' ', {columns_of(columns)})"
            named = Spellings(self._find(f"SELECT {said} AS text FROM {name}"))
            if named and name == schema.CHECK_FAILURES.table_name:
                self._con.execute(f"DELETE FROM {name} WHERE {_names(named, said)}")
            elif named:
                redacted = ", ".join(
                    f"{column} = regexp_replace({column}, {text(named.pattern)}, '…', 'g')"
                    for column in columns
                )
                self._con.execute(f"UPDATE {name} SET {redacted} WHERE {_names(named, said)}")


def _texts_of(table: StoredBronze) -> dict[str, str]:
    """By column that may name someone, a query of its texts."""
    texts = {}
    for name, is_list in columns_with_people(table.contract).items():
        value = f'unnest("{name}")' if is_list else f'"{name}"'
        texts[name] = f"SELECT DISTINCT CAST({value} AS VARCHAR) AS text FROM {table.name}"
    return texts


def columns_with_people(contract: Contract) -> dict[str, bool]:
    """The columns that may name someone, and whether they are lists."""
    return {
        name: dtype.is_array()
        for name, dtype in contract.schema.items()
        if (dtype.is_array() or dtype.is_uuid() or dtype.is_string())
        and name not in {*schema.DELIVERY, "past_reason"}
    }
