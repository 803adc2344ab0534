"""The main job from buckets: as from a folder."""

from __future__ import annotations

import pytest

from builders import an_event_record

pytestmark = pytest.mark.minio


def test_the_main_job_runs_from_buckets(minio_project):
    minio_project.deliver("events", "2021-02-01/00/a.json", [an_event_record()])

    run = minio_project.command("run")

    assert run.returncode == 0, run.stderr
    assert len(minio_project.table("stg_events")) == 1
    assert "Nothing new" in minio_project.command("run").stdout
