"""People are erased from tables on Spark as from those of one machine, and from every file of them.

The run that erases is killed after its commit; then the lake makes all of it again.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime

import pytest
from happening import let_happen
from histories import Line, Put, Run
from kills import Killed, run_to_the_kill

from builders import a_user_record
from conftest import Project
from lingokids.privacy.erase import export, person_of
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.erasures import ErasureRecord
from lingokids.storage.records import OF_RUNS
from lingokids.storage.spark import upkeep
from people import (
    CHILD,
    OTHER,
    USER,
    ask_to_erase,
    deliver_a_family,
    forms,
    found_in,
    resend_theirs,
)
from two_engines import compare, published_rows

psycopg = pytest.importorskip("psycopg", reason="no psycopg: uv sync --extra spark")

#: It is delivered last: text expires, so that raw alone tells whom a line names; other text names
#: them.
FAVOURITE = Put(
    "users",
    "favourite",
    (
        Line(json.dumps(a_user_record(user_id=OTHER, favourite={"child": CHILD})).encode()),
        Line(json.dumps({"user_id": f"{USER}0"}).encode(), is_usable=False),
    ),
    datetime(2021, 2, 9),
)
LAST = FAVOURITE, Run(parameters={"retention": {"texts_days": 0}})
COMMITTED = "after the catalog's commit"  # before the copy, the lakes, and old files


@pytest.mark.slow
def test_no_file_on_spark_names_who_was_erased_and_the_lake_makes_the_rest_again(
    new_project, on_spark, catalog, join_spark, monkeypatch
):
    monkeypatch.setenv("LINGOKIDS_TEST_NOT_KEPT", "[device_id]")
    on_duckdb = new_project()
    both = on_duckdb, on_spark
    for project in both:
        deliver_a_family(project)
    for happening in LAST:
        ends = [let_happen(project, happening) for project in both]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            compare(on_duckdb, on_spark, happening)

    for project in both:
        resend_theirs(project)
        for person in person_of(USER, None), person_of(None, CHILD):
            _record(project).change(lambda erasures, person=person: erasures.with_person(person))
    assert any(file.startswith("tables/") for file in _naming(on_spark, catalog))
    assert len({_held(project) for project in both}) == 1

    on_duckdb.run()
    on_spark.switch_to()
    run = Killed(on_spark.folder, {}, {}, "", COMMITTED, 1, prepare=join_spark())
    assert run_to_the_kill(run) == COMMITTED
    compare(on_duckdb, on_spark, COMMITTED)
    assert any(file.startswith("tables/") for file in _naming(on_spark, catalog))

    # the next run makes up for the killed one; and then raw objects are written again
    left = _look_after_each(catalog, on_spark, monkeypatch)
    for project in both:
        ask_to_erase(project, rewrite_raw=True, user=USER)
    assert left == [set(), set()]
    compare(on_duckdb, on_spark, "erased")
    assert found_in(on_spark.folder, USER) == {}

    on_duckdb.database.unlink()
    with psycopg.connect(catalog.address) as connection:
        connection.execute("TRUNCATE iceberg_tables, lingokids_book")
    for project in both:
        project.run("restore")
        project.run()
        changed = Warehouse._known[project.database].changed_tables
        assert not [name for name in changed if name.startswith("bronze_")], changed
    compare(on_duckdb, on_spark, "restored")
    assert published_rows(on_spark) == published_rows(on_duckdb)


def _held(project: Project) -> str:
    """What tables have of the user, as they are told."""
    project.switch_to()
    held = json.loads(export(project.folder, "test", person_of(USER, None)))["tables"]
    assert held.keys() >= {"bronze_users", "stg_users", "quarantined_lines"}
    return str({name: sorted(map(str, held[name])) for name in held.keys() - OF_RUNS})


def _record(project: Project) -> ErasureRecord:
    return ErasureRecord(f"{project.folder}/erasures.json", None, None)


def _look_after_each(catalog, project: Project, monkeypatch) -> list[set[str]]:
    """What of the erased is left after each time that traces were removed."""
    left: list[set[str]] = []
    leave_no_trace = upkeep.leave_no_trace

    def look(warehouse) -> None:
        leave_no_trace(warehouse)
        left.append(_naming(project, catalog))

    monkeypatch.setattr(upkeep, "leave_no_trace", look)
    return left


def _naming(project: Project, catalog) -> set[str]:
    """The files that name them, but raw ones; and lists of files that know how an id begins."""
    with psycopg.connect(catalog.address) as connection:
        ((book,),) = connection.execute("SELECT content FROM lingokids_book").fetchall()
    (project.folder / "book-of-the-catalog").write_bytes(book)
    people = USER, CHILD
    found = {file for person in people for file in found_in(project.folder, person)}
    listed = {
        str(file.relative_to(project.folder))
        for file in project.folder.rglob("*.avro")
        for content in [_unpacked(file.read_bytes())]
        for person in people
        if any(each in content for each in (person[:16].encode(), *forms(person).values()))
    }
    return {file for file in found | listed if not file.startswith("raw/")}


def _unpacked(avro: bytes) -> bytes:
    """What an Avro file holds: blocks between marks, each two numbers and deflated rows."""
    header, *blocks, _ = avro.split(avro[-16:])
    return header + b"".join(zlib.decompress(_after_numbers(block), -15) for block in blocks)


def _after_numbers(block: bytes) -> bytes:
    ends = [place for place, byte in enumerate(block[:20]) if byte < 128]
    return block[ends[1] + 1 :]
