"""The pipeline's user can do what it needs and, by attempts, nothing else."""

from __future__ import annotations

from io import BytesIO

import pytest
from minio.error import MinioAdminException, S3Error

from set_up_server import PIPELINE, admin_as, objects_as, pipeline_objects

pytestmark = pytest.mark.minio


@pytest.fixture
def other_bucket(lake):
    objects_as(lake).make_bucket("payroll")
    objects_as(lake).put_object("payroll", "a", _content(), 2)
    yield "payroll"
    objects_as(lake).remove_object("payroll", "a")
    objects_as(lake).remove_bucket("payroll")


def _content() -> BytesIO:
    return BytesIO(b"{}")


@pytest.mark.parametrize("bucket", ["raw-events", "raw-users", "raw-activities"])
def test_the_pipeline_lists_and_reads_raw_and_changes_nothing_there(lake, bucket):
    pipeline = pipeline_objects(lake)
    key = next(pipeline.list_objects(bucket, recursive=True)).object_name

    assert pipeline.get_object(bucket, key).read()
    with pytest.raises(S3Error, match="AccessDenied"):
        pipeline.put_object(bucket, "a", _content(), 2)
    with pytest.raises(S3Error, match="AccessDenied"):
        pipeline.put_object(bucket, key, _content(), 2)
    with pytest.raises(S3Error, match="AccessDenied"):
        pipeline.remove_object(bucket, key)
    with pytest.raises(S3Error, match="AccessDenied"):
        pipeline.remove_bucket(bucket)


@pytest.mark.parametrize("bucket", ["bronze", "gold", "lake"])
def test_the_pipeline_writes_reads_lists_and_deletes_tables(lake, bucket):
    pipeline = pipeline_objects(lake)

    pipeline.put_object(bucket, "a/b", _content(), 2)
    assert pipeline.get_object(bucket, "a/b").read() == b"{}"
    assert [found.object_name for found in pipeline.list_objects(bucket, recursive=True)] == ["a/b"]
    pipeline.remove_object(bucket, "a/b")
    assert list(pipeline.list_objects(bucket, recursive=True)) == []
    with pytest.raises(S3Error, match="AccessDenied"):
        pipeline.remove_bucket(bucket)


def test_a_large_table_is_written_in_parts(lake):
    size = 6 * 1024**2
    pipeline_objects(lake).put_object(
        "bronze", "large", BytesIO(bytes(size)), size, part_size=5 * 1024**2
    )

    assert pipeline_objects(lake).stat_object("bronze", "large").size == size
    pipeline_objects(lake).remove_object("bronze", "large")


@pytest.mark.parametrize(
    "attempt",
    [
        lambda pipeline: pipeline.make_bucket("another"),
        lambda pipeline: list(pipeline.list_objects("payroll")),
        lambda pipeline: pipeline.get_object("payroll", "a"),
        lambda pipeline: pipeline.put_object("payroll", "b", _content(), 2),
        lambda pipeline: pipeline.remove_object("payroll", "a"),
        lambda pipeline: pipeline.set_bucket_policy("gold", "{}"),
        lambda pipeline: pipeline.delete_bucket_policy("raw-events"),
    ],
)
def test_the_pipeline_can_do_nothing_else(lake, other_bucket, attempt):
    with pytest.raises(S3Error, match="AccessDenied"):
        attempt(pipeline_objects(lake))
    assert other_bucket not in {bucket.name for bucket in pipeline_objects(lake).list_buckets()}


@pytest.mark.parametrize(
    "attempt",
    [
        lambda admin: admin.info(),
        lambda admin: admin.user_list(),
        lambda admin: admin.user_add("another", "anothers-secret"),
        lambda admin: admin.policy_set("consoleAdmin", user="the-pipeline"),
        lambda admin: admin.policy_remove("lingokids-pipeline"),
        # of itself
        lambda admin: admin.user_add("the-pipeline", "another-secret"),
        lambda admin: admin.add_service_account(access_key="second-key", secret_key="second-one"),
    ],
)
def test_the_pipeline_is_no_administrator(lake, attempt):
    with pytest.raises(MinioAdminException, match="AccessDenied"):
        attempt(admin_as(lake, *PIPELINE.values()))


# -- the main job, as the pipeline's user
