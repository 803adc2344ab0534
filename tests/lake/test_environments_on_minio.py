"""Staging, dev and prod on a real server, with a user of staging's policy alone."""

from __future__ import annotations

import json

import pytest

from builders import an_event_record
from conftest import ROOT
from set_up_server import admin, objects_as

pytestmark = [pytest.mark.slow, pytest.mark.minio]
USER = {"MINIO_ACCESS_KEY": "staging-pipeline", "MINIO_SECRET_KEY": "stagings-own-secret"}
BUCKETS = ("raw-events", "raw-users", "raw-activities", "bronze", "gold")


@pytest.fixture
def of_staging(minio_project):
    """The project, on a server with buckets of staging and prod, and a user of staging."""
    root, administrator = objects_as(minio_project.server), admin(minio_project.server)
    names = [f"lingokids-{env}-{each}" for env in ("staging", "prod") for each in BUCKETS]
    for name in names:
        if not root.bucket_exists(name):
            root.make_bucket(name)
    policy = (ROOT / "src/lingokids/minio_setup/pipeline-policy.json").read_text()
    policy = policy.replace(":::", ":::lingokids-staging-")
    administrator.policy_add("staging", policy=json.loads(policy))
    administrator.user_add(*USER.values())
    administrator.policy_set("staging", user=USER["MINIO_ACCESS_KEY"])
    yield minio_project
    for name in names:
        for found in root.list_objects(name, recursive=True):
            root.remove_object(name, found.object_name)
        root.remove_bucket(name)
    administrator.user_remove(USER["MINIO_ACCESS_KEY"])


def _run(project, env: str):
    return project.command("run", "--env", env, **USER)


def test_staging_runs_dev_takes_a_sample_of_it_and_prod_is_out_of_reach(of_staging):
    files = of_staging.server.filesystem
    for number in range(1, 101):
        line = json.dumps(an_event_record(number)).encode()
        files.pipe(f"lingokids-staging-raw-events/{number}.jsonl", line)

    staging = _run(of_staging, "staging")
    assert staging.returncode == 0, staging.stderr
    assert "bronze_events +100" in staging.stderr
    assert files.exists("lingokids-staging-gold/publication.json")

    before = files.find("lingokids-staging-bronze")
    dev = _run(of_staging, "dev")
    assert dev.returncode == 0, dev.stderr
    assert 0 < _taken_in(dev.stderr) < 20
    assert files.find("lingokids-staging-bronze") == before
    assert (of_staging.folder / "dev" / "03_gold" / "publication.json").exists()

    prod = _run(of_staging, "prod")
    assert prod.returncode == 1
    assert "s3://lingokids-prod-bronze/erasures.json may not be read with these" in prod.stderr
    assert "Traceback" not in prod.stderr
    assert files.find("lingokids-prod-bronze") == []


def _taken_in(log: str) -> int:
    return int(log.partition("bronze_events +")[2].partition(",")[0])
