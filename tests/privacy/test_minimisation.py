"""What no metric needs of a child is not kept, or as a pseudonym, however its line comes in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from builders import a_user_record, an_event_record, an_id
from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from conftest import Project

CHILD, OTHER = an_id(5), an_id(6)
KEY, OTHER_KEY = "k" * 32, "another key, of thirty-two chars"
STAGED = "SELECT DISTINCT child_id::VARCHAR, device_id FROM stg_events ORDER BY ALL"
LISTED = "SELECT children_ids::VARCHAR[] FROM stg_users"


def pseudonym(id_: str, key: str = KEY) -> str:
    """Worked out anew: a hash of key and id, marked as a UUID of version 8."""
    digest = hashlib.sha256((key + id_).encode()).hexdigest()
    marked = f"{digest[:12]}8{digest[13:16]}a{digest[17:32]}"
    return "-".join((marked[:8], marked[8:12], marked[12:16], marked[16:20], marked[20:]))


def deliver(project: Project) -> None:
    device = {"device": {"device_id": "device-1", "brand": "acme"}}
    events = [
        an_event_record(number, child_id=child, context=device)
        for number, child in ((1, CHILD), (2, OTHER), (3, CHILD))
    ]
    project.deliver("events", "a", events)
    project.deliver("users", "u", [a_user_record(900, children_ids=[CHILD, OTHER])])


def take_in(project: Project) -> None:
    deliver(project)
    project.run()


@pytest.fixture
def settings(monkeypatch):
    def give(not_kept: str = "[child_id, children_ids, device_id]", key: str = "") -> None:
        monkeypatch.setenv("LINGOKIDS_TEST_NOT_KEPT", not_kept)
        monkeypatch.setenv("LINGOKIDS_PSEUDONYM_KEY", key)
        if not key:
            monkeypatch.delenv("LINGOKIDS_PSEUDONYM_KEY")

    return give


def bytes_of(project: Project) -> bytes:
    kept = ("*.duckdb*", "0[238]_*/**/*")
    files = [path for pattern in kept for path in project.folder.glob(pattern) if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


@pytest.mark.slow
def test_without_a_key_the_ids_of_children_and_devices_are_in_no_file(project, settings):
    settings()
    deliver(project)

    project.run()

    assert project.rows(STAGED) == [(None, None)]
    assert project.rows(LISTED) == [(None,)]
    assert project.rows("SELECT DISTINCT device_brand FROM stg_events") == [("acme",)]
    assert b"device-1" not in bytes_of(project)


@pytest.mark.slow
def test_with_a_key_a_child_has_the_same_pseudonym_everywhere(project, settings, caplog):
    settings(key=KEY)
    deliver(project)

    with caplog.at_level("DEBUG"):
        project.run()
        project.run()

    expected = sorted([pseudonym(CHILD), pseudonym(OTHER)])
    assert project.rows(STAGED) == [(child, None) for child in expected]
    assert project.rows(LISTED) == [([pseudonym(CHILD), pseudonym(OTHER)],)]
    assert KEY.encode() not in bytes_of(project)
    assert KEY not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("rebuild", ["bronze", "raw"])
@pytest.mark.parametrize(
    ("before", "after", "from_bronze"),
    [
        ({"not_kept": "[]"}, {}, None),
        ({"not_kept": "[]"}, {"key": KEY}, pseudonym(CHILD)),
        ({"key": KEY}, {"key": OTHER_KEY}, None),
        ({"key": KEY}, {}, None),
        ({}, {"key": KEY}, None),
        ({"key": KEY}, {"not_kept": "[]"}, pseudonym(CHILD)),
    ],
)
def test_other_settings_are_refused_until_a_rebuild(
    project_after, settings, *, rebuild, before, after, from_bronze
):
    settings(**before)
    project = project_after(f"children-{'-'.join(before)}", take_in)
    settings(**after)
    with pytest.raises(LingokidsError, match=r"PSEUDONYM_KEY\). Nothing was changed; .*bronze"):
        project.run()

    project.run(rebuild=rebuild)
    project.run()

    from_raw = pseudonym(CHILD, after["key"]) if "key" in after else None
    if "not_kept" in after:
        from_raw = CHILD
    of_first = "SELECT child_id::VARCHAR FROM stg_events WHERE event_id = "
    assert project.rows(f"{of_first}'{an_id(1)}'") == [
        (from_bronze if rebuild == "bronze" else from_raw,)
    ]


@pytest.mark.slow
def test_what_is_no_longer_kept_is_in_no_file_after_the_rebuild(project, settings):
    settings("[]")
    deliver(project)
    project.run()
    assert b"device-1" in bytes_of(project)
    settings()

    project.run(rebuild="bronze")

    assert b"device-1" not in bytes_of(project)


@pytest.mark.slow
def test_what_comes_back_by_a_replay_or_from_the_lake_is_the_same(project, settings):
    settings(key=KEY)
    deliver(project)
    late = an_event_record(4, child_id=CHILD, occurred_at="2021-02-05 10:00:00.000")
    project.deliver("events", "b", [late])
    project.run()
    assert project.rows("SELECT count(*) FROM quarantined_lines") == [(1,)]

    project.run("replay", instants={"days_ahead": 30})
    project.run(instants={"days_ahead": 30})

    child = f"SELECT count(*) FROM stg_events WHERE child_id = '{pseudonym(CHILD)}'"
    assert project.rows(child) == [(3,)]
    project.database.unlink()
    project.run("restore")
    project.run(instants={"days_ahead": 30})
    assert project.rows(child) == [(3,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("not_kept", "key", "sentence"),
    [
        ("[childid]", "", "privacy.not_kept has childid, which is no column of raw records"),
        ("device_id", "", "privacy.not_kept is 'device_id': write a list of columns"),
        ("[user_id]", "", "privacy.not_kept has user_id, without which a line is unusable"),
        ("[]", "short", "LINGOKIDS_PSEUDONYM_KEY has 5 characters: give it 32 or more"),
    ],
)
def test_wrong_settings_are_refused(project, settings, not_kept, key, sentence):
    settings(not_kept, key)
    deliver(project)

    told = project.invoke("run")

    assert told.exit_code == 1
    assert sentence in " ".join(told.output.split())
