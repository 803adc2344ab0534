"""Files and folders as they should not be: nothing hangs, hides a neighbour, or is lost unsaid."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import tempfile
import zlib
from pathlib import Path

import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from lingokids.storage.raw import lines as line_cutting
from lingokids.storage.raw.folders import FolderStore

COUNTS = "SELECT lines, blank, kept, quarantined FROM ingested_objects ORDER BY dataset, object_key"
REASONS = "SELECT line_number, reason, lines_alike FROM quarantined_lines ORDER BY ALL"


def _lines(*records) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _gunzipped(content: bytes) -> bytes:
    """What can be decompressed, given a byte at a time: the slow truth."""
    decompressor, found = zlib.decompressobj(wbits=31), b""
    for position in range(len(content)):
        try:
            found += decompressor.decompress(content[position : position + 1])
        except zlib.error:
            break
    return found


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "raw" / "inner").mkdir(parents=True)
    (tmp_path / "raw" / "inner" / "data").write_bytes(b"x\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "other").write_bytes(b"y\n")
    return tmp_path / "raw"


def _keys(folder: Path) -> list[str]:
    return sorted(found.key for found in FolderStore(str(folder)).find())


def _fetched(path: str):
    store = FolderStore(path)
    yield from store.fetch(store.find())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "a link"),
        (lambda path: path.symlink_to(path), "a link"),
        (lambda path: path.symlink_to(path.parent), "a link"),
        (lambda path: path.symlink_to(path.parents[1] / "outside"), "a link"),
        (lambda path: path.symlink_to(path.parent / "inner" / "data"), "a link"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
    ],
    ids=["pipe", "device", "itself", "parent", "outside", "inside", "nowhere"],
)
def test_only_regular_files_below_the_folder_are_data_and_others_are_named(
    folder, make, why, caplog
):
    make(folder / "odd")

    assert _keys(folder) == ["inner/data"]
    assert [record.message for record in caplog.records] == [
        f"{folder}: passed over as no data: odd ({why})."
    ]


def test_a_file_that_becomes_a_pipe_after_it_was_listed_is_not_waited_for(folder):
    store = FolderStore(str(folder))
    found = list(store.find())
    (folder / "inner" / "data").unlink()
    os.mkfifo(folder / "inner" / "data")

    assert list(store.fetch(found)) == [None]


def test_a_place_that_is_a_link_is_read_and_one_that_is_a_pipe_is_refused(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    os.mkfifo(tmp_path / "pipe")

    assert _keys(tmp_path / "link") == ["inner/data"]
    with pytest.raises(LingokidsError, match="pipe is neither a folder nor a file: create"):
        FolderStore(str(tmp_path / "pipe"))


def test_names_that_are_not_utf8_are_read_under_an_escaped_key(folder):
    for name in (b"caf\xe9", b"\xff/\xfe.jsonl"):
        path = os.fsencode(folder) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(name)
    store = FolderStore(str(folder))
    found = sorted(store.find())

    assert [each.key for each in found] == ["\\xff/\\xfe.jsonl", "caf\\xe9", "inner/data"]
    contents = [blocks and b"".join(blocks) for blocks in store.fetch(found)]
    assert contents == [b"\xff/\xfe.jsonl", b"caf\xe9", b"x\n"]


def test_files_that_would_share_a_key_are_named_and_block_no_other(project, monkeypatch, caplog):
    monkeypatch.setenv("LINGOKIDS_TEST_VERSIONS", "content")
    project.deliver("events", "a", [an_event_record()])
    folder = os.fsencode(project.folder / "raw" / "events")
    for name in (b"\xe9", b"\\xe9"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(_lines(an_event_record()))

    project.run("ingestion")

    assert project.rows("SELECT object_key FROM ingested_objects") == [("a",)]
    assert "not UTF-8: \\xe9. Rename all but one." in caplog.text


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no filesystem in memory")
@pytest.mark.parametrize("seconds", [1 << 40, -(1 << 38)])
def test_a_file_of_an_impossible_time_is_named_and_the_others_are_read(caplog, seconds):
    with tempfile.TemporaryDirectory(dir=Path("/dev/shm")) as folder:  # it holds such times
        for name in ("odd", "plain"):
            Path(folder, name).touch()
        os.utime(Path(folder, "odd"), (seconds, seconds))

        assert _keys(Path(folder)) == ["plain"]

    assert "odd (its time is no date: touch it)" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take on another user")
@pytest.mark.parametrize("denied", ["raw/inner", "raw/inner/data", "raw"])
def test_what_may_not_be_read_ends_in_one_sentence(folder, tmp_path, monkeypatch, denied):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, folder, folder / "inner"):
        path.chmod(0o755)
    (tmp_path / denied).chmod(0)
    os.seteuid(65_534)
    try:
        with pytest.raises(LingokidsError, match=f"{denied}.* cannot be .*Permission denied"):
            list(_fetched("raw"))
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "name",
    ["_SUCCESS", ".a.crc", "_temporary/0/part", "a/.snapshot/part", "_delta_log/0", "a/b/_c/d/e"],
)
def test_what_stands_below_a_dot_or_an_underscore_is_no_data(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x\n")

    assert _keys(folder) == ["inner/data"]


# -- gzip and what is no text


def _damaged(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


@pytest.mark.parametrize("level", [0, 1, 9])
def test_all_that_a_damaged_gzip_holds_before_the_damage_is_kept(level):
    drawn = random.Random(level)
    text = b"".join(b"%d\n" % drawn.getrandbits(64) for _ in range(2_000))
    content = gzip.compress(text, level)
    damages = [content[:-1], _damaged(content, len(content) - 6), content + b"\0" * 600 + b"x"]
    damages += [_damaged(content, drawn.randrange(12, len(content))) for _ in range(20)]
    for damaged in damages:
        found: list[bytes] = []
        with pytest.raises(line_cutting.DamagedGzipError):
            found.extend(line_cutting.gunzip([damaged[:5_000], damaged[5_000:]]))
        assert b"".join(found) == _gunzipped(damaged)


def test_a_gzip_padded_with_zeros_is_whole():
    content = gzip.compress(b"a\n") + b"\0" * 600

    assert b"".join(line_cutting.gunzip([content[:25], content[25:]])) == b"a\n"


@pytest.mark.parametrize("damaged_byte", [-6, -1], ids=["checksum", "length"])
def test_lines_of_a_gzip_with_a_wrong_checksum_are_kept_and_the_damage_counts(
    project, damaged_byte
):
    content = gzip.compress(_lines(an_event_record(1), an_event_record(2)))
    project.deliver("events", "a", _damaged(content, len(content) + damaged_byte))

    project.run("ingestion")

    assert project.rows(COUNTS) == [(3, 0, 2, 1)]
    assert project.rows(REASONS) == [(3, "gzip is damaged here", 1)]


def test_gzip_is_known_by_its_content_whatever_its_name(project):
    content = _lines(an_event_record(1))
    for name in ("a.GZ", "b.jsonl", "c"):
        project.deliver("events", name, gzip.compress(content))
    project.deliver("events", "d.gz", content)
    project.deliver("events", "e.gz", b"")
    project.deliver("events", "f.gz", gzip.compress(b"\xef\xbb\xbf" + content))

    project.run("ingestion")

    assert project.rows(COUNTS) == [(1, 0, 1, 0)] * 4 + [(0, 0, 0, 0), (1, 0, 1, 0)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bzip2", bz2.compress(b"{}\n")),
        ("bzip2", bz2.compress(b"")),
        ("xz", lzma.compress(b"{}\n")),
        ("zip", b"PK\x03\x04\x14\x00" + b"\n" * 9),
        ("Zstandard", b"\x28\xb5\x2f\xfd\x24\x03"),
        ("gzip in a gzip", gzip.compress(gzip.compress(b"{}\n"))),
        ("Parquet", gzip.compress(b"PAR1\x15\x04\x15")),
        ("UTF-16", '{"a": 1}\n{"a": 2}\n'.encode("utf-16")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_named_once_with_the_cure(name, content):
    (piece,) = line_cutting.cut_into_pieces(0, [content[:3], content[3:]], 1 << 20)

    assert piece.lines == 1
    assert piece.problems == {
        0: f"{name} is not read: send lines of JSON in UTF-8, plain or gzipped"
    }


def test_a_line_that_begins_like_a_format_hides_no_other(project):
    project.deliver("events", "a", b"BZhello\n" + _lines(an_event_record()))
    project.deliver("events", "b", b"\xff\xfe\n" + _lines(an_event_record()))

    project.run("ingestion")

    assert project.rows(COUNTS) == [(2, 0, 1, 1)] * 2


# -- versions


@pytest.fixture
def by_content(project, monkeypatch):
    """The project as the sample has it: times mean nothing."""
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "key")
    monkeypatch.setenv("LINGOKIDS_TEST_VERSIONS", "content")
    return project


def _versions(project) -> list[tuple[bool, int]]:
    return project.rows("SELECT is_current, load_id FROM ingested_objects ORDER BY load_id")


def test_a_name_that_does_not_say_when_it_landed_is_named_and_blocks_no_other(
    by_content, monkeypatch, caplog
):
    monkeypatch.setenv("LINGOKIDS_TEST_ARRIVAL", "key")
    by_content.deliver("events", "README.md", b"# Events\n")
    by_content.deliver("events", "2021-02-30/07/a.jsonl", [an_event_record(1)])  # no such day
    with pytest.raises(Exception, match=r"says when it landed: .*README\.md.* Move it, or set"):
        by_content.run("ingestion")

    by_content.deliver("events", "2021-02-01/07/a.jsonl", [an_event_record(1)])
    by_content.run("ingestion")

    assert by_content.rows("SELECT object_key FROM bronze_events") == [("2021-02-01/07/a.jsonl",)]
    assert "Not read: " in caplog.text
    assert "README.md" in caplog.text.rpartition("Not read: ")[2]


def test_a_version_by_content_is_new_when_the_content_is_and_not_when_the_time_is(by_content):
    key, first = "2021-01-05/10/a", an_event_record(1)
    by_content.deliver("events", key, [first], "2021-02-01 00:00:00")
    by_content.run("ingestion")
    by_content.deliver("events", key, [first], "2021-03-01 00:00:00")
    by_content.run("ingestion")
    assert _versions(by_content) == [(True, 1)]

    by_content.deliver("events", key, [an_event_record(2)], "2021-03-01 00:00:00")  # same size
    by_content.run("ingestion")
    assert _versions(by_content) == [(False, 1), (True, 2)]


@pytest.mark.slow
def test_an_object_sent_again_with_lines_in_another_order_counts_as_a_whole(by_content):
    """Both versions landed at once, by their key: line numbers must not mix them."""
    played = {**an_event_record()["data"], "duration": 1.0}
    pairs = [(an_event_record(n), an_event_record(n, data=played)) for n in (1, 2)]
    key = "2021-01-05/10/a"
    by_content.deliver("events", key, [line for pair in pairs for line in pair])
    by_content.run()
    durations = "SELECT duration_seconds::DOUBLE FROM stg_events"
    assert by_content.rows(durations) == [(1.0,), (1.0,)]

    by_content.deliver("events", key, [line for pair in pairs for line in reversed(pair)])
    by_content.run()

    assert by_content.rows(durations) == [(60.5,), (60.5,)]
    sent = by_content.rows(
        "SELECT is_current, count(DISTINCT landed_at) FROM bronze_events GROUP BY 1"
    )
    assert sorted(sent) == [(False, 1), (True, 1)]


# -- many lines of little


@pytest.mark.slow
def test_of_lines_alike_a_thousand_are_kept_and_all_are_counted(project):
    content = b"{}\n" * 500_000 + b"\n" * 300_000 + b"x\n" * 1_001 + _lines(an_event_record())
    project.deliver("events", "a", content + b"{}\n" * 700_000)
    project.deliver("events", "b", b"{}\n" * 2_000)
    project.deliver("users", "a", b"{}\n" * 1_002)

    allowed = {"severities": {"ingested_objects.load_usable": "warn"}}
    project.run("ingestion", checks=allowed)

    assert project.rows(COUNTS) == [
        (1_501_002, 300_000, 1, 1_201_001),
        (2_000, 0, 0, 2_000),
        (1_002, 0, 0, 1_002),
    ]
    kept = "SELECT dataset, object_key, reason, count(*), sum(lines_alike) FROM quarantined_lines"
    (of_a, letters, of_b, of_users) = project.rows(f"{kept} GROUP BY ALL ORDER BY ALL")
    assert of_a[:3] == ("events", "a", "event_id is missing")
    assert of_a[4] == 1_200_000
    assert 1_001 < of_a[3] < 1_020, "a thousand, and one a batch"
    assert letters == ("events", "a", "not JSON", 1_001, 1_001)
    assert of_b[3:] == (1_001, 2_000)
    assert of_users[3:] == (1_001, 1_002)

    project.run("checks", checks=allowed)
    project.run("replay", checks=allowed)
    assert project.rows("SELECT sum(quarantined) FROM ingested_objects") == [(1_204_003,)]
