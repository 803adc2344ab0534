"""What others read: the programs that are printed, entries of a catalog, statements."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
import sqlglot
import yaml
from kedro.io import DataCatalog

from conftest import ROOT
from lingokids.storage.lake.readers import READERS, lines
from operators import ask
from published import GOLD, deliver_a_day, publish_a_day, versions

README = (ROOT / "src/lingokids/storage/lake/README.md").read_text()


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _program(project, reader: str) -> str:
    printed = ask(project, "lake", "--for", reader, "--table", GOLD[0])
    assert printed.exit_code == 0, printed.stderr
    return printed.stdout


def _read(project, program: str) -> list[str]:
    """How many rows the program has found, and the plays in them."""
    # threads of the libraries abort one reader of a bucket in fifteen as it exits, with all read
    shown = (
        "print(len(rows)); print(sum(rows['activities_played'].to_numpy()), flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{shown}"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"spark"}))
def test_what_is_printed_reads_the_publication_not_what_came_after(published, reader):
    from deltalake import DeltaTable

    DeltaTable(str(published.folder / "03_gold" / GOLD[0])).delete()

    assert _read(published, _program(published, reader)) == ["1", "1"]


@pytest.mark.slow
@pytest.mark.minio
def test_what_is_printed_reads_a_bucket(minio_project):
    deliver_a_day(minio_project, 5, landed_at="now")
    minio_project.run()

    for reader in sorted(READERS.keys() - {"spark"}):
        assert _read(minio_project, _program(minio_project, reader)) == ["1", "1"], reader


def test_the_name_of_a_folder_is_no_program(tmp_path):
    lake = tmp_path / 'a"; raise SystemExit("ü") #'
    lake.mkdir()
    pointer = {"tables": {"x": {"version": 3}}}
    (lake / "publication.json").write_text(json.dumps(pointer))

    program, _, _ = lines("pandas", str(lake), "x").partition("rows = ")

    found: dict[str, object] = {}
    exec(program, found)
    assert (found["lake"], found["version"]) == (str(lake), 3)


@pytest.mark.slow
@pytest.mark.minio
def test_spark_reads_the_publication_of_a_folder_and_of_a_bucket(minio_project, tmp_path):
    """In one test: of two at a time, each would fetch the jars into one cache."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    deliver_a_day(minio_project, 5, landed_at="now")
    minio_project.run()
    minio_project.server.filesystem.get("gold/", f"{tmp_path}/copy/", recursive=True)
    minio_project.run(os_names={"iOS": "Apple"})
    in_bucket = minio_project.command("lake", "--for", "spark", "--env", "minio").stdout

    for program in lines("spark", f"{tmp_path}/copy", GOLD[0]), in_bucket:
        shown = "print(*[(row.os_name, row.activities_played) for row in rows.collect()])"
        spark = ["uv", "run", "--no-sync", "--quiet", "--with", "pyspark==4.0.0", "python", "-c"]
        done = subprocess.run(
            [*spark, f"{program}\n{shown}"],
            cwd=ROOT,
            env=minio_project.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if re.search("Failed to fetch|unresolved dependency|download failed", done.stderr):
            pytest.skip("Spark and its jars are fetched from PyPI and Maven, which do not answer")
        os_name = "Apple" if program == in_bucket else "iOS"
        assert done.stdout.strip() == f"('{os_name}', 1)", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--for", "polar"), "no lines for polar. Did you mean polars? There are: duckdb, "),
        (("--env", "minoi"), "There is no environment minoi. Did you mean minio? There are: "),
        (("--table", "q1_completion"), "Did you mean q1_completion_rate? There are: bronze_ev"),
    ],
)
def test_a_name_that_is_not_known_is_refused(begun_project, arguments, sentence):
    refused = ask(begun_project, "lake", *arguments)

    assert refused.exit_code == 1
    assert sentence in refused.stderr


@pytest.mark.slow
def test_a_pipeline_of_ones_own_loads_a_published_table(published):
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    entries = yaml.safe_load(text.replace("data/03_gold", str(published.folder / "03_gold")))
    for entry in entries.values():
        entry["load_args"] = {"version": versions(published.folder / "03_gold")[GOLD[0]]}

    rows = DataCatalog.from_config(entries).load("engagement")

    assert list(rows["activities_played"]) == [1]


def test_the_statement_is_of_its_dialect():
    """Those of other warehouses are printed: ``test_exports``."""
    (text,) = re.findall(r"```athena\n(.*?)```", README, re.DOTALL)

    (statement,) = sqlglot.parse(text, dialect="athena")

    assert isinstance(statement, sqlglot.exp.Create)
