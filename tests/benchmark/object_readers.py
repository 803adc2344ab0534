"""Read the benchmark's bucket with one client: ``python object_readers.py obstore``.

``objects`` starts it in a process of its own for each reading. It prints one line of JSON: the
number of objects, the seconds of listing and of reading, without start-up, and peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import s3fs

    from lingokids.storage.raw.stores import StoredObject

BUCKET = "benchmark-objects"
_AT_A_TIME = 800  # some 16 MiB of 20 kB objects: the batch in which the project used to ask s3fs


def main() -> None:
    """Read with the client that the command line names."""
    print(json.dumps(READERS[sys.argv[1]]()))


def _read_with_obstore() -> dict[str, float]:
    from lingokids.storage.raw.places import open_store

    store = open_store(f"s3://{BUCKET}", credentials())

    def read(found: list[StoredObject]) -> Iterator[int]:
        for blocks in store.fetch(found):
            yield sum(map(len, blocks or ()))

    return _measured(lambda: sorted(store.find()), read)


def _read_with_s3fs() -> dict[str, float]:
    filesystem = s3fs_filesystem()

    def read(found: list[str]) -> Iterator[int]:
        for start in range(0, len(found), _AT_A_TIME):
            some = found[start : start + _AT_A_TIME]
            yield from map(len, filesystem.cat_ranges(some, None, None, on_error="return"))

    return _measured(lambda: sorted(filesystem.find(BUCKET, detail=True)), read)


READERS: dict[str, Callable[[], dict[str, float]]] = {
    "obstore": _read_with_obstore,
    "s3fs": _read_with_s3fs,
}


def _measured(find: Callable[[], list[Any]], read: Callable[[list[Any]], Any]) -> dict[str, float]:
    start = _clock()
    found = find()
    listed = _clock()
    objects = sum(1 for _ in read(found))
    done = _clock()
    return {
        "objects": objects,
        "list_wall": listed[0] - start[0],
        "list_cpu": listed[1] - start[1],
        "read_wall": done[0] - listed[0],
        "read_cpu": done[1] - listed[1],
        "peak_kb": _peak_kb(),
    }


def _clock() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def _peak_kb() -> int:
    """Peak memory of this program; ``ru_maxrss`` would start from that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def s3fs_filesystem() -> s3fs.S3FileSystem:
    """The server of the benchmark, through s3fs."""
    import s3fs

    return s3fs.S3FileSystem(**credentials(), use_listings_cache=False)


def credentials() -> dict[str, Any]:
    """The server's address and keys, from the environment.

    Raises:
        SystemExit: A variable is not set.
    """
    try:
        return {
            "key": os.environ["MINIO_ACCESS_KEY"],
            "secret": os.environ["MINIO_SECRET_KEY"],
            "client_kwargs": {"endpoint_url": os.environ["MINIO_ENDPOINT"]},
        }
    except KeyError as unset:
        sys.exit(f"{unset.args[0]} is not set: name a server to measure with.")


if __name__ == "__main__":
    main()
