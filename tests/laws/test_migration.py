"""A warehouse taken over by Spark goes on as if it had always been there; and is maintained."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from happening import let_happen
from histories import History, Run

from builders import a_user_record, an_event_record
from conftest import ROOT, Project
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.spark import upkeep
from lingokids.storage.spark.catalog import MAIN, Catalog
from operators import ask
from spark_services import SMALL
from two_engines import as_text, of_duckdb, of_spark

psycopg = pytest.importorskip("psycopg", reason="no psycopg: uv sync --extra spark")

OF_RUNS = ("runs", "run_steps", "run_units", "table_state", "gone", "check_results")


class OnSpark(Project):
    """The same project in its environment ``spark``, where ``test`` is already."""

    def switch_to(self) -> None:
        pass

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"KEDRO_ENV": "spark"}

    @property
    def database(self) -> Path:
        return self.folder / "lingokids-spark.duckdb"


@pytest.fixture
def both(jars, catalog, new_project) -> tuple[Project, OnSpark]:
    """A project of two environments on the same raw objects: ``test`` on DuckDB, and ``spark``."""
    project = new_project()
    conf, folder = project.folder / "conf", project.folder
    conf.unlink()
    shutil.copytree(ROOT / "conf", conf)
    places = yaml.safe_load((conf / "test" / "globals.yml").read_text())
    places["warehouse"] = {
        "catalog": catalog.address,
        "credentials": "spark",
        "location": f"file://{folder}/tables",
        "session": {**SMALL, "spark.master": "local[2]", "spark.jars.packages": jars},
        "database": f"{folder}/lingokids-spark.duckdb",
        "published": f"{folder}/lingokids-spark-gold.duckdb",
        "reports": f"{folder}/08_reporting_spark",
    }
    places["lake"] = {layer: f"{folder}/spark_{layer}" for layer in ("bronze", "gold")}
    places["shared"] = f"{folder}/09_shared_spark"
    (conf / "spark" / "globals.yml").write_text(yaml.safe_dump(places))
    project.switch_to()
    yield project, OnSpark(folder)
    Warehouse._known.clear()


def pointers(address: str, namespace: str = MAIN) -> dict[str, str]:
    query = "SELECT table_name, metadata_location FROM iceberg_tables WHERE table_namespace = %s"
    with psycopg.connect(address) as con:
        return dict(con.execute(query, [namespace]).fetchall())


@pytest.mark.slow
def test_what_is_taken_over_has_nothing_new_and_goes_on_equal(both, catalog):
    on_duckdb, on_spark = both
    for happening in [*History(3).happenings(14), Run()]:
        let_happen(on_duckdb, happening)
    shown = on_duckdb.folder / "09_shared" / "shown_groups.parquet"
    shown.parent.mkdir(exist_ok=True)
    shown.write_bytes(b"as decided")

    taken = ask(on_duckdb, "migrate", "--env", "test", "--to", "spark")

    assert taken.exit_code == 0, taken.output
    assert "; it is as it was." in taken.output
    assert of_spark(on_spark) == of_duckdb(on_duckdb)
    assert all(on_spark.table(name) == on_duckdb.table(name) for name in OF_RUNS)
    assert (on_spark.folder / "09_shared_spark" / shown.name).read_bytes() == b"as decided"
    again = ask(on_duckdb, "migrate", "--env", "test", "--to", "spark")
    assert "The catalog of spark has tables already" in again.output
    assert again.exit_code == 1

    before = pointers(catalog.address)
    on_spark.run()

    assert Warehouse._known[on_spark.database].changed_tables == []
    assert pointers(catalog.address) == before

    on_duckdb.deliver("events", "late", [an_event_record(n) for n in range(3)])
    on_duckdb.deliver("users", "u", [a_user_record(country_code="se")])
    for project in both:
        project.run()

    assert of_spark(on_spark) == of_duckdb(on_duckdb)
    assert on_spark.table("table_state") == on_duckdb.table("table_state")


@pytest.mark.slow
def test_other_raw_objects_and_other_engines_are_refused(both):
    on_duckdb, on_spark = both
    globals_of_spark = on_spark.folder / "conf" / "spark" / "globals.yml"
    places = yaml.safe_load(globals_of_spark.read_text())
    places["raw"]["events"] = f"{on_spark.folder}/elsewhere"
    globals_of_spark.write_text(yaml.safe_dump(places))

    elsewhere = ask(on_duckdb, "migrate", "--env", "test", "--to", "spark")
    back = ask(on_duckdb, "migrate", "--env", "spark", "--to", "test")
    nothing = ask(on_duckdb, "maintain", "--env", "test")

    assert "which would not know the objects again: migrate from an" in elsewhere.output
    assert "test keeps its tables in DuckDB: uv run kedro run --env test" in back.output
    assert (elsewhere.exit_code, back.exit_code, nothing.exit_code) == (1, 1, 0)
    assert "needs no maintenance" in nothing.output


@pytest.mark.slow
def test_maintenance_leaves_fewer_files_and_every_row(both, catalog):
    _, project = both
    for number in range(7):
        users = [a_user_record(each, country_code=f"{'abcdefg'[number]}x") for each in range(3)]
        project.deliver("users", f"u{number}", users, f"2021-02-0{number + 1} 00:00:00")
        project.run_selected({"to_outputs": ["stg_users"]})
    warehouse, rows = Warehouse._known[project.database], of_spark(project)
    many = {name: upkeep.files_of(warehouse, name) for name in ("bronze_users", "stg_users")}
    assert many["bronze_users"].data == 7
    assert many["stg_users"].deletes >= 5
    reader = Catalog(catalog.address, catalog.credentials)
    namespace = reader.branch_to_read()
    began = datetime.now(UTC)
    data = Path(next(project.folder.glob("tables/stg_users-*/data")))
    old, young = data / "left-by-a-killed-run.parquet", data / "young.parquet"
    for file in old, young:
        file.write_bytes(b"rows")
    os.utime(old, (time.time() - 4 * 86_400,) * 2)

    # killed before its commit
    before = pointers(catalog.address)
    warehouse.begin()
    assert {*upkeep.compact(warehouse)} >= {*many}
    warehouse.catalog._held.close()
    warehouse.close()

    assert pointers(catalog.address) == before
    assert of_spark(project) == rows

    done = ask(project, "maintain")

    assert done.exit_code == 0, done.output
    assert "stg_users" in done.output
    for name, files in many.items():
        now = upkeep.files_of(warehouse, name)
        assert now.data + now.deletes < (files.data + files.deletes) / 2, name
    assert of_spark(project) == rows
    assert old.exists()  # somebody reads the table as it was

    # as if what the reader began with were seven days old: it is there to the last
    warehouse.begin()
    warehouse.namespace = MAIN
    assert upkeep.expire(warehouse, began) > 0
    warehouse.close()

    read = warehouse.spark.table(f"lingokids.{namespace}.stg_users")
    assert as_text("stg_users", read.toArrow()) == rows["stg_users"]
    assert of_spark(project) == rows
    reader.release()

    done = ask(project, "maintain")

    assert done.output.startswith("0 tables compacted, 1 old file removed.")
    assert (old.exists(), young.exists()) == (False, True)
    project.deliver("users", "after", [a_user_record(1, country_code="zz")], "2021-02-20 00:00:00")
    project.run_selected({"to_outputs": ["stg_users"]})
    assert sum(of_spark(project)["stg_users"].values()) == 3


@pytest.mark.slow
@pytest.mark.minio
def test_the_environment_minio_is_taken_over_in_its_buckets(spark_project):
    """By the commands of the page, as conf/minio and conf/spark say."""
    spark_project.deliver("events", "a", [an_event_record()])
    spark_project.deliver("users", "a", [a_user_record()])

    done = [
        spark_project.command("run", KEDRO_ENV="minio"),
        spark_project.command("migrate", "--env", "minio", "--to", "spark"),
        spark_project.command("run"),  # the copy of gold
        spark_project.command("run", JAVA_HOME="/nowhere"),  # that nothing is new needs no Spark
        spark_project.command("maintain"),
    ]

    assert [each.returncode for each in done] == [0] * 5, [each.stderr[-500:] for each in done]
    _, taken, *ran, maintained = done
    assert taken.stdout.startswith("Took over ")
    for each in ran:
        assert "Nothing new: 0 objects read, 0 rows written." in each.stderr
    assert maintained.stdout == "0 tables compacted, 0 old files removed.\n"
    assert spark_project.server.filesystem.glob("lake/tables/stg_users-*/data/*.parquet")
    said = "".join(each.stdout + each.stderr for each in done)
    for secret in spark_project.catalog.credentials["password"], spark_project.server.password:
        assert secret not in said
