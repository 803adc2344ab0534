"""Measures reading many small objects of a bucket: ``uv run python tests/benchmark/objects.py``.

Here: the objects, reading them with the project's client and with s3fs, and a whole ingestion.
Elsewhere: both sides of the main job (``__main__``), the client (``storage.s3``).

The server is the one that MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY name; its
credentials must allow making buckets. What is measured runs in a process of its own, start-up
apart where an object's cost is told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import ROOT, Cost, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    import s3fs

    from lingokids.storage.raw.stores import StoredObject

BUCKET = "benchmark-objects"
EMPTY_BUCKET = "benchmark-nothing"
_AT_A_TIME = 800  # some 16 MiB of 20 kB objects, as the project asked s3fs for them


def main() -> None:
    """Make the objects, read them, print what it cost."""
    arguments = _arguments()
    if arguments.read_with:
        print(json.dumps(_READERS[arguments.read_with]()))
        return
    filesystem = _s3fs()
    for bucket in (BUCKET, EMPTY_BUCKET):
        if not filesystem.exists(bucket):
            filesystem.mkdir(bucket)
    _upload(arguments.objects, arguments.bytes)
    print(f"{arguments.objects:,} objects of {arguments.bytes:,} bytes, {os.cpu_count()} cores")
    print(
        f"{'':10}{'listed in s':>12}{'CPU s':>7}{'objects/s':>11}{'CPU ms each':>13}{'peak MB':>9}"
    )
    for reader in _READERS if arguments.against_s3fs else ["obstore"]:
        for _ in range(arguments.times):
            _report(reader, arguments.objects)
    if arguments.ingestion:
        cost, again = _ingestion()
        print(f"kedro run --pipeline ingestion: {cost.wall:.0f} s, {cost.cpu:.1f} CPU s, ", end="")
        print(f"peak {cost.memory * 1e3:.0f} MB; with nothing new: {again.wall:.0f} s, ", end="")
        print(f"{again.cpu:.1f} CPU s, peak {again.memory * 1e3:.0f} MB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmark/objects.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=20_000, help="of each object")
    parser.add_argument("--times", type=int, default=3, help="each reader reads")
    parser.add_argument("--against-s3fs", action="store_true", help="measure s3fs as well")
    parser.add_argument("--ingestion", action="store_true", help="measure a whole ingestion")
    parser.add_argument("--read-with", choices=_READERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _upload(objects: int, size: int) -> None:
    """Put the objects into the bucket, unless as many are there already."""
    import obstore

    from lingokids.storage.s3 import Client

    filesystem = _s3fs()
    if (found := len(filesystem.find(BUCKET))) == objects:
        return
    if found:
        filesystem.rm(BUCKET, recursive=True)
        filesystem.mkdir(BUCKET)
    client = Client(f"s3://{BUCKET}", _credentials(), {}).store

    def put(number: int) -> None:
        key = (
            f"2021-{number % 12 + 1:02d}-{number % 28 + 1:02d}/{number % 24:02d}/{number:07d}.jsonl"
        )
        obstore.put(client, key, _lines(number, size), use_multipart=False)

    with ThreadPoolExecutor(16) as pool:
        for start in range(0, objects, 10_000):
            list(pool.map(put, range(start, min(start + 10_000, objects))))


def _lines(number: int, size: int) -> bytes:
    """Events of about ``size`` bytes."""
    lines: list[bytes] = []
    held = 0
    while held < size:
        event = {
            "event_id": str(uuid.UUID(int=(number << 32) + len(lines))),
            "name": "activity_exit",
            "occurred_at": "2021-01-05 10:00:00.000",
            "user_id": str(uuid.UUID(int=number)),
            "data": {"activity_id": f"fish-{number % 100}", "duration": 60.5, "completed": True},
            "context": {"os": {"name": "iOS", "version": "14.2"}, "app": {"version": "7.39.0"}},
        }
        lines.append(json.dumps(event).encode() + b"\n")
        held += len(lines[-1])
    return b"".join(lines)


def _report(reader: str, objects: int) -> None:
    command = [sys.executable, __file__, "--read-with", reader]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    assert found["objects"] == objects, f"{found['objects']} objects were read"
    print(
        f"{reader:10}{found['list_wall']:12.2f}{found['list_cpu']:7.2f}"
        f"{objects / found['read_wall']:11,.0f}{found['read_cpu'] / objects * 1e3:13.3f}"
        f"{found['peak_kb'] / 1e3:9.0f}",
        flush=True,
    )


def _read_with_obstore() -> dict[str, float]:
    from lingokids.storage.raw.stores import open_store

    store = open_store(f"s3://{BUCKET}", _credentials())

    def read(found: list[StoredObject]) -> Iterator[int]:
        for blocks in store.fetch(found):
            yield sum(map(len, blocks or ()))

    return _measured(lambda: sorted(store.find()), read)


def _read_with_s3fs() -> dict[str, float]:
    filesystem = _s3fs()

    def read(found: list[str]) -> Iterator[int]:
        for start in range(0, len(found), _AT_A_TIME):
            some = found[start : start + _AT_A_TIME]
            yield from map(len, filesystem.cat_ranges(some, None, None, on_error="return"))

    return _measured(lambda: sorted(filesystem.find(BUCKET, detail=True)), read)


_READERS: dict[str, Callable[[], dict[str, float]]] = {
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


def _peak_kb() -> int:
    """The peak of this program; what the kernel counts for a process begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def _clock() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def _ingestion() -> tuple[Cost, Cost]:
    """Take the objects in as a user would, and once more with nothing new."""
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder, "conf")
        shutil.copytree(ROOT / "conf", conf, ignore=shutil.ignore_patterns("local"))
        (conf / "local").mkdir()
        places = conf / "minio" / "globals.yml"
        text = places.read_text().replace("s3://raw-events", f"s3://{BUCKET}")
        text = text.replace("s3://raw-users", f"s3://{EMPTY_BUCKET}")
        text = text.replace("s3://raw-activities", f"s3://{EMPTY_BUCKET}")
        places.write_text(text.replace("${project:data/", f"${{project:{folder}/"))
        command = [sys.executable, "-m", "kedro", "run", "--env", "minio"]
        command += ["--pipeline", "ingestion", "--conf-source", str(conf)]
        return measure(command, cwd=ROOT), measure(command, cwd=ROOT)


def _credentials() -> dict[str, Any]:
    try:
        return {
            "key": os.environ["MINIO_ACCESS_KEY"],
            "secret": os.environ["MINIO_SECRET_KEY"],
            "client_kwargs": {"endpoint_url": os.environ["MINIO_ENDPOINT"]},
        }
    except KeyError as unset:
        sys.exit(f"{unset.args[0]} is not set: name a server to measure with.")


def _s3fs() -> s3fs.S3FileSystem:
    import s3fs

    return s3fs.S3FileSystem(**_credentials(), use_listings_cache=False)


if __name__ == "__main__":
    main()
