"""What names a person is in no page, log or preview, and what is written is its owner's alone."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import ibis
import pytest

from builders import a_user_record, an_event_record, an_id
from lingokids import schema
from lingokids.checks.inspection import BrokenRuleError
from lingokids.pipelines.enrichment import nodes as enrichment
from lingokids.schema.columns import COLUMNS, IDENTIFIER, NONE, Column
from lingokids.storage import TableDataset

if TYPE_CHECKING:
    from conftest import Project

SECRET = "mail of a parent: someone@example.org"


@pytest.fixture
def told(small: Project, monkeypatch, caplog) -> str:
    """All that is said of two broken rules, of an unusable line and of an unknown key."""
    small.deliver("events", "b", [an_event_record(3, parent_email=SECRET)])
    small.deliver("events", "c", json.dumps({"event_id": SECRET}).encode())
    small.deliver("events", "d", [an_event_record(4, **{an_id(77): 1, "someone@example.org": 1})])
    small.deliver("users", "v", [a_user_record(901, country_code="ES")])
    small.run()
    with monkeypatch.context() as patch:
        patch.setattr(enrichment, "subscription_status", lambda _: ibis.literal("gratis"))
        with pytest.raises(BrokenRuleError) as broken:
            small.run()
    pages = [page.read_text() for page in (small.folder / "08_reporting").rglob("*.html")]
    assert len(pages) > 1
    failures = [" ".join(map(str, row)) for row in small.rows("FROM check_failures")]
    return "\n".join([broken.value.message, caplog.text, *pages, *failures])


def test_no_identifier_and_no_free_text_is_in_a_page_a_log_or_a_failing_row(told):
    for number in (1, 2, 3, 77, 900, 901):
        assert an_id(number) not in told
    assert SECRET not in told
    assert "ES" in told  # what the rule is about is shown
    assert "line 1 of v" in told  # and where it came from


@pytest.mark.slow
def test_previews_mask_what_names_a_person(small):
    small.deliver("events", "b", [an_event_record(3, parent_email=SECRET)])
    small.deliver("events", "c", json.dumps({"event_id": SECRET}).encode())
    small.run()
    places = {"database": str(small.database), "published": str(small.database.with_name("none"))}

    for table_name in schema.STORED:
        shown = TableDataset(table_name=table_name, warehouse=places).preview()
        columns = [line for line in shown["data"] if not line[0].startswith("(")]
        assert [line[0] for line in columns] == list(schema.CONTRACTS[table_name].columns)
        for name, _type, _meaning, *values in columns:
            if COLUMNS[name].is_masked:
                assert {*values} <= {"…", None}, name
        assert SECRET not in json.dumps(shown)


def test_a_column_that_nobody_classified_is_masked_unless_it_is_a_number():
    assert Column("string", "a note").is_masked
    assert Column("uuid", "an id").is_masked
    assert not Column("int64", "a count").is_masked


def test_a_shareable_table_has_nothing_of_a_person():
    of_people = {
        f"{name}.{column}"
        for name, contract in schema.CONTRACTS.items()
        if contract.promise.is_shareable
        for column in contract.columns
        if COLUMNS[column].classification != NONE
    }

    assert not of_people
    assert COLUMNS["user_id"].classification == IDENTIFIER
    assert not schema.CONTRACTS["user_activity_daily"].promise.is_shareable


def test_what_a_run_writes_is_its_owners_alone(small):
    small.run("publication")
    kept = ("*.duckdb", "0[238]_*", "0[238]_*/**/*")
    data = [path for pattern in kept for path in small.folder.glob(pattern)]
    assert data
    others = stat.S_IRWXG | stat.S_IRWXO
    assert not [path for path in data if path.stat().st_mode & others]
