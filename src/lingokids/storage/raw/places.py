"""Opens the place of a raw dataset: a local folder, or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingokids.errors import LingokidsError
from lingokids.storage.raw.folders import FolderStore

if TYPE_CHECKING:
    from lingokids.storage.raw.stores import Store


def open_store(
    path: str,
    credentials: dict[str, Any] | None = None,
    s3: dict[str, Any] | None = None,
    *,
    by_content: bool = False,
) -> Store:
    """The store behind a local folder or file, or a URL such as ``s3://raw-events``.

    Args:
        path: The folder or URL.
        credentials: Of the bucket's server: see ``s3.Client``.
        s3: Time-outs and retries: see ``s3.S3ClientOptions``.
        by_content: Whether the version of an object is its content alone, not its time too.
    """
    if path.startswith("s3://"):
        # imported here: a run on folders does not load the client of buckets
        from lingokids.storage.raw.buckets import BucketStore

        return BucketStore(path, credentials or {}, s3 or {}, by_content=by_content)
    if "://" in path.removeprefix("file://"):
        raise LingokidsError(f"{path} is neither a folder nor s3://…: change it in globals.yml.")
    return FolderStore(path.removeprefix("file://"), by_content=by_content)
