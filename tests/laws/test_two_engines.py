"""The same history on DuckDB and on Spark: the same tables after each run, row for row.

Versions are compared too: what is a change to one engine is one to the other.
"""

from __future__ import annotations

import shutil

import pytest
import yaml
from histories import History, Run
from two_engines import let_happen, of_duckdb, of_spark

from conftest import ROOT
from spark_services import SMALL

HAPPENINGS = 16


@pytest.fixture
def on_spark(jars, catalog, new_project):
    """A project on folders whose tables are on Spark, which runs in this process."""
    project = new_project()
    conf = project.folder / "conf"
    conf.unlink()
    shutil.copytree(ROOT / "conf", conf)
    places = conf / "test" / "globals.yml"
    said = yaml.safe_load(places.read_text())
    said["warehouse"] |= {
        "catalog": catalog.address,
        "credentials": "spark",
        "location": f"file://{project.folder}/tables",
        "session": {**SMALL, "spark.master": "local[2]", "spark.jars.packages": jars},
    }
    places.write_text(yaml.safe_dump(said))
    return project


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_have_the_same_rows_after_each_run(seed, new_project, on_spark):
    on_duckdb = new_project()

    for happening in [*History(seed).happenings(HAPPENINGS), Run()]:
        ends = [let_happen(project, happening) for project in (on_duckdb, on_spark)]

        assert ends[0] == ends[1], happening
        if isinstance(happening, Run):
            expected, found = of_duckdb(on_duckdb), of_spark(on_spark)
            assert found.keys() == expected.keys()
            for name, rows in expected.items():
                assert found[name] == rows, (happening, name)
