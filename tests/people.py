"""Someone to be erased: where their id is found, byte by byte, and what is left without them.

What is left is made by plain Python from the raw lines: nothing of the project is used for it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq

from builders import a_user_record, an_activity_record, an_event_record
from conftest import Project
from lingokids.privacy import erase
from lingokids.schema import CONTRACTS

#: The people of these tests: random digits, for no other bytes to be like them.
USER = "7f3a9c51-e8d2-4b06-9a7d-c2f1e05b83a6"
CHILD = "b41d07ea-95c3-4f28-8e6b-3d92a7c0f51e"
OTHER = "2c68e1f9-0ab7-4d35-b9f4-81e5d3076ac2"
OTHERS_CHILD = "e09b5d72-c1f6-4a83-8d27-5fa46b13c8e0"
FAR_OFF = "x" * (1 << 20)


def forms(person: str) -> dict[str, bytes]:
    """How an id may lie in a file: as text, and as a number, also as the engine stores one."""
    uuid = UUID(person)
    flipped = uuid.int ^ (1 << 127)
    return {
        "text": person.encode(),
        "upper case": person.upper().encode(),
        "digits": uuid.hex.encode(),
        "upper digits": uuid.hex.upper().encode(),
        "bytes": uuid.bytes,
        "bytes turned round": uuid.bytes[::-1],
        "engine's": flipped.to_bytes(16, "little"),
        "engine's, by halves": (flipped >> 64).to_bytes(8, "little")
        + (flipped & ((1 << 64) - 1)).to_bytes(8, "little"),
        "of a guid": uuid.bytes_le,
    }


def found_in(folder: Path, person: str) -> dict[str, set[str]]:
    """The files below a folder that have the id, and the forms in which they do."""
    found: dict[str, set[str]] = {}
    for file in files(folder):
        content = file.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        if content.startswith(b"PAR1"):  # its pages are compressed
            content += str(pq.read_table(file, partitioning=None).to_pylist()).encode()
        if here := {name for name, form in forms(person).items() if form in content}:
            found[file.relative_to(folder).as_posix()] = here
    return found


def files(folder: Path) -> Iterator[Path]:
    """Every file that is the project's own; its code and configuration are links."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in names if not Path(parent, name).is_symlink())


def ask_to_erase(project: Project, *, rewrite_raw: bool = False, **whom: str) -> list[str]:
    """``kedro erase``, in this process."""
    project.switch_to()  # type: ignore[attr-defined]
    person = erase.person_of(whom.get("user"), whom.get("child"))
    env = project.environment["KEDRO_ENV"]
    return list(erase.erase(project.folder, env, person, rewrite_raw=rewrite_raw))


def deliver_a_family(project: Project) -> None:
    """Lines that name a user or a child, in many ways, among those of others."""
    day = "2021-01-0{} 10:00:00.000".format
    of_user = {"user_id": USER, "child_id": CHILD}
    of_other = {"user_id": OTHER, "child_id": OTHERS_CHILD}
    project.deliver("activities", "catalogue", [an_activity_record()], "2021-01-01 12:00:00")
    project.deliver(
        "users",
        "first",
        [
            a_user_record(user_id=USER, children_ids=[CHILD]),
            a_user_record(user_id=OTHER, children_ids=[OTHERS_CHILD, CHILD], country_code="fr"),
        ],
        "2021-01-02 12:00:00",
    )
    project.deliver(
        "events",
        "early",
        [
            an_event_record(1, **of_other, occurred_at=day(3)),
            an_event_record(2, **of_user, occurred_at=day(3)),
            an_event_record(3, **of_user, occurred_at=day(4)),
            an_event_record(4, **of_other, occurred_at=day(4)),
        ],
        "2021-01-05 12:00:00",
    )
    project.deliver("events", "theirs", [an_event_record(5, **of_user)], "2021-01-05 13:00:00")
    escaped = json.dumps(an_event_record(6, **of_user)).replace("a", r"\u0061").encode()
    broken = [
        json.dumps(an_event_record(7, user_id=USER.upper()))[:-9],
        json.dumps(an_event_record(8, user_id=f"urn:uuid:{USER}")),
        json.dumps(an_event_record(9, user_id=UUID(USER).hex.upper())),
        json.dumps(an_event_record(10, user_id=f"{{{USER}}}")),
        json.dumps(an_event_record(11, user_id="nobody", child_id=CHILD)),
        json.dumps(an_event_record(12, **of_other) | {"guest": f"of {CHILD.upper()}, {USER}"}),
        json.dumps(an_event_record(13, **of_other) | {"note": "of nobody"}),
        json.dumps(an_event_record(14, user_id="nobody at all")),
        "",
    ]
    odd = b"\n".join([escaped.replace(rb"\u0061", b"a", 12), *map(str.encode, broken)])
    project.deliver("events", "odd.gz", gzip.compress(odd, mtime=0), "2021-01-06 12:00:00")
    far_off = an_event_record(15) | {"far": FAR_OFF, "off": f"{USER} {CHILD}"}
    project.deliver("events", "long", [far_off], "2021-01-06 13:00:00")
    # the event of another becomes theirs, and theirs another's and of another day
    again = [
        an_event_record(1, **of_user, occurred_at=day(3)),
        an_event_record(3, **of_other, occurred_at=day(6)),
    ]
    project.deliver("events", "late", again, "2021-01-07 12:00:00")
    project.deliver(
        "users",
        "again",
        [
            a_user_record(
                user_id=OTHER,
                children_ids=[CHILD, OTHERS_CHILD],
                country_code="fr",
                trial_start_at="2021-01-02 00:00:00",
                favourite={"child": CHILD, CHILD: 1, "others": [OTHERS_CHILD, CHILD]},
            )
        ],
        "2021-01-07 13:00:00",
    )


