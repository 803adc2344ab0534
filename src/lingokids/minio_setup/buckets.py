"""Buckets, and the sample in them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

from minio.error import S3Error

from lingokids.minio_setup.server import Server
from lingokids.minio_setup.variables import SetupError

RAW_DATASETS = ("events", "users", "activities")
BUCKETS = (*(f"raw-{dataset}" for dataset in RAW_DATASETS), "bronze", "gold", "lake")

# The largest object that one request may send. In one request, the server's ETag is the MD5 of
# the content, by which a later init knows that the object is there unchanged.
_ONE_REQUEST = 5 * 1024**3


def ensure_buckets(server: Server) -> str:
    """Make the buckets that are missing."""
    missing = [bucket for bucket in BUCKETS if not server.objects.bucket_exists(bucket)]
    for bucket in missing:
        server.objects.make_bucket(bucket)
    refuse_public_ones(server)
    return f"buckets: made {', '.join(missing)}" if missing else "buckets: all there"


def refuse_public_ones(server: Server) -> None:
    """Refuse buckets that are open to everyone."""
    for bucket in BUCKETS:
        _refuse_a_public_one(server, bucket)


def _refuse_a_public_one(server: Server, bucket: str) -> None:
    try:
        statements = json.loads(server.objects.get_bucket_policy(bucket))["Statement"]
    except S3Error as error:
        if error.code == "NoSuchBucketPolicy":
            return
        raise
    for statement in statements:
        if statement["Effect"] == "Allow" and "*" in str(statement.get("Principal")):
            raise SetupError(
                f"{bucket} is open to everyone, by a policy of its own: take that away (mc "
                f"anonymous set private ALIAS/{bucket}), and run it again."
            )


def deliver_sample(server: Server, sample: Path) -> Iterator[str]:
    """Deliver each raw folder into its bucket; unchanged objects are not sent again.

    One object after another, in the order of their keys: so they land in that order, and the
    last delivery of an event is the same as in the folder.

    Raises:
        SetupError: A raw folder is missing.
    """
    for dataset in RAW_DATASETS:
        folder = sample / dataset
        if not folder.is_dir():
            raise SetupError(
                f"{folder} is not there: give the folder of the raw data, or leave the sample out."
            )
        yield _deliver(server, folder, f"raw-{dataset}")


def _deliver(server: Server, folder: Path, bucket: str) -> str:
    present = {
        found.object_name: (found.etag or "").strip('"')
        for found in server.objects.list_objects(bucket, recursive=True)
    }
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    sent = unchanged = 0
    for key, path in sorted(files.items()):
        if not path.is_file() or path.name.startswith("."):
            continue
        content = path.read_bytes()
        if present.get(key) == hashlib.md5(content, usedforsecurity=False).hexdigest():
            unchanged += 1
            continue
        server.objects.put_object(
            bucket, key, io.BytesIO(content), len(content), part_size=_ONE_REQUEST
        )
        sent += 1
    return f"{bucket}: {sent:,} objects delivered, {unchanged:,} there already"
