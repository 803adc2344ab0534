"""What starts the project elsewhere is valid, alike and tight: systemd, cron, Kubernetes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import an_event_record
from conftest import ROOT
from lingokids.cli import cli

DEPLOY = ROOT / "src" / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
CRON_LINES = (DEPLOY / "crontab").read_text().splitlines()[-3:]
MANIFESTS = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").iterdir())
    for manifest in yaml.safe_load_all(path.read_text())
]


def _pods() -> list[dict[str, Any]]:
    by_kind = {manifest["kind"]: manifest["spec"] for manifest in MANIFESTS}
    job = by_kind["CronJob"]["jobTemplate"]["spec"]
    return [each["template"]["spec"] for each in (job, by_kind["Deployment"])]


@pytest.fixture
def kubernetes() -> Callable[[dict[str, Any]], object]:
    """Checks a manifest by the schema of Kubernetes."""
    schemas = pytest.importorskip("kubernetes_validate", reason="uv sync --group deploy")
    return lambda manifest: schemas.validate(manifest, "1.34", strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_manifests_are_of_the_schema_of_kubernetes(manifest, kubernetes):
    kubernetes(manifest)


def test_a_wrong_manifest_would_be_found(kubernetes):
    wrong = yaml.safe_load((DEPLOY / "kubernetes" / "cronjob.yaml").read_text())
    wrong["spec"]["concurrencyPolcy"] = wrong["spec"].pop("concurrencyPolicy")
    with pytest.raises(Exception, match="concurrencyPolcy"):
        kubernetes(wrong)


def test_pods_never_overlap_and_may_do_no_more_than_they_need():
    by_kind = {manifest["kind"]: manifest["spec"] for manifest in MANIFESTS}
    assert by_kind["CronJob"]["concurrencyPolicy"] == "Forbid"
    assert by_kind["Deployment"]["strategy"] == {"type": "Recreate"}
    assert by_kind["Deployment"]["replicas"] == 1
    assert by_kind["PersistentVolumeClaim"]["accessModes"] == ["ReadWriteOncePod"]
    for pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        plain = {each["name"] for each in container["env"] if "value" in each}
        assert plain == {"KEDRO_ENV", "HOME", "PYTHONDONTWRITEBYTECODE"}, "others are of a Secret"


def test_the_two_pods_are_alike_but_for_what_they_start():
    job, watch = _pods()
    job_container, watch_container = job["containers"][0], watch["containers"][0]
    assert job["volumes"] == watch["volumes"]
    assert job["securityContext"] == watch["securityContext"]
    for name in ("image", "workingDir", "volumeMounts", "securityContext"):
        assert job_container[name] == watch_container[name]
    more = [each for each in watch_container["env"] if each not in job_container["env"]]
    assert [each["name"] for each in more] == ["LINGOKIDS_TOKEN"]


def test_units_are_what_systemd_takes(tmp_path):
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("no systemd-analyze")
    for unit in UNITS:
        here = unit.read_text().replace(
            "/opt/lingokids/.venv/bin", str(Path(sys.executable).parent)
        )
        (tmp_path / unit.name).write_text(here)

    verified = subprocess.run(
        [analyze, "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert "Persistent=true" in (DEPLOY / "systemd" / "lingokids.timer").read_text()


def _commands() -> list[list[str]]:
    """What is started, without the program."""
    started = [pod["containers"][0]["command"][1:] for pod in _pods()]
    for unit in UNITS:
        started += [
            shlex.split(each) for each in re.findall(r"ExecStart=\S+(.*)", unit.read_text())
        ]
    started += [shlex.split(re.search(r"bin/kedro (.*?) >>", each)[1]) for each in CRON_LINES]
    return started


def test_every_command_that_is_started_is_one():
    assert len(_commands()) == 8
    for name, *options in _commands():
        command = cli.commands[name]
        command.make_context(name, options)  # raises what it does not know


@pytest.mark.slow
def test_the_line_of_cron_runs_unless_a_run_is_under_way(begun_project, tmp_path):
    project = begun_project
    credentials = tmp_path / "credentials"
    credentials.write_text("LINGOKIDS_TEST_ARRIVAL=modified\n")
    (project.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (project.folder / "data").mkdir()
    line, of_backup, of_upkeep = (
        each.split(maxsplit=6)[6]
        .replace("/opt/lingokids", str(project.folder))
        .replace("/etc/lingokids/credentials", str(credentials))
        for each in CRON_LINES
    )
    project.deliver("events", "b", [an_event_record(2)])

    locked = f"flock {project.folder}/data/.cron.lock sh -c {shlex.quote(line)}"
    beside = subprocess.run(["sh", "-c", locked], env=project.environment, check=False)
    assert beside.returncode == 1
    assert project.rows("SELECT count(*) FROM runs") == [(1,)]
    alone = subprocess.run(["sh", "-c", line], env=project.environment, check=False)

    assert alone.returncode == 0
    assert project.rows("SELECT count(*) FROM runs") == [(2,)]
    for each in of_backup, of_upkeep:
        done = subprocess.run(["sh", "-c", each], env=project.environment, check=False)
        assert done.returncode == 0
    log = (project.folder / "data" / "cron.log").read_text()
    assert (
        log.index("Committed: ") < log.index("Backed up to ") < log.index(" needs no maintenance")
    )


@pytest.mark.slow
def test_a_run_writes_below_the_folders_alone_that_a_pod_mounts(checkout):
    """Of the sample, with all else read-only."""
    is_there = shutil.which("unshare") is not None
    if not is_there or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no right to mount")
    folders = [each["mountPath"] for each in _pods()[0]["containers"][0]["volumeMounts"]]
    script = ["set -e"]
    for folder in folders:
        path = checkout / folder.removeprefix("/app").lstrip("/")
        path.mkdir(exist_ok=True)
        script.append(f"mount --bind {path} {path}")
    script += [f"cd {checkout}", "mount -o remount,ro,bind /", "! touch conf/new 2>&-"]
    script.append(f"{sys.executable} -B -m kedro run")

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "\n".join(script)],
        env=os.environ | {"HOME": str(checkout / "tmp"), "TMPDIR": str(checkout / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Committed: " in done.stderr
    assert "Read-only" not in done.stderr
    assert (checkout / ".viz" / "base" / "stats.json").exists()
