"""A table of one's own: a function, a catalog entry and a contract are all it takes."""

from __future__ import annotations

import shutil

import duckdb
import ibis.expr.types as ir
import pytest
from ibis import _
from kedro.framework.project import configure_project
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline

from builders import a_user_record, an_event_record, an_id
from conftest import ROOT
from lingokids import metrics, pipeline_registry, schema
from lingokids.errors import LingokidsError
from lingokids.storage import TableDataset

OWN = "plays_of_countries"
ENRICHED = "intermediate_activity_events_enriched"
ENTRY = f"""
{OWN}:
  type: lingokids.storage.TableDataset
  table_name: {OWN}
  warehouse: ${{globals:warehouse}}
  unit: [country_code]
  metadata: {{kedro-viz: {{layer: gold}}}}
"""
CONTRACT = schema.Contract(
    OWN,
    "What was played in each country.",
    ("country_code",),
    ("country_code", "activities_played", "total_time_spent"),
    ("activities_played", "total_time_spent"),
)


def count_plays(events: ir.Table) -> ir.Table:
    counted = (
        _of_countries(events)
        .group_by("country_code")
        .aggregate(
            activities_played=metrics.MEASURES["activities_played"],
            total_time_spent=metrics.MEASURES["total_time_spent"],
        )
    )
    return _as_counted(counted)


def _as_counted(counted: ir.Table) -> ir.Table:
    return counted


def _of_countries(events: ir.Table) -> ir.Table:
    return events.filter(_.country_code.notnull())


@pytest.fixture
def owner(project, monkeypatch):
    """A project with a table of one's own."""
    node = Node(count_plays, ENRICHED, OWN, name="count_plays", tags="own")
    whole = pipeline_registry.register_pipelines()
    whole["__default__"] += Pipeline([node])
    (project.folder / "conf").unlink()
    shutil.copytree(ROOT / "conf", project.folder / "conf")
    (project.folder / "conf" / "base" / "catalog_own.yml").write_text(ENTRY)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline_registry, "register_pipelines", lambda: dict(whole))
        for contracts in (schema.CONTRACTS, schema.STORED):
            patch.setitem(contracts, OWN, CONTRACT)
        configure_project("lingokids")
        yield project
    configure_project("lingokids")


def _plays(project) -> dict[str, int]:
    return dict(project.rows(f"SELECT country_code, activities_played FROM {OWN}"))


def _written_last(project) -> list[tuple[int, int]]:
    return project.rows(
        f"SELECT rows_deleted, rows_inserted FROM run_steps WHERE table_name = '{OWN}' "
        "AND run_id = (SELECT max(run_id) FROM runs)"
    )


def _deliver(project, *numbers: int, user: int, key: str = "a", **values) -> None:
    events = [an_event_record(n, user_id=an_id(user), **values) for n in numbers]
    project.deliver("events", f"{user}-{key}", events)


@pytest.mark.slow
def test_it_is_kept_up_to_date_by_units_published_and_checked(owner):
    owner.deliver("users", "u", [a_user_record(900), a_user_record(901, country_code="fr")])
    _deliver(owner, 1, 2, user=900)
    _deliver(owner, 3, user=901)
    owner.run()
    assert _plays(owner) == {"es": 2, "fr": 1}

    _deliver(owner, 4, user=901, key="late", occurred_at="2020-12-01 10:00:00.000")
    owner.run()
    assert _plays(owner) == {"es": 2, "fr": 2}
    assert _written_last(owner) == [(1, 1)]

    owner.deliver("users", "v", [a_user_record(900, country_code="pt")], "2021-02-02 00:00:00")
    owner.run()
    assert _plays(owner) == {"fr": 2, "pt": 2}
    assert _written_last(owner) == [(1, 1)]

    checked = f"SELECT DISTINCT verdict FROM check_results WHERE table_name = '{OWN}'"
    assert owner.rows(checked) == [("held",)]
    with duckdb.connect(str(owner.folder / "lingokids-gold.duckdb"), read_only=True) as copy:
        assert copy.execute(f"FROM {OWN} ORDER BY ALL").fetchall() == owner.table(OWN)


@pytest.mark.slow
def test_it_is_made_alone_by_its_tag_and_again_when_its_rule_changes(owner, monkeypatch):
    owner.deliver("users", "u", [a_user_record(900)])
    _deliver(owner, 1, 2, user=900)
    owner.run()
    _deliver(owner, 3, user=900, key="b")
    owner.run("ingestion")
    assert owner.invoke("run", "--tags", "own").exit_code == 0
    assert _plays(owner) == {"es": 2}
    owner.run()
    assert _plays(owner) == {"es": 3}

    played = metrics.MEASURES["activities_played"]
    monkeypatch.setitem(metrics.MEASURES, "activities_played", 2 * played)
    assert owner.invoke("run", "--tags", "own").exit_code == 0
    assert _plays(owner) == {"es": 6}


@pytest.mark.slow
def test_a_node_that_makes_rows_of_another_unit_than_its_inputs_have_is_refused(owner, monkeypatch):
    """They would stand beside the rows of that unit that are there."""
    monkeypatch.setitem(
        globals(),
        "_of_countries",
        lambda events: events.mutate(country_code=_.country_code.upper()),
    )
    owner.deliver("users", "u", [a_user_record(900)])
    _deliver(owner, 1, user=900)
    owner.run()
    _deliver(owner, 2, user=900, key="b")

    with pytest.raises(DatasetError, match=r"makes rows of a unit .* such as ES. Work the unit"):
        owner.run()


def test_a_node_that_reads_a_silent_column_is_refused(owner, monkeypatch):
    _deliver(owner, 1, user=900)
    monkeypatch.setitem(globals(), "_of_countries", _that_landed)

    with pytest.raises(DatasetError, match="count_plays reads landed_at of intermediate_"):
        owner.run()


def _that_landed(events: ir.Table) -> ir.Table:
    return events.filter(_.country_code.notnull() & _.landed_at.notnull())


@pytest.mark.slow
def test_two_rows_of_one_key_are_refused_also_where_one_was_there_before(owner, monkeypatch):
    owner.deliver("users", "u", [a_user_record(900)])
    _deliver(owner, 1, user=900)
    owner.run()
    monkeypatch.setitem(globals(), "_as_counted", lambda counted: counted.union(counted))

    with pytest.raises(DatasetError, match=r"several rows of one key \(\"country_code\"\)"):
        owner.run()


def test_a_unit_is_part_of_the_grain(tmp_path):
    warehouse = {"database": str(tmp_path / "w.duckdb"), "published": str(tmp_path / "g.duckdb")}

    with pytest.raises(LingokidsError, match=r"its unit \(user_id\) is no part of its grain"):
        TableDataset(table_name="activity_popularity_daily", warehouse=warehouse, unit=["user_id"])
