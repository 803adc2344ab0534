"""Someone is erased: to the byte, for good, and everything else is as if they had never been."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from builders import an_event_record
from lingokids.schema.parameters import Parameters
from operators import ask
from people import (
    CHILD,
    OTHER,
    USER,
    ask_to_erase,
    copy_raw_without,
    deliver_a_family,
    forms,
    found_in,
    resend_theirs,
    tables,
)

pytestmark = pytest.mark.slow

NOT_KEPT, KEPT = "[child_id, children_ids, device_id]", "[]"
#: Whom, what is not kept of children, and the key of pseudonyms.
CASES = {
    "user": ("user", USER, NOT_KEPT, ""),
    "child": ("child", CHILD, NOT_KEPT, ""),
    "child, by a pseudonym": ("child", CHILD, NOT_KEPT, "k" * 32),
    "child, kept": ("child", CHILD, KEPT, ""),
}


def _take_in_a_family(project) -> None:
    deliver_a_family(project)
    project.run()
    resend_theirs(project)
    project.run()
    project.run("reporting")


@pytest.fixture
def case() -> str:
    """The one of tests that are about one."""
    return "user"


@pytest.fixture
def whom(case, monkeypatch) -> tuple[str, str]:
    """The kind and id of the case, under its settings."""
    kind, person, not_kept, key = CASES[case]
    monkeypatch.setenv("LINGOKIDS_TEST_NOT_KEPT", not_kept)
    monkeypatch.delenv("LINGOKIDS_PSEUDONYM_KEY", raising=False)
    if key:
        monkeypatch.setenv("LINGOKIDS_PSEUDONYM_KEY", key)
    return kind, person


@pytest.fixture
def family(whom, case, project_after):
    """A family and another, in two loads of which one is of an object sent again."""
    return project_after(
        "a-family-" + "-".join(map(str, map(len, CASES[case][2:]))), _take_in_a_family
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "rewrite_raw",
    [pytest.param(False, id=""), pytest.param(True, id="raw")],
)
def test_no_byte_has_the_id_and_what_is_left_is_what_raw_without_them_makes(
    family, new_project, whom, rewrite_raw
):
    kind, person = whom
    found = found_in(family.folder, person)
    of_users = ["lingokids-gold.duckdb", "02_bronze/bronze_users/"] if kind == "user" else []
    for place in "lingokids.duckdb", "raw/", *of_users:
        assert any(file.startswith(place) for file in found), place
    page = family.folder / "08_reporting" / "checks" / "2021-01-01T00.00.00.000Z.html"
    page.write_text(f"<td>{person.upper()}</td>")  # as a version before wrote it
    without_them = new_project()
    longest_line = 1 << 30 if rewrite_raw else 1 << 20
    copy_raw_without(family, without_them, (kind, person), longest_line=longest_line)

    said = ask_to_erase(family, rewrite_raw=rewrite_raw, **{kind: person})

    left = found_in(family.folder, person)
    assert [file for file in left if not file.startswith("raw/")] == []
    assert bool(left) != rewrite_raw
    for file in left:  # those that are left are named
        assert any(line.endswith(file) for line in said)
    assert family.rows(
        "SELECT count(*) FROM ingested_objects WHERE lines <> blank + kept + quarantined"
    ) == [(0,)]
    texts = family.rows(
        "SELECT line_text FROM quarantined_lines WHERE reason = 'of an erased user'"
    )
    assert {*texts} <= {("",)}  # of a child, no line has gone where raw was rewritten

    versions = () if rewrite_raw else ("etag", "size_bytes")
    erased = tables(family, *versions)
    without_them.run()
    assert erased == tables(without_them, *versions)
    family.run(rebuild="raw")
    assert erased == tables(family, *versions)


def test_the_id_is_in_nothing_that_is_said(family):
    asked = family.command("erase", "--user", USER, "--rewrite-raw")

    assert asked.returncode == 0
    assert "Erased: " in asked.stdout
    said = (asked.stdout + asked.stderr).encode()
    assert not any(form in said for form in forms(USER).values())


@pytest.mark.parametrize("case", ["user", "child"])
def test_nothing_brings_them_back(family, whom):
    kind, person = whom
    ask_to_erase(family, **{kind: person})
    erased = tables(family)

    family.run(rebuild="bronze")
    assert person not in str(tables(family))
    assert family.rows("SELECT count(*) FROM quarantined_lines WHERE reason = 'of an erased user'")
    family.run("replay")
    assert person not in str(tables(family))

    again = tables(family)
    family.database.unlink()
    family.run("restore")
    family.run()
    assert tables(family) == again
    family.database.unlink()
    family.run()
    assert person not in str(tables(family))
    assert {name: rows for name, rows in erased.items() if name.startswith(("stg", "user"))} == {
        name: rows for name, rows in tables(family).items() if name.startswith(("stg", "user"))
    }


def test_a_copy_of_before_is_cleared_by_the_next_run(family):
    """A warehouse put back from a backup: the record knows, the warehouse does not."""
    backup = family.database.read_bytes()
    ask_to_erase(family, user=USER)
    erased = tables(family)
    family.database.write_bytes(backup)
    assert USER in str(tables(family))

    family.run()

    assert tables(family) == erased
    assert [file for file in found_in(family.folder, USER) if not file.startswith("raw/")] == []


def test_an_idle_run_after_an_erasure_writes_nothing(family):
    ask_to_erase(family, rewrite_raw=True, user=USER)
    before = family.rows("SELECT count(*) FROM runs")

    family.run()

    assert family.rows("SELECT count(*) FROM runs") == before
    assert family.rows("SELECT count(*) FROM gone WHERE contains(unit, 'user_id')") == [(0,)]


def test_what_is_held_of_someone_is_exported(family):
    held = json.loads(ask(family, "erase", "--user", USER, "--export").stdout)

    assert held["tables"].keys() >= {"bronze_users", "stg_users", "user_activity_daily"}
    assert {row["user_id"] for row in held["tables"]["stg_users"]} == {USER}
    assert {line["object_key"] for line in held["raw_lines"]} == {
        *("first", "theirs", "odd.gz", "late", "early", "long")
    }
    assert any(line["line"].startswith('{"event_id"') for line in held["raw_lines"])
    assert OTHER in str(family.table("stg_users"))


def test_where_values_of_unknown_keys_have_expired_raw_tells(project):
    project.deliver("events", "a", [an_event_record(1), an_event_record(2, guest=USER)])
    project.run()
    project.run(retention={"texts_days": 0})

    said = ask_to_erase(project, user=USER)

    assert said[-1].endswith("/a")
    assert project.rows("SELECT kept, quarantined FROM ingested_objects") == [(1, 1)]
    assert project.rows("SELECT line_number FROM bronze_events") == [(1,)]
    ask_to_erase(project, rewrite_raw=True, user=USER)
    assert found_in(project.folder, USER) == {}


def test_raw_objects_that_no_run_reads_any_more_are_looked_into(project, monkeypatch):
    read = Parameters.read.__func__

    def with_limit(cls, given):
        own = given["retention"] | {"lines_days": {"events": 10, "users": None, "activities": None}}
        return read(cls, given | {"retention": own})

    monkeypatch.setattr(Parameters, "read", classmethod(with_limit))
    project.deliver("events", "old", [an_event_record(1, user_id=USER)], "2021-01-02 12:00:00")
    project.run()
    assert project.rows("SELECT * FROM ingested_objects") == []

    assert ask_to_erase(project, user=USER)[-1].endswith("/old")

    ask_to_erase(project, rewrite_raw=True, user=USER)
    assert found_in(project.folder, USER) == {}


def test_a_warehouse_without_lines_yet_is_no_obstacle(project):
    project.run("analytics")
    project.deliver("events", "a", [an_event_record(1, user_id=USER), an_event_record(2)])

    said = ask_to_erase(project, user=USER)

    assert said[-1].endswith("/a")
    assert project.rows("SELECT kept, quarantined FROM ingested_objects") == [(1, 1)]


def test_an_object_named_after_someone_is_told(project):
    project.deliver("events", USER, [an_event_record(1, user_id=USER)])
    project.run()

    said = ask_to_erase(project, user=USER)

    assert "holds the id, but as the name of 1 objects, which is not changed." in said[1]


REFUSED = {
    "nobody": ((), "Say whom: --user ID, or --child ID."),
    "two": (("--user", USER, "--child", CHILD), "Say whom: --user ID, or --child ID."),
    "no id": (("--user", f"{USER}0"), "That is no id: write the uuid that the app gives"),
}


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_request_is_refused_in_one_sentence(project, arguments, sentence):
    asked = ask(project, "erase", *arguments)

    assert asked.exit_code == 1
    assert asked.stderr.splitlines()[-1].startswith(f"Error: {sentence}")
    assert USER not in asked.output
    assert isinstance(asked.exception, SystemExit), "no traceback"


def test_without_a_warehouse_nobody_is_erased(project):
    asked = ask(project, "erase", "--user", USER)

    assert asked.exit_code == 1
    assert "lingokids.duckdb is not there" in asked.stderr
    assert not (project.folder / "erasures.json").exists()


def test_an_id_of_which_nothing_is_held_is_refused_from_now_on(begun_project):
    asked = begun_project.command("erase", "--user", USER)
    assert asked.returncode == 0
    assert "No table holds anything of this user" in asked.stdout

    deliver_a_family(begun_project)
    begun_project.run()

    assert USER not in str(tables(begun_project))


def test_while_a_run_writes_nobody_is_erased(begun_project):
    holder = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(begun_project.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asked = begun_project.command("erase", "--user", USER)
        process.communicate(b"\n")

    assert asked.returncode == 1
    assert "is in use by another process" in asked.stderr
    assert not (begun_project.folder / "erasures.json").exists()
