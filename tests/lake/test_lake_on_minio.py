"""Bronze and gold in buckets: published, restored, and refused in one sentence."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from kedro.io import DatasetError

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.lake.delta import Lake
from minio_server import MinioProject
from published import BRONZE, GOLD, deliver_a_day, newest, the_rows, versions

pytestmark = pytest.mark.minio


def _assert_published(project, folder) -> None:
    """The buckets hold the rows of the tables."""
    folder.mkdir()
    for bucket, tables in (("bronze", BRONZE), ("gold", GOLD)):
        filesystem = project.server.filesystem
        filesystem.get(f"{bucket}/", f"{folder / bucket}/", recursive=True)
        for table in tables:
            assert the_rows(folder / bucket, table) == project.table(table), table
            assert versions(folder / bucket)[table] == newest(folder / bucket, table)


def _published_rows(project, folder) -> list[list[tuple[Any, ...]]] | None:
    if not project.server.filesystem.exists("gold/publication.json"):
        return None
    project.server.filesystem.get("gold/", f"{folder}/", recursive=True)
    return [the_rows(folder, table) for table in GOLD]


@pytest.fixture
def run(minio_project, caplog):
    """Run here, and tell what was logged."""

    def run(*pipelines: str) -> str:
        caplog.clear()
        minio_project.run(*pipelines)
        return caplog.text

    return run


def test_buckets_are_published_to_and_the_warehouse_restored_from_them(
    minio_project, run, tmp_path
):
    deliver_a_day(minio_project, 5, landed_at="now")
    run()
    deliver_a_day(minio_project, 6, an_event_record(105), landed_at="now")
    assert "Published: bronze_events, " in run()
    _assert_published(minio_project, tmp_path / "first")
    assert "Published" not in run()
    before = minio_project.snapshot()

    minio_project.database.unlink()
    filesystem = minio_project.server.filesystem
    for dataset in ("events", "users", "activities"):
        filesystem.rm(f"raw-{dataset}", recursive=True)
        filesystem.mkdir(f"raw-{dataset}")
    run("restore")
    run()

    assert minio_project.snapshot() == before
    _assert_published(minio_project, tmp_path / "second")
    deliver_a_day(minio_project, 7, landed_at="now")
    run()
    assert minio_project.rows("SELECT max(load_id) FROM ingested_objects") == [(4,)]
    _assert_published(minio_project, tmp_path / "third")


def test_a_missing_bucket_is_named_and_the_next_run_makes_up_for_it(minio_project, run, tmp_path):
    deliver_a_day(minio_project, 5, landed_at="now")
    minio_project.server.filesystem.rmdir("gold")

    sentence = "s3://gold is not .*s3://gold/publication.json is not there .NoSuchBucket"
    with pytest.raises(LingokidsError, match=f"tables are up to date, but {sentence}"):
        run()

    assert len(minio_project.table("stg_events")) == 1
    minio_project.server.filesystem.mkdir("gold")
    assert "Nothing new: 0 objects read" in run()
    _assert_published(minio_project, tmp_path / "cured")


def test_without_the_bucket_of_the_record_of_erasures_no_line_is_taken_in(
    minio_project, run, tmp_path
):
    deliver_a_day(minio_project, 5, landed_at="now")
    minio_project.server.filesystem.rmdir("bronze")

    with pytest.raises(LingokidsError, match=r"s3://bronze/erasures.json is not there .NoSuchB"):
        run()

    minio_project.server.filesystem.mkdir("bronze")
    run()
    assert len(minio_project.table("stg_events")) == 1
    _assert_published(minio_project, tmp_path / "cured")


def test_a_denied_bucket_is_named_without_its_secret(minio_project, run, tmp_path):
    deliver_a_day(minio_project, 5, landed_at="now")
    places = tmp_path / "conf" / "minio" / "globals.yml"
    right = places.read_text()
    lake = right.index("lake:")
    places.write_text(right[:lake] + right[lake:].replace("minio", "stranger"))
    (tmp_path / "conf" / "minio" / "credentials.yml").write_text(
        "stranger:\n  key: nobody\n  secret: not-to-be-shown\n"
        "  client_kwargs: {endpoint_url: '${oc.env:MINIO_ENDPOINT}'}\n"
    )

    with pytest.raises(LingokidsError, match="up to date, but s3://bronze is not") as refused:
        run()

    assert "does not accept the credentials (InvalidAccessKeyId)" in str(refused.value)
    assert "not-to-be-shown" not in str(refused.value)
    places.write_text(right)
    run()
    _assert_published(minio_project, tmp_path / "cured")


def test_a_restore_with_wrong_credentials_or_without_a_file_is_refused(minio_project, run):
    deliver_a_day(minio_project, 5, landed_at="now")
    run()
    minio_project.database.unlink()

    with pytest.raises(
        DatasetError, match=r"does not accept the cred.*SignatureDoesNot"
    ) as refused:
        minio_project.run_with("restore", MINIO_SECRET_KEY="not-to-be-shown")
    assert "not-to-be-shown" not in str(refused.value)

    (gone,) = minio_project.server.filesystem.glob("bronze/bronze_events/*.parquet")
    minio_project.server.filesystem.rm(gone)
    with pytest.raises(DatasetError, match=f"s3://{gone.replace('/', ': ', 1)} is missing: bring"):
        run("restore")


def test_of_two_who_publish_at_once_one_is_told_and_nothing_is_mixed(minio_project, tmp_path):
    deliver_a_day(minio_project, 5, landed_at="now")
    other = MinioProject(tmp_path / "other", minio_project.server)
    shutil.copytree(tmp_path, other.folder, symlinks=True)
    for places in (other.folder / "conf").glob("*/globals.yml"):
        places.write_text(places.read_text().replace(f"{tmp_path}/", f"{other.folder}/"))
    for day in (6, 7):
        before = _published_rows(minio_project, tmp_path / f"before-{day}")
        deliver_a_day(minio_project, day, landed_at="now")
        runs = [minio_project.start(), other.start("--params", "os_names.iOS=Apple")]
        said = [run.communicate()[0] for run in runs]
        for run, text in zip(runs, said, strict=True):
            assert "Traceback" not in text
            assert run.returncode == 0 or "another run has published there meanwhile" in text, text
        wholes = [
            [project.table(table) for table in GOLD]
            for project, text in zip((minio_project, other), said, strict=True)
            if "s3://gold is not" not in text
        ]
        # each may have met a table of the other: then both are told, and it stays as it was
        assert _published_rows(minio_project, tmp_path / f"lake-{day}") in (wholes or [before])
    minio_project.run()
    _assert_published(minio_project, tmp_path / "whole")


def test_the_pointer_is_replaced_only_if_it_is_the_one_that_was_read(minio_project):
    storage = Lake("s3://gold", minio_project.server.credentials).storage
    assert storage.replace("publication.json", b"one", None)
    assert not storage.replace("publication.json", b"other", None)
    first = storage.read("publication.json")
    assert storage.replace("publication.json", b"two", first.version)
    assert not storage.replace("publication.json", b"three", first.version)
    assert storage.read("publication.json").content == b"two"


def test_an_object_that_vanished_is_written_anew(minio_project, run, tmp_path):
    deliver_a_day(minio_project, 5, landed_at="now")
    run()
    filesystem = minio_project.server.filesystem
    vanished = filesystem.glob("gold/activity_popularity_daily/*.parquet")[0]
    filesystem.rm(vanished)

    assert f"such as {vanished.removeprefix('gold/')}" in run()

    _assert_published(minio_project, tmp_path / "cured")
