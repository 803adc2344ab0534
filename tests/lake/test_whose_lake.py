"""Whose lake it is: that of another version, warehouse, environment; a pointer that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lingokids.errors import LingokidsError
from lingokids.storage.lake.delta import Lake
from published import (
    GOLD,
    assert_published,
    deliver_a_day,
    publish_a_day,
    the_pointer,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _contents(lake: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}


def _edit_pointer(lake: Path, edit) -> None:
    pointer = the_pointer(lake)
    edit(pointer)
    (lake / "publication.json").write_text(json.dumps(pointer))


def _set_columns(pointer) -> None:
    for table in pointer["tables"].values():
        table["columns"] += 1


@pytest.mark.parametrize(
    "edit",
    [
        _set_columns,
        lambda pointer: pointer.update(hashing=1),
        lambda pointer: pointer["tables"].pop(next(iter(pointer["tables"]))),
        lambda pointer: pointer["tables"].update({"../x": {"version": 1, "columns": 1}}),
    ],
    ids=["other columns", "another engine", "a table less", "an unknown table"],
)
def test_a_publication_of_another_version_is_replaced(published, edit):
    for lake in "02_bronze", "03_gold":
        _edit_pointer(published.folder / lake, edit)
    deliver_a_day(published, 6)

    published.run()

    assert_published(published)


def test_a_lake_of_plain_files_is_refused_until_it_is_asked_to_be_carried_over(published):
    for name in "02_bronze", "03_gold":
        lake = published.folder / name
        shutil.rmtree(lake)
        (lake / GOLD[0] / "2021-01").mkdir(parents=True)
        (lake / GOLD[0] / "2021-01" / "a.parquet").write_bytes(b"PAR1")
        (lake / "manifest.json").write_text('{"format": 1}')
    before = _contents(published.folder / "02_bronze")

    refused = published.invoke("run")

    assert refused.exit_code == 1
    assert refused.stderr.count("--pipeline publication --params rebuild=bronze publishes it") == 2
    assert isinstance(refused.exception, SystemExit), "no traceback"
    assert _contents(published.folder / "02_bronze") == before

    published.run("publication", rebuild="bronze")

    assert_published(published)
    assert not list(published.folder.glob("0*/manifest.json"))


def test_a_new_warehouse_with_the_same_objects_replaces_the_publication(published):
    published.database.unlink()
    deliver_a_day(published, 6)

    published.run()

    assert_published(published)


def test_a_new_warehouse_with_fewer_objects_leaves_the_publication(published):
    project, lake = published, published.folder / "02_bronze"
    deliver_a_day(project, 6)
    project.run()
    project.database.unlink()
    for path in (project.folder / "raw" / "events").glob("106*"):
        path.unlink()
    before = _contents(lake)

    with pytest.raises(LingokidsError, match=r"2 objects that lingokids.duckdb has not, such"):
        project.run()

    assert _contents(lake) == before
    (lake / "publication.json").unlink()
    project.run()
    assert_published(project)


@pytest.mark.parametrize("what", ["environment", "raw_events"])
def test_a_lake_of_another_environment_or_other_raw_places_is_left_alone(published, what):
    for lake in "02_bronze", "03_gold":
        _edit_pointer(published.folder / lake, lambda it: it["origin"].update({what: "else"}))
    before = _contents(published.folder / "02_bronze")
    published.database.unlink()  # as by a warehouse of its own
    (published.folder / "lingokids-gold.duckdb").unlink()
    deliver_a_day(published, 6)

    with pytest.raises(LingokidsError, match=f"it is of {what} else, and this run of "):
        published.run()

    assert _contents(published.folder / "02_bronze") == before
    assert len(published.table("bronze_events")) == 2


def test_a_lake_and_its_raw_places_may_be_moved_together(published, new_project):
    moved = new_project()
    for name in ("raw", "02_bronze", "03_gold"):
        shutil.rmtree(moved.folder / name, ignore_errors=True)
        shutil.copytree(published.folder / name, moved.folder / name)
    shutil.copyfile(published.database, moved.database)
    deliver_a_day(moved, 6)

    moved.run()

    assert_published(moved)


_WHOLE = {
    "format": 2,
    "published_at": "2021-01-01T00:00:00Z",
    "run": 1,
    "run_id": "a",
    "origin": {},
    "hashing": 1,
    "tables": {},
}


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "{}", "\xff"),
        json.dumps(_WHOLE | {"format": 1}),
        json.dumps(_WHOLE | {"tables": []}),
        json.dumps(_WHOLE | {"tables": {"bronze_users": {"version": "1; DROP", "columns": 1}}}),
        json.dumps(_WHOLE | {"tables": {"bronze_users": {"version": -1, "columns": 1}}}),
        json.dumps(_WHOLE | {"tables": {"bronze_users": {"version": 1 << 63, "columns": 1}}}),
        json.dumps(
            _WHOLE
            | {"tables": {"bronze_users": {"version": 1, "columns": 1, "sums": {10**9: [1, 1]}}}}
        ),
    ],
)
def test_a_pointer_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "publication.json").write_text(content, encoding="latin-1")

    with pytest.raises(LingokidsError, match=r"/publication.json is not one that this version"):
        Lake(str(tmp_path)).pointer()


@pytest.mark.parametrize("name", ["a[1]", "a%20b", "a|b", "a\\b"])
def test_a_folder_that_the_library_mistakes_is_refused(tmp_path, name):
    with pytest.raises(LingokidsError, match="Delta tables cannot lie below a folder with"):
        Lake(str(tmp_path / name)).table("bronze_users")


def test_a_huge_pointer_is_not_read(tmp_path):
    with (tmp_path / "publication.json").open("wb") as pointer:
        pointer.truncate(8 << 30)

    with pytest.raises(LingokidsError, match=r"/publication.json is not one that this version"):
        Lake(str(tmp_path)).pointer()
