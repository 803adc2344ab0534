"""Measure many small objects of a bucket: ``uv run python tests/benchmark/objects.py``.

The server is the one that MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY name; its
credentials must allow making buckets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from object_readers import BUCKET, READERS, credentials, s3fs_filesystem
from processes import BENCHMARK, ROOT, Cost, measure

EMPTY_BUCKET = "benchmark-nothing"


def main() -> None:
    """Make the objects, read them, print what it cost."""
    arguments = _arguments()
    _make_buckets()
    _upload(arguments.objects, arguments.bytes)
    print(f"{arguments.objects:,} objects of {arguments.bytes:,} bytes, {os.cpu_count()} cores")
    print(
        f"{'':10}{'listed in s':>12}{'CPU s':>7}{'objects/s':>11}{'CPU ms each':>13}{'peak MB':>9}"
    )
    for reader in READERS if arguments.against_s3fs else ["obstore"]:
        for _ in range(arguments.times):
            _report_reading(reader, arguments.objects)
    if arguments.ingestion:
        _report_ingestion()


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
    return parser.parse_args()


def _make_buckets() -> None:
    filesystem = s3fs_filesystem()
    for bucket in (BUCKET, EMPTY_BUCKET):
        if not filesystem.exists(bucket):
            filesystem.mkdir(bucket)


def _upload(objects: int, size: int) -> None:
    """Put the objects into the bucket, unless as many are there already."""
    import obstore

    from lingokids.storage.s3 import Client

    filesystem = s3fs_filesystem()
    if (found := len(filesystem.find(BUCKET))) == objects:
        return
    if found:
        filesystem.rm(BUCKET, recursive=True)
        filesystem.mkdir(BUCKET)
    client = Client(f"s3://{BUCKET}", credentials(), {}).store

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


def _report_reading(reader: str, objects: int) -> None:
    command = [sys.executable, str(BENCHMARK / "object_readers.py"), reader]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    assert found["objects"] == objects, f"{found['objects']} objects were read"
    print(
        f"{reader:10}{found['list_wall']:12.2f}{found['list_cpu']:7.2f}"
        f"{objects / found['read_wall']:11,.0f}{found['read_cpu'] / objects * 1e3:13.3f}"
        f"{found['peak_kb'] / 1e3:9.0f}",
        flush=True,
    )


def _report_ingestion() -> None:
    cost, again = _ingestion()
    print(
        f"kedro run --pipeline ingestion: {cost.wall:.0f} s, {cost.cpu:.1f} CPU s, "
        f"peak {cost.memory * 1e3:.0f} MB; with nothing new: {again.wall:.0f} s, "
        f"{again.cpu:.1f} CPU s, peak {again.memory * 1e3:.0f} MB"
    )


def _ingestion() -> tuple[Cost, Cost]:
    """Ingest the objects as a user would, and once more with nothing new."""
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


if __name__ == "__main__":
    main()
