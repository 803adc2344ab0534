"""What is listed of a bucket: every version, once, whatever its name."""

from __future__ import annotations

import json
from datetime import date

import pytest

from builders import an_event_record
from lingokids.storage.raw.places import open_store

pytestmark = pytest.mark.minio

ODD_NAMES = [
    *("a b", "a%20b", "%2F", "a+b", "a?b=c&d", "a#b", "x[1]*", "q'u\"o", "tilde~", "{br}|^`"),
    *("back\\slash", "é/ü.jsonl", "日本/子.jsonl", "=;,:@$!()", "x..y"),
]
#: Those that MinIO takes: elsewhere ``//``, ``.`` and ``..`` may be parts of a key.
UNSAYABLE = ["a\x1bb", "new\nline", "\ttab", "2021-01-03/late/\x01", "slash/", "x/\x7f/", "\ufffe"]
# MinIO cannot hold both an object and a folder of its name
OUTSIDE_HOURS = [
    *("2021-01-02.jsonl", "2021-01-03-late/a", "2021-01-03/a", "2021-01-03/all/a"),
    *("2021-01-99/00/a", "2021/01/03/a", "app/2021-01-03/00/a", "00/a", "zz", "2021-01-0/a"),
    "2022/a",
]


@pytest.fixture
def store(buckets):
    return open_store("s3://raw-events", buckets.filesystem.storage_options)


def test_an_object_put_back_to_earlier_content_is_a_new_delivery(minio_project, caplog):
    first, second = [an_event_record(completed=True)], [an_event_record(completed=False)]
    for records in (first, second, first):
        minio_project.deliver("events", "a.jsonl", records)
        minio_project.run()

    loads = minio_project.rows("SELECT load_id FROM ingested_objects ORDER BY ALL")
    assert loads == [(1,), (2,), (3,)]
    assert minio_project.rows("SELECT completed_flag, load_id FROM stg_events") == [(True, 3)]
    assert "Nothing new" not in caplog.text
    minio_project.run()
    assert "Nothing new" in caplog.text


def test_names_that_need_quoting_are_listed_and_read(minio_project, caplog):
    for number, name in enumerate(ODD_NAMES):
        minio_project.deliver("events", name, [an_event_record(number)])

    minio_project.run()

    keys = minio_project.rows("SELECT object_key FROM ingested_objects WHERE kept = 1")
    assert sorted(key for (key,) in keys) == sorted(ODD_NAMES)
    assert "Nothing new" not in caplog.text
    minio_project.run()
    assert "Nothing new" in caplog.text


@pytest.mark.parametrize("folder", ["", "/deep/er"])
def test_a_listing_since_a_day_leaves_out_hours_of_earlier_days_only(buckets, folder):
    hours = [f"2021-01-0{day}/{hour}/a" for day in (2, 3, 4, 5) for hour in ("00", "23")]
    place = f"raw-events{folder}"
    for key in [*OUTSIDE_HOURS, *hours]:
        buckets.filesystem.pipe_file(f"{place}/{key}", b"")
    store = open_store(f"s3://{place}", buckets.filesystem.storage_options)

    found = [item.key for item in store.find(date(2021, 1, 4))]

    assert sorted(found) == sorted([*OUTSIDE_HOURS, *hours[4:]])
    assert sorted(item.key for item in store.find()) == sorted([*OUTSIDE_HOURS, *hours])


@pytest.mark.parametrize("folder", ["", "/deep/er"])
@pytest.mark.parametrize("since", [None, date(2021, 1, 4)])
def test_names_that_the_quick_client_cannot_say_are_read_beside_the_others(buckets, folder, since):
    names = {name: f"of {number}".encode() for number, name in enumerate(UNSAYABLE)}
    names |= {"2021-01-04/00/a": b"first", "zz": b"last", "_temporary/0/a": b"", "a/.b/c": b""}
    for name, content in names.items():
        put_object(buckets, f"{folder}/{name}"[1:] if folder else name, content)
    store = open_store(f"s3://raw-events{folder}", buckets.credentials)

    found = list(store.find(since))

    contents = [blocks and b"".join(blocks) for blocks in store.fetch(found)]
    data = {name.strip("/"): content for name, content in names.items() if content}
    assert dict(zip((each.key for each in found), contents, strict=True)) == data
    assert len(found) == len(data)
    assert found == list(store.find(since))


def put_object(buckets, key: str, content: bytes) -> None:
    buckets.filesystem.call_s3("put_object", Bucket="raw-events", Key=key, Body=content)


def test_one_odd_name_does_not_hide_the_rest_of_a_long_listing(buckets, store):
    buckets.filesystem.pipe({f"raw-events/{number:04}": b"" for number in range(1_005)})
    put_object(buckets, "1002\n", b"odd")

    found = [each.key for each in store.find()]

    assert sorted(found) == sorted([*(f"{number:04}" for number in range(1_005)), "1002\n"])


def test_an_odd_name_is_taken_in_beside_another(minio_project, buckets):
    event = json.dumps(an_event_record()).encode()
    put_object(buckets, "odd\x1b[31m/", event)
    minio_project.deliver("events", "plain", [an_event_record(2)])

    minio_project.run("ingestion")

    taken_in = minio_project.rows("SELECT object_key, kept FROM ingested_objects ORDER BY ALL")
    assert taken_in == [("odd\x1b[31m", 1), ("plain", 1)]


def test_a_version_by_content_is_the_same_when_it_is_put_again(buckets):
    store = open_store("s3://raw-events", buckets.credentials, by_content=True)
    versions = []
    for content in (b"a", b"a", b"b"):
        buckets.filesystem.pipe_file("raw-events/x", content)
        (found,) = store.find()
        versions.append(found.etag)
        assert [b"".join(blocks or ()) for blocks in store.fetch([found])] == [content]

    assert versions[0] == versions[1] != versions[2]


def test_a_bucket_of_no_objects_is_empty(store):
    assert list(store.find()) == []
    assert list(store.find(date(2021, 1, 1))) == []


def test_an_object_listed_again_has_the_same_etag(buckets, store):
    buckets.filesystem.pipe_file("raw-events/2021-01-05/00/a", b"x")

    assert list(store.find()) == list(store.find()) == list(store.find(date(2021, 1, 1)))
