"""The image and the workflow: what linters and the steps themselves say, without an engine."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from minio_server import go_program

DEPLOY = ROOT / "src" / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
BIN = Path(sys.executable).parent
CANARY = "canary-of-a-secret"


def _steps(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and what each says, in one line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
    return [(name, said) for name, _, said in (line.partition(" ") for line in joined.splitlines())]


STEPS = _steps(DOCKERFILE.read_text())


def _lint(program: str | None, *arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    if program is None:
        pytest.skip("uv sync --group deploy; actionlint is installed by .ci/run")
    return subprocess.run(
        [program, *arguments, "-"], input=text, capture_output=True, text=True, check=False
    )


def _lint_image(text: str) -> subprocess.CompletedProcess[str]:
    return _lint(shutil.which("hadolint", path=str(BIN)), "--no-color", text=text)


def _lint_workflow(text: str) -> subprocess.CompletedProcess[str]:
    shellcheck = shutil.which("shellcheck", path=str(BIN))
    actionlint = go_program("actionlint") if shellcheck else None  # alone it passes steps over
    return _lint(actionlint, "-no-color", "-shellcheck", str(shellcheck), text=text)


def test_a_linter_of_images_finds_nothing():
    linted = _lint_image(DOCKERFILE.read_text())
    assert (linted.returncode, linted.stdout) == (0, "")


def test_a_base_without_a_tag_would_be_found():
    wrong = DOCKERFILE.read_text().replace("python:3.13-slim-trixie", "python")
    assert "DL3006" in _lint_image(wrong).stdout


def test_a_linter_of_workflows_finds_nothing():
    linted = _lint_workflow(WORKFLOW.read_text())
    assert (linted.returncode, linted.stdout) == (0, "")


def test_a_step_that_cannot_fail_and_a_wrong_key_would_be_found():
    text = WORKFLOW.read_text()
    cannot_fail = text.replace("if grep", "! grep").replace("; then exit 1; fi", "; true")
    assert "SC2251" in _lint_workflow(cannot_fail).stdout
    assert "runs_on" in _lint_workflow(text.replace("runs-on", "runs_on", 1)).stdout


def test_the_workflow_runs_what_is_run_here_and_may_only_read():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    jobs = workflow["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]

    assert jobs.keys() == {"check", "audit", "wheel", "image"}
    assert "bash .ci/run" in [step.get("run") for step in steps]
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job and "permissions" not in job for job in jobs.values())
    assert {step["uses"].partition("/")[0] for step in steps if "uses" in step} == {"actions"}
    assert "secrets." not in WORKFLOW.read_text()


def test_the_image_is_of_no_root_and_is_told_no_secret():
    last = max(number for number, (name, _) in enumerate(STEPS) if name == "FROM")
    user = next(said for name, said in STEPS[last:] if name == "USER")
    told = " ".join(said for name, said in STEPS if name in {"ARG", "ENV"})

    assert user == "10001:10001"
    assert not re.search("KEY|SECRET|TOKEN|PASSWORD", told, re.IGNORECASE)
    assert [name for name, _ in STEPS[last:]].count("HEALTHCHECK") == 1


def test_the_version_of_uv_is_one():
    (of_image,) = re.findall(r"astral-sh/uv:([\d.]+)-", DOCKERFILE.read_text())
    assert yaml.safe_load(WORKFLOW.read_text())["env"]["UV_VERSION"] == of_image


def test_pods_run_the_image_as_its_user_in_production():
    for name in ("cronjob", "watch"):
        text = (DEPLOY / "kubernetes" / f"{name}.yaml").read_text()
        assert "runAsUser: 10001" in text
        assert "{name: KEDRO_ENV, value: prod}" in text


def test_the_page_about_production_has_the_figures_that_were_measured():
    page = (ROOT / "src/lingokids/operations/PRODUCTION.md").read_text()
    measured = (ROOT / "tests/benchmark/README.md").read_text()
    rows = re.findall(r"^\| (1 M|10 M|100 M) \|(.*)\|$", page, re.MULTILINE)

    assert len(rows) == 3
    for events, row in rows:
        _, first, peak, _, *later = (cell.strip() for cell in row.split("|"))
        table = measured[measured.index(f"| {events} events in ") :].partition("\n\n")[0]
        for figure in (first, peak, *later):
            assert f"| {figure.removesuffix('.0')}" in table, (events, figure)


# --- the steps, with folders for images -----------------------------------------------------------


def _context(checkout: Path, folder: Path) -> None:
    """Copy what the list of the ignored lets into the build: of its lines, the last counts."""
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for path in (each for each in checkout.rglob("*") if each.is_file()):
        name, is_in = path.relative_to(checkout).as_posix(), True
        for rule in (line for line in rules if line and not line.startswith("#")):
            pattern = rule.removeprefix("!").replace("**/", "*")
            if any(fnmatch.fnmatch(name, each) for each in (pattern, f"{pattern}/*")):
                is_in = rule.startswith("!")
        if is_in:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


def _copy(words: list[str], context: Path, stages: dict[str, Path], root: Path) -> None:
    """COPY: files into a folder, or a folder's content."""
    stage = next((word.partition("=")[2] for word in words if word.startswith("--from=")), None)
    *sources, target = (word for word in words if not word.startswith("--"))
    into = root / "app" / target if not target.startswith("/") else root / target[1:]
    for source in sources:
        path = stages[stage] / source[1:] if stage else context / source
        if path.is_dir():
            shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)


