"""Someone is erased where raw objects and the lake are buckets of a MinIO server."""

from __future__ import annotations

import gzip
import io
from datetime import datetime, timedelta

import pyarrow.parquet as pq
import pytest

from lingokids.errors import LingokidsError
from lingokids.privacy import erase, expire
from lingokids.schema.parameters import Parameters
from lingokids.storage.raw.buckets import BucketStore
from minio_server import BUCKETS
from people import CHILD, USER, deliver_a_family, forms

pytestmark = pytest.mark.minio


class Later(datetime):
    """The clock of next week: a bucket's times cannot be set."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(days=7)


def _found_in_buckets(server, person: str) -> set[str]:
    """The objects that have the id, in any form."""
    found = set()
    for bucket in BUCKETS:
        for name in server.filesystem.find(bucket):
            content = server.filesystem.cat_file(name)
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            if content.startswith(b"PAR1"):
                content += str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
            if any(form in content for form in forms(person).values()):
                found.add(name)
    return found


@pytest.fixture
def family(minio_project):
    """A family, as it is delivered to buckets, and taken in."""
    deliver = minio_project.deliver
    minio_project.deliver = lambda *what: deliver(*what[:3])
    deliver_a_family(minio_project)
    minio_project.run()
    return minio_project


def _erase(project, *, rewrite_raw: bool, **whom: str) -> list[str]:
    person = erase.person_of(whom.get("user"), whom.get("child"))
    return list(erase.erase(project.folder, "minio", person, rewrite_raw=rewrite_raw))


@pytest.mark.parametrize(("kind", "person"), [("user", USER), ("child", CHILD)])
def test_no_object_of_any_bucket_has_the_id(family, kind, person, caplog):
    server, landings = family.server, "SELECT object_key, landed_at FROM ingested_objects"
    landed = family.rows(f"{landings} ORDER BY ALL")
    assert {name.partition("/")[0] for name in _found_in_buckets(server, person)} >= {
        *("raw-events", "raw-users", "bronze")
    }

    said = _erase(family, rewrite_raw=False, **{kind: person})
    left = _found_in_buckets(server, person)
    assert {name.partition("/")[0] for name in left} == {"raw-events", "raw-users"}
    assert all(any(line.endswith(name) for line in said) for name in left)
    _erase(family, rewrite_raw=True, **{kind: person})

    assert _found_in_buckets(server, person) == set()
    content = family.database.read_bytes()
    assert not any(form in content for form in forms(person).values())
    # what was written again landed when it did: it is no newer than what came after it
    assert family.rows(f"{landings} ORDER BY ALL") == landed
    before = family.snapshot(without_loads=True)
    caplog.clear()
    family.run()
    assert "Nothing new" in caplog.text
    family.run(rebuild="raw")
    assert family.snapshot(without_loads=True) == before
    assert family.rows(f"{landings} ORDER BY ALL") == landed


def test_without_the_right_to_write_raw_objects_they_stay(family, monkeypatch):
    """The pipeline's user may read them alone; who rewrites them gives other credentials."""

    def refuse(self, found, content):
        raise LingokidsError(f"{found.key} could not be written: Access Denied.")

    with monkeypatch.context() as patched:
        patched.setattr(BucketStore, "replace", refuse)
        with pytest.raises(LingokidsError, match="could not be written"):
            _erase(family, rewrite_raw=True, user=USER)

    family.run()

    assert USER not in str(family.snapshot())


def test_raw_objects_that_expired_are_removed_from_their_bucket(family, monkeypatch):
    read = Parameters.read.__func__

    def of_a_day(cls, given):
        return read(cls, given | {"retention": given["retention"] | {"raw_days": 1}})

    monkeypatch.setattr(Parameters, "read", classmethod(of_a_day))
    monkeypatch.setattr(expire, "datetime", Later)
    server = family.server
    keys = set(server.filesystem.find("raw-events"))
    expiry = expire.Expiry(family.folder, "minio")

    said = list(expiry.remove_raw())

    assert f"{len(keys):,} of {len(keys):,} objects" in said[0]
    assert server.filesystem.find("raw-events") == []
