"""What is measured is the data that was asked for."""

from __future__ import annotations

import gzip

import pytest

from deliveries import make_data, plan_of, unzipped_bytes


def test_the_bytes_of_gzipped_objects_are_those_of_their_lines(tmp_path):
    make_data(tmp_path, plan_of(events=2_000, objects=60, gzip_share=1.0))

    objects = list((tmp_path / "raw" / "events").rglob("*.gz"))

    assert len(objects) > 50
    for file in objects:
        assert unzipped_bytes(file) == len(gzip.decompress(file.read_bytes()))


def test_data_of_another_plan_is_refused(tmp_path):
    make_data(tmp_path, plan_of(events=200, objects=30))
    make_data(tmp_path, plan_of(events=200, objects=30))

    with pytest.raises(SystemExit, match=r"has the data of another plan: give another --folder"):
        make_data(tmp_path, plan_of(events=200, objects=30, gzip_share=1.0))
