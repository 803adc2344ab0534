"""What others read: the programs that are printed, entries of a catalog, statements."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import sqlglot
import yaml
from kedro.io import DataCatalog

from conftest import ROOT
from lingokids.storage.lake.readers import READERS
from published import GOLD, deliver_a_day, publish_a_day, versions

README = (ROOT / "src/lingokids/storage/lake/README.md").read_text()


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _program(project, reader: str) -> str:
    printed = project.command("lake", "--for", reader, "--table", GOLD[0])
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def _read(project, program: str) -> list[str]:
    """How many rows the program has found, and the plays in them."""
    shown = "print(len(rows)); print(sum(rows['activities_played'].to_numpy()))"
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
@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"spark"}))
def test_what_is_printed_reads_a_bucket(minio_project, reader):
    deliver_a_day(minio_project, 5, landed_at="now")
    minio_project.run()
    done = minio_project.command("lake", "--for", reader, "--env", "minio")

    assert _read(minio_project, done.stdout) == ["1", "1"]


@pytest.mark.slow
def test_the_program_for_spark_is_python_and_takes_the_version(begun_project):
    program = _program(begun_project, "spark")

    compile(program, "spark", "exec")
    assert '.option("versionAsOf", version)' in program


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
    refused = begun_project.command("lake", *arguments)

    assert refused.returncode == 1
    assert sentence in refused.stderr


@pytest.mark.slow
def test_a_pipeline_of_ones_own_loads_a_published_table(published):
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    entries = yaml.safe_load(text.replace("data/03_gold", str(published.folder / "03_gold")))
    for entry in entries.values():
        entry["load_args"] = {"version": versions(published.folder / "03_gold")[GOLD[0]]}

    rows = DataCatalog.from_config(entries).load("engagement")

    assert list(rows["activities_played"]) == [1]


def test_the_statements_are_of_their_dialects():
    statements = re.findall(r"```(snowflake|bigquery|duckdb|athena)\n(.*?)```", README, re.DOTALL)

    assert [dialect for dialect, _ in statements] == ["snowflake", "bigquery", "duckdb", "athena"]
    for dialect, text in statements:
        known = re.sub(r"WITH CONNECTION .*\n", "", text)  # the parser does not know it
        (statement,) = sqlglot.parse(known, dialect=dialect)
        assert isinstance(statement, sqlglot.exp.Create), dialect
