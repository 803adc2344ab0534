"""Other warehouses load what is published: in their dialects, and exactly, on DuckDB."""

from __future__ import annotations

import shutil

import duckdb
import pytest
import sqlglot
from deltalake import DeltaTable

from builders import an_event_record
from lingokids.schema import CONTRACTS
from lingokids.storage.lake.exports import WAREHOUSES
from operators import ask
from published import GOLD, deliver_a_day, publish_a_day

DIALECTS = {"snowflake": "snowflake", "bigquery": "bigquery", "motherduck": "duckdb"}
TABLES = ("activity_engagement_metrics", "bronze_events", "q1_completion_rate")


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _printed(project, warehouse: str, table: str, *more: str) -> str:
    printed = ask(project, "lake", "--for", warehouse, "--table", table, *more)
    assert printed.exit_code == 0, printed.output
    return printed.stdout


def _lake_of(project, table: str):
    return project.folder / ("03_gold" if table in GOLD else "02_bronze")


class Elsewhere:
    """A warehouse in the cloud: DuckDB, that is given the statements in its own dialect."""

    def __init__(self, warehouse: str, table: str) -> None:
        self.warehouse, self.table = warehouse, table
        self.con = duckdb.connect()

    def load(self, project, *more: str) -> str:
        """Do what is printed; the published table is the lake's newest version."""
        text = _printed(project, self.warehouse, self.table, *more)
        self._see(project)
        for statement in sqlglot.parse(text, dialect=DIALECTS[self.warehouse]):
            if statement is None or isinstance(statement, sqlglot.exp.Command):
                continue  # a comment; a refresh of the table of the lake
            if statement.args.get("kind") == "TABLE" and not statement.expression:
                continue  # the table of the lake
            here = statement.transform(self._at_hand)
            self.con.execute(here.sql(dialect="duckdb"))
        return text

    def merge(self, project) -> None:
        """Merge what is published on the grain."""
        self._see(project)
        grain = ", ".join(CONTRACTS[self.table].grain)
        self.con.execute(
            f"MERGE INTO {self.table} USING published_now USING ({grain}) "
            "WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
        )

    def _see(self, project) -> None:
        lake = DeltaTable(str(_lake_of(project, self.table) / self.table))
        self.con.register("published_now", lake.to_pyarrow_table())

    def _at_hand(self, node: sqlglot.exp.Expression) -> sqlglot.exp.Expression:
        is_source = isinstance(node, sqlglot.exp.Table) and (
            node.db == "lake" or not isinstance(node.this, sqlglot.exp.Identifier)
        )
        return sqlglot.exp.to_table("published_now") if is_source else node

    @property
    def holds_the_same(self) -> bool:
        ours, theirs = f"FROM {self.table}", "FROM published_now"
        differing = f"({ours} EXCEPT ALL {theirs}) UNION ALL ({theirs} EXCEPT ALL {ours})"
        return self.con.sql(f"SELECT count(*) FROM ({differing})").fetchall() == [(0,)]

    def days(self) -> int:
        return self.con.sql(f"SELECT count(DISTINCT date) FROM {self.table}").fetchall()[0][0]


def _keep(project, table: str, name: str = "loaded") -> str:
    """Keep the pointer of a load, as the next one asks for it."""
    kept = project.folder / f"{name}.json"
    shutil.copy(_lake_of(project, table) / "publication.json", kept)
    return str(kept)


@pytest.mark.slow
def test_loads_by_day_are_exact_after_late_events_and_days_that_vanished(published):
    elsewheres = [Elsewhere(warehouse, GOLD[0]) for warehouse in sorted(WAREHOUSES)]
    _load_all(published, elsewheres)

    # a day more, and a late event of the fifth
    kept = _keep(published, GOLD[0])
    late = an_event_record(999, occurred_at="2021-01-05 23:00:00.000")
    deliver_a_day(published, 7, late)
    deliver_a_day(published, 9)
    published.run()
    for text in _load_all(published, elsewheres, "--since", kept):
        assert "'2021-01-05'" in text
        assert "'2021-01-09'" in text
    assert {elsewhere.days() for elsewhere in elsewheres} == {3}

    # the event of the ninth is sent again, of the eighth: the ninth is no more
    kept = _keep(published, GOLD[0])
    merging = Elsewhere("motherduck", GOLD[0])
    merging.load(published)
    moved = an_event_record(109, occurred_at="2021-01-08 10:00:00.000")
    published.deliver("events", "109.jsonl", [moved], "2021-02-10 00:00:00")
    published.run()
    merging.merge(published)
    assert not merging.holds_the_same, "why rows are deleted by day: a merge leaves the ninth"
    for text in _load_all(published, elsewheres, "--since", kept):
        assert "'2021-01-05'" not in text, "it is as it was"
    assert {elsewhere.days() for elsewhere in elsewheres} == {3}

    kept = _keep(published, GOLD[0])
    nothing = f"-- Nothing of {GOLD[0]} has changed since.\n"
    assert {*_load_all(published, elsewheres, "--since", kept)} == {nothing}


def _load_all(project, elsewheres: list[Elsewhere], *more: str) -> list[str]:
    """Do in each warehouse what is printed for it, after which it holds what is published."""
    texts = [elsewhere.load(project, *more) for elsewhere in elsewheres]
    for elsewhere in elsewheres:
        assert elsewhere.holds_the_same, elsewhere.warehouse
    return texts


@pytest.mark.slow
def test_other_tables_are_loaded_by_their_loads_or_whole(published):
    elsewheres = [Elsewhere("motherduck", table) for table in TABLES[1:]]
    _load_all(published, elsewheres)
    kept = {each.table: _keep(published, each.table, each.table) for each in elsewheres}
    deliver_a_day(published, 7)
    with (published.folder / "raw" / "exercises" / "activity_events.csv").open("a") as events:
        events.write("e4,2,a1,activity_exit,2025-01-13 10:00:00,30,false\n")
    published.run()

    for each in elsewheres:
        (text,) = _load_all(published, [each], "--since", kept[each.table])
        assert ("load_id >= " in text) == (each.table == "bronze_events")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--for", "snowflak"), "no lines for snowflak. Did you mean snowflake? There are: duckdb"),
        (("--for", "bigquery", "--since", "none.json"), "none.json is no publication.json: keep"),
        (("--for", "polars", "--since", "none.json"), "--since is for warehouses (snowflake, big"),
    ],
)
def test_what_cannot_be_loaded_is_refused(project, arguments, sentence):
    refused = ask(project, "lake", *arguments)

    assert refused.exit_code == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.output


def test_a_place_with_a_quote_is_no_statement(tmp_path):
    from lingokids.storage.lake.exports import statements

    lake = tmp_path / "it's; DROP TABLE x"
    entry = {
        "type": "lingokids.storage.DeltaDataset",
        "table": GOLD[0],
        "lake": str(lake),
        "warehouse": {"database": f"{tmp_path}/w.duckdb", "published": f"{tmp_path}/g.duckdb"},
        "unit": "date",
    }

    text = statements("motherduck", entry, {}, None)

    assert len(sqlglot.parse(text, dialect="duckdb")) == 1
