"""Every command of the README and the pages it leads to runs, and prints what is shown.

When the output has changed for a reason, let it be shown anew, and read the difference:

    WRITE_README=1 uv run pytest -m slow tests/house/test_readme.py
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conftest import ROOT
from minio_server import binary, free_address, wait_until_ready

CLOCK = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", re.MULTILINE)
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PAGES = (
    "README.md",
    "src/lingokids/query/README.md",
    "src/lingokids/storage/lake/README.md",
    "src/lingokids/README.md",
    "src/lingokids/operations/README.md",
)
#: The sample is of 2021.
EXIT_CODES = {"uv run kedro status": 2}
DRIVEN_ELSEWHERE = {
    "uv run pytest": ".ci/run",
    "uv run ruff check .": ".ci/run",
    "uv run ruff format --check .": ".ci/run",
    "uv run mypy": ".ci/run",
    'uv run pytest -m "slow or minio or browser"': ".ci/run",
}
NEEDS_DOCKER = {"docker compose up -d --wait"}
WITH_MINIO = re.compile(r"^## With MinIO\n.*?(?=^## )", re.DOTALL | re.MULTILINE)


def _run(command: str, checkout: Path) -> str:
    done = subprocess.run(
        command,
        shell=True,
        cwd=checkout,
        env=os.environ
        | {"UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"), "UV_NO_SYNC": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # as a terminal shows it
        text=True,
        check=False,
    )
    expected = EXIT_CODES.get(command.partition("  ")[0], 0)
    assert done.returncode == expected, f"{command}\n{done.stdout}"
    return done.stdout


def _assert_in_order(shown: str, printed: str) -> None:
    """What is shown is printed in that order, with other lines where it says …."""
    lines = iter(_without_times(printed))
    for line in _without_times(shown):
        assert line == "…" or line in lines, f"{line}\n\n{printed}"


def _without_times(text: str) -> list[str]:
    text = CLOCK.sub("", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d.]+Z\.html", "….html", text)
    return re.sub(r" +\d+\.\d\d s ", " … s ", text).splitlines()


def _with_times_of(shown: str, printed: str) -> str:
    """What is printed now; lines that are shown already keep their times."""
    known = dict(zip(_without_times(shown), shown.splitlines(), strict=True))
    clock = (CLOCK.search(shown) or [""])[0]
    lines = [
        known.get(bare, CLOCK.sub(clock, line))
        for bare, line in zip(_without_times(printed), printed.splitlines(), strict=True)
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_every_command_of_the_documents_runs_and_prints_what_is_shown(checkout):
    compared = sum(_follow(ROOT / page, checkout) for page in PAGES)

    assert compared == 10


def _follow(page: Path, checkout: Path) -> int:
    """Do what a page says, in order; returns how many outputs were compared."""
    text_of_page = page.read_text()
    printed, compared = "", 0
    for language, text in BLOCK.findall(WITH_MINIO.sub("", text_of_page)):
        if language == "bash":
            commands = [line for line in text.splitlines() if line not in DRIVEN_ELSEWHERE]
            outputs = [_run(command, checkout) for command in commands]
            # of a list of everyday commands the last one's output is shown
            printed = "".join(outputs if len(outputs) <= 2 else outputs[-1:])
        elif language == "text":
            if "…\n" in text:
                _assert_in_order(text, printed)
            elif "WRITE_README" in os.environ:
                text_of_page = text_of_page.replace(text, _with_times_of(text, printed.strip()))
                page.write_text(text_of_page)
            else:
                assert _without_times(printed.strip()) == _without_times(text.strip())
            compared += 1
        elif language == "sql":
            for statement in text.strip().split(";\n"):
                _run(_as_query(statement), checkout)
    return compared


@pytest.mark.slow
def test_a_gold_table_of_ones_own_is_made_as_the_readme_shows(checkout):
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## A gold table of your own") :]
    contract, function, node = (
        text for language, text in BLOCK.findall(section) if language == "python"
    )
    entry = next(text for language, text in BLOCK.findall(section) if language == "yaml")
    package = checkout / "src/lingokids"
    _append(package / "schema/gold.py", contract)
    _append(package / "pipelines/marts/nodes.py", function)
    _append(checkout / "conf/base/catalog.yml", entry)
    pipeline = package / "pipelines/marts/pipeline.py"
    pipeline.write_text(
        pipeline.read_text()
        .replace("import (\n", "import (\n    count_by_country,\n", 1)
        .replace("        [\n", f"        [\n{node.rstrip()},\n", 1)
    )

    first = _run("uv run kedro run", checkout)
    _run("uv run kedro sample next-day", checkout)
    second = _run("uv run kedro run", checkout)

    assert "country_activity_daily +" in first
    assert re.search(r"count_by_country .* country_activity_daily \+\d{1,3}\b", second), second
    sums = "SELECT sum(activities_played) FROM {} WHERE country_code IS NOT NULL"
    for database in "lingokids", "lingokids-gold":
        table = f"read('data/{database}.duckdb', '{sums.format('country_activity_daily')}')"
        events = sums.format("intermediate_activity_events_enriched").replace(
            "sum(activities_played)", "count(*)"
        )
        whole = f"read('data/lingokids.duckdb', '{events}')"
        _run_python(f"{_READ}\nassert {table} == {whole} > 0", checkout)


_READ = """
import duckdb
def read(database, query):
    return duckdb.connect(database, read_only=True).sql(query).fetchone()[0]
"""


def _append(file: Path, text: str) -> None:
    file.write_text(f"{file.read_text()}\n\n{text}")


@pytest.mark.minio
def test_every_command_with_minio_runs_and_prints_what_is_shown(checkout, monkeypatch):
    for name in [name for name in os.environ if name.startswith("MINIO_")]:
        monkeypatch.delenv(name)  # they come from .env, as they do for a reader
    folder_of_minio = Path(binary() or pytest.skip("no MinIO")).parent
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{folder_of_minio}")
    address = free_address()
    example = checkout / ".env.example"
    example.write_text(example.read_text().replace("127.0.0.1:9000", address))
    section = WITH_MINIO.search((ROOT / "README.md").read_text())[0]
    printed, after_docker, run = "", [], []
    with ExitStack() as servers:
        for language, text in BLOCK.findall(section.replace("127.0.0.1:9000", address)):
            if language == "text":
                _assert_in_order(text, printed)
                continue
            commands = text.splitlines()
            for number, command in enumerate(commands):
                if command in NEEDS_DOCKER:
                    after_docker += commands[number + 1 :]
                    break
                if "minio server" in command:
                    servers.enter_context(_serving(command, checkout, address))
                else:
                    printed = _run(command, checkout)
                    run.append(command)

    assert after_docker
    assert set(after_docker) <= set(run), "run without Docker, further down"
    assert "+7,447" in printed


@contextmanager
def _serving(command: str, checkout: Path, address: str) -> Iterator[None]:
    """A command that goes on until it is stopped."""
    with (checkout / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, shell=True, cwd=checkout, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until_ready(address, process)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


def _run_python(text: str, checkout: Path) -> str:
    (checkout / "of_the_readme.py").write_text(text)
    return _run("uv run python of_the_readme.py", checkout)


def _as_query(sql: str) -> str:
    statement = f"import duckdb; duckdb.connect('data/lingokids.duckdb').sql('''{sql.strip()} ''')"
    return f'uv run python -c "{statement}"'


def test_commands_not_run_here_are_run_where_it_says():
    for command, place in DRIVEN_ELSEWHERE.items():
        in_place = (ROOT / place).read_text().replace("pytest -q", "pytest")
        assert command.removeprefix("uv run ") in in_place, command