def _build(context: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """Do what the Dockerfile says, with folders for images; gives the last, and its variables."""
    stages: dict[str, Path] = {}
    variables: dict[str, str] = {}
    for name, said in STEPS:
        if name == "FROM":
            root = folder / str(len(stages))
            (root / "app").mkdir(parents=True)
            for made in (root, root / "app"):
                made.chmod(0o755)
            stages[said.partition(" AS ")[2]] = root
            variables = {}
        here = said.replace("/app", f"{root}/app")
        words = shlex.split(here)
        if name == "ENV":
            variables |= dict(word.split("=", 1) for word in words)
        elif name == "COPY":
            _copy(shlex.split(said), context, stages, root)
        elif name == "RUN" and "useradd" in said:  # no engine: of the machine's own users none
            install = here.partition("install ")[2]
            subprocess.run(["install", *shlex.split(install)], check=True)
        elif name == "RUN":
            command = re.sub(r"--mount=\S+ ", "", here)
            # the packages are those that the tests are run with, and compiled already
            own = {"UV_LINK_MODE": "hardlink", "UV_PYTHON": sys.executable}
            told = os.environ | variables | own
            told.pop("VIRTUAL_ENV", None)
            command = command.replace(" --compile-bytecode", "")
            subprocess.run(["sh", "-ec", command], cwd=root / "app", env=told, check=True)
    return root, variables


@pytest.fixture
def open_folder():
    """A folder that every user reaches: access(2), by which DuckDB finds its log, has no powers."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
def test_the_steps_make_a_project_that_runs_read_only_as_its_own_user(checkout, open_folder):
    """The sample is taken in, health is that of the last run, and no secret was copied."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root becomes another user")
    for name in (".env", "conf/local/credentials.yml", "data/lingokids.duckdb", "notes.txt"):
        (checkout / name).write_text(CANARY)
    folder = open_folder
    _context(checkout, folder / "context")
    assert not _having_canary(folder / "context")

    root, variables = _build(folder / "context", folder)
    app = root / "app"
    # a volume and the temporary folder; the image's own Python is one that everyone may read
    shutil.copytree(ROOT / "data" / "01_raw", app / "data" / "01_raw")
    (root / "tmp").mkdir()
    os.chown(root / "tmp", 10001, 10001)
    of_virtual_env = variables.pop("PATH").partition(":")[0]
    told = {"PATH": f"{of_virtual_env}:{os.environ['PATH']}", "TMPDIR": f"{root}/tmp"}
    told |= variables | {"HOME": f"{root}/tmp"}

    def as_user(*command: str) -> subprocess.CompletedProcess[str]:
        user = ["--reuid=10001", "--regid=10001", "--clear-groups"]
        reads = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        return subprocess.run(
            ["setpriv", *user, *reads, *command],
            cwd=app,
            env=told,
            capture_output=True,
            text=True,
            check=False,
        )

    before = {path for path in app.rglob("*") if "data" not in path.relative_to(app).parts[:1]}
    assert as_user("touch", "conf/new").returncode != 0, "nothing else may be written"
    command = next(yaml.safe_load(said) for name, said in STEPS if name == "CMD")
    done = as_user(*command)
    assert done.returncode == 0, done.stderr
    assert "Committed: " in done.stderr
    assert "usage data" not in done.stderr
    health = next(said for name, said in STEPS if name == "HEALTHCHECK").partition("CMD ")[2]
    assert as_user(*yaml.safe_load(health)).returncode == 0
    after = {path for path in app.rglob("*") if "data" not in path.relative_to(app).parts[:1]}
    assert {path.relative_to(app).parts[0] for path in after - before} == {".viz"}

    broken = app / "data/01_raw/events/2021-02-03/00/broken.jsonl"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"{\n" * 200)
    assert as_user("kedro", "run").returncode == 1
    assert as_user(*yaml.safe_load(health)).returncode == 1


def _having_canary(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if CANARY.encode() in path.read_bytes()]