def resend_theirs(project: Project) -> None:
    """An object that they are in is sent again, with another line in it."""
    lines = [an_event_record(2, user_id=USER), an_event_record(16, user_id=OTHER, child_id=CHILD)]
    project.deliver("events", "early", lines, "2021-01-08 12:00:00")


def copy_raw_without(
    project: Project, left: Project, *people: tuple[str, str], longest_line: int = 1 << 20
) -> None:
    """The same raw objects, lines that name people blank; users' records without a child.

    Longer lines stay: of these the warehouse keeps the beginning, which names nobody.
    """
    for file in files(project.folder / "raw"):
        copy = left.folder / file.relative_to(project.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        zipped = content.startswith(b"\x1f\x8b")
        lines = (gzip.decompress(content) if zipped else content).split(b"\n")
        named, has_no_end = False, bool(lines[-1])
        for kind, person in people:
            is_of_users = kind == "child" and "users" in file.parts
            for number, line in enumerate(lines):
                if len(line) <= longest_line and _names(line, person):
                    lines[number] = _without(line, person) if is_of_users else b""
                    named = True
        if named:
            lines += [b""] * (has_no_end and not lines[-1])  # else it would be no line
            content = b"\n".join(lines)
            content = gzip.compress(content, mtime=0) if zipped else content
        copy.write_bytes(content)
        shutil.copystat(file, copy)


def _names(line: bytes, person: str) -> bool:
    text = re.sub(rb"\\u00([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), line)
    return UUID(person).hex.encode() in text.replace(b"-", b"").lower()


def _without(line: bytes, child: str) -> bytes:
    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {"" if key == child else key: cleaned(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [cleaned(inner) for inner in value if inner != child]
        return "" if value == child else value

    return json.dumps(cleaned(json.loads(line))).encode()


def tables(project: Project, *without: str) -> dict[str, list[tuple[Any, ...]]]:
    """What tables say of objects as they are, whether lines of someone are refused or blank."""
    names = project.rows("SELECT table_name FROM duckdb_tables() ORDER BY ALL")
    of_runs = {"runs", "run_steps", "run_units", "check_results", "check_failures"}
    loads = ("load_id", "past_reason", *without)
    found = {
        name: project.table(name, without=loads)
        for (name,) in names
        if name not in of_runs | {"table_state", "gone", "ingested_objects", "quarantined_lines"}
    }
    for name in "bronze_events", "bronze_users", "bronze_activities":
        place = [it for it in CONTRACTS[name].columns if it not in loads].index("is_current")
        found[name] = [row for row in found[name] if row[place]]
    columns = ", ".join(name for name in CONTRACTS["rescued_values"].columns if name not in loads)
    found["rescued_values"] = project.rows(
        f"SELECT {columns} FROM rescued_values SEMI JOIN (FROM ingested_objects WHERE is_current) "
        "USING (dataset, object_key, load_id) ORDER BY ALL"
    )
    found["quarantined_lines"] = project.rows(
        "SELECT dataset, object_key, line_number, line_text, reason, lines_alike, landed_at "
        "FROM quarantined_lines SEMI JOIN (FROM ingested_objects WHERE is_current) "
        "USING (dataset, object_key, load_id) WHERE reason <> 'of an erased user' ORDER BY ALL"
    )
    found["ingested_objects"] = project.rows(
        "SELECT dataset, object_key, landed_at, lines, kept, blank + coalesce(("
        "SELECT sum(lines_alike) FROM quarantined_lines AS line WHERE reason = 'of an erased user' "
        "AND line.dataset = object.dataset AND line.object_key = object.object_key "
        "AND line.load_id = object.load_id), 0) FROM ingested_objects AS object WHERE is_current "
        "ORDER BY ALL"
    )
    return found
