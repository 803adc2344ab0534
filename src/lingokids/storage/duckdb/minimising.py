"""Keeps what is not needed of children out of bronze: values are dropped, ids become pseudonyms.

A pseudonym is made of an id and a secret key: the same id gives the same one, and without the key
nobody can tell which id it was. It has the form of a UUID of version 8 (RFC 9562), which says that
it is one: what comes back from a published lake is not made into another.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from uuid import UUID

from lingokids import schema
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from lingokids.schema import Field

#: The engine's variable that holds the key, so that no statement does.
_KEY = "pseudonym_key"
_SHORTEST_KEY = 32
_VERSION = 8


def pseudonym_of(id_: UUID, key: str) -> UUID:
    """The pseudonym that bronze keeps of an id: see ``_pseudonym``."""
    if id_.version == _VERSION:
        return id_
    hashed = hashlib.sha256(f"{key}{id_}".encode()).hexdigest()
    return UUID(f"{hashed[:12]}8{hashed[13:16]}a{hashed[17:32]}")


class Minimisation:
    """What a bronze table does not keep.

    Args:
        fields: The fields of the records.
        not_kept: Columns whose values are not kept; those that are no fields of these records are
            passed over. Of a uuid, or a list of them, a pseudonym is kept if there is a key.
        key: The secret key of pseudonyms; None: there are none.

    Raises:
        LingokidsError: A column cannot be left out, or the key is too short.
    """

    def __init__(self, fields: tuple[Field, ...], not_kept: list[str], key: str | None) -> None:
        if not isinstance(not_kept, list):
            raise LingokidsError(f"privacy.not_kept is {not_kept!r}: write a list of columns.")
        for name in not_kept:
            _refuse_what_is_needed(name)
        if key is not None and len(key) < _SHORTEST_KEY:
            raise LingokidsError(
                f"LINGOKIDS_PSEUDONYM_KEY has {len(key)} characters: give it {_SHORTEST_KEY} or "
                "more, such as openssl rand -hex 32 makes."
            )
        self._key = key
        self._columns = {
            field.column: field.type for field in fields if field.column in {*not_kept}
        }

    @property
    def rules(self) -> str | None:
        """What tells bronze made by these settings from others; None: all is kept."""
        if not self._columns:
            return None
        key = self._key and hashlib.sha256(f"key of {self._key}".encode()).hexdigest()[:16]
        return json.dumps({"not_kept": sorted(self._columns), "key": key})

    def give_key(self, con: DuckDBPyConnection) -> None:
        """Tell a connection the key."""
        if self._key is not None:
            con.execute(f"SET VARIABLE {_KEY} = (SELECT ?)", [self._key])

    def of(self, rows: str) -> str:
        """Rows, as SQL, without what is not kept."""
        if not self._columns:
            return rows
        values = ", ".join(f'{self._value(name)} AS "{name}"' for name in self._columns)
        return f"(SELECT * REPLACE ({values}) FROM {rows})"

    def changes(self, past_rules: str | None) -> tuple[str, str] | None:
        """The assignments, and the condition of the rows that need them, as SQL."""
        if not self._columns:
            return None
        past_key = json.loads(past_rules or "{}").get("key")
        is_other_key = past_key is not None and past_rules != self.rules
        new = {name: self._value(name, is_other_key) for name in self._columns}
        assignments = ", ".join(f'"{name}" = {value}' for name, value in new.items())
        needed = (f'"{name}" IS DISTINCT FROM {value}' for name, value in new.items())
        return assignments, " OR ".join(needed)

    def _value(self, name: str, is_other_key: bool = False) -> str:
        """What is kept of a column; of pseudonyms made with another key, nothing."""
        dtype, column = self._columns[name], f'"{name}"'
        if self._key is None or "uuid" not in dtype:
            return "NULL"
        if dtype == "uuid":
            return _pseudonym(column, is_other_key)
        return f"list_transform({column}, lambda id: {_pseudonym('id', is_other_key)})"


def _refuse_what_is_needed(name: str) -> None:
    every = {field.column: field for fields in schema.FIELDS.values() for field in fields}
    if name not in every:
        raise LingokidsError(
            f"privacy.not_kept has {name}, which is no column of raw records: there are "
            f"{', '.join(field for field in every if not every[field].required)}."
        )
    if every[name].required:
        raise LingokidsError(
            f"privacy.not_kept has {name}, without which a line is unusable: take it out."
        )


def _pseudonym(id_: str, is_other_key: bool) -> str:
    """The pseudonym of an id, as SQL: a hash of key and id, with the marks of a UUID of version 8.

    All ids have one length and most of the hash is not shown, so the key before it is enough.
    """
    text = f"CAST({id_} AS VARCHAR)"
    hashed = f"sha256(getvariable('{_KEY}') || {text})"
    parts = "CAST(hash[:12] || '8' || hash[14:16] || 'a' || hash[18:32] AS UUID)"
    made = f"list_transform([{hashed}], lambda hash: {parts})[1]"  # hashed once
    # the 15th character of a uuid is its version
    return f"CASE WHEN {text}[15] = '8' THEN {'NULL' if is_other_key else id_} ELSE {made} END"
