"""What OpenLineage is told of runs: valid, of nobody, and never at a run's expense.

The published JSON schemas are in no package; the client's classes are generated from them, so an
event is valid if it has the fields of these, with their types.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import pkgutil
import socket
import subprocess
import sys
import threading
import types
import typing
from collections import Counter
from datetime import datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest import mock
from uuid import UUID

import attr
import ibis
import pytest
from kedro.framework.session import KedroSession
from openlineage.client import generated
from openlineage.client.generated import base

from builders import a_user_record, an_event_record, an_id
from lingokids.errors import LingokidsError
from lingokids.lineage.openlineage import Places
from lingokids.pipelines.enrichment import nodes as enrichment

pytestmark = pytest.mark.slow

SECRET = "someone@example.org"
KEYS = {
    "schema": "SchemaDatasetFacet",
    "columnLineage": "ColumnLineageDatasetFacet",
    "outputStatistics": "OutputStatisticsOutputDatasetFacet",
    "dataQualityAssertions": "DataQualityAssertionsDatasetFacet",
    "dataQualityMetrics": "DataQualityMetricsInputDatasetFacet",
    "parent": "ParentRunFacet",
    "errorMessage": "ErrorMessageRunFacet",
    "jobType": "JobTypeJobFacet",
    "tags": "TagsRunFacet",  # by the client
}
MODULES = [
    importlib.import_module(f"{generated.__name__}.{each.name}")
    for each in pkgutil.iter_modules(generated.__path__)
]
FACETS = {
    name: kind
    for module in MODULES
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, base.BaseFacet)
}


def faults_of(value, kind, at: str = "event"):
    """Where a value of JSON is not as the class says, which is generated from the schema."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        tried = [[*faults_of(value, each, at)] for each in arguments if each is not type(None)]
        yield from min(tried, key=len)  # NULL is left out when it is written
    elif origin is list:
        assert isinstance(value, list), at
        for place, each in enumerate(value):
            yield from faults_of(each, arguments[0], f"{at}[{place}]")
    elif origin is dict:
        for key, each in value.items():
            yield from _faults_of_entry(key, each, arguments[1], f"{at}.{key}")
    elif attr.has(kind):
        yield from _faults_of_object(value, kind, at)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        kind(value)
    elif kind is not typing.Any and not isinstance(value, (int, float) if kind is float else kind):
        yield f"{at} is {value!r}"


def _faults_of_entry(key, value, kind, at):
    """Those of an entry of a dictionary; a facet is of the class that its key stands for."""
    if isinstance(kind, type) and issubclass(kind, base.BaseFacet):
        of = FACETS[KEYS[key]]
        if not issubclass(of, kind):
            yield f"{at} is no {kind.__name__}"
        if value["_schemaURL"] != of._get_schema():
            yield f"{at} is of {value['_schemaURL']}"
        kind = of
    yield from faults_of(value, kind, at)


def _faults_of_object(value, kind, at):
    hints = typing.get_type_hints(kind)
    for field in attr.fields(kind):
        if field.name in value:
            yield from faults_of(value[field.name], hints[field.name], f"{at}.{field.name}")
        elif field.default is attr.NOTHING:
            yield f"{at}.{field.name} is missing"
    if more := value.keys() - {field.name for field in attr.fields(kind)}:
        yield f"{at} has {more}"


@pytest.fixture(autouse=True)
def _own_environment():
    with mock.patch.dict(os.environ):  # the client sets variables of its own
        yield


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Have events written into a file; gives what reads it."""
    file = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))

    def read():
        return [json.loads(line) for line in file.read_text().splitlines()]

    return read


def job(events, name, state="COMPLETE"):
    (found,) = (e for e in events if e["job"]["name"] == name and e["eventType"] == state)
    return found


def _told_once(events) -> bool:
    """Whether each run begins once, ends once after it, and each child is of the parent."""
    states: dict[str, list[str]] = {}
    for event in events:
        states.setdefault(event["run"]["runId"], []).append(event["eventType"])
        UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    (whole,) = {e["run"]["runId"] for e in events if "parent" not in e["run"]["facets"]}
    parents = {
        event["run"]["facets"]["parent"]["run"]["runId"]
        for event in events
        if "parent" in event["run"]["facets"]
    }
    ends = {"COMPLETE", "FAIL", "ABORT"}
    return parents == {whole} and all(
        found[0] == "START" and len(found) == 2 and found[1] in ends for found in states.values()
    )


def test_a_run_and_its_nodes_are_told_validly_and_of_nobody(begun_project, told):
    begun_project.deliver("users", "home-of-a-family", [a_user_record()])
    begun_project.deliver(
        "events", "b", [an_event_record(2, **{SECRET: SECRET}), an_event_record(3)]
    )

    begun_project.run()

    events = told()
    assert [fault for event in events for fault in faults_of(event, base.RunEvent)] == []
    assert _told_once(events)
    assert {event["job"]["namespace"] for event in events} == {"lingokids.test"}
    staged = job(events, "staging.stage_events")
    (output,) = staged["outputs"]
    assert output["namespace"] == f"duckdb://{begun_project.database}"
    assert output["name"] == "lingokids.main.stg_events"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2
    fields = {each["name"]: each for each in output["facets"]["schema"]["fields"]}
    assert fields["duration_seconds"]["type"] == "decimal(12, 3)"
    (raw,) = job(events, "ingestion.ingest_events")["inputs"]
    assert raw["namespace"] == "file"
    assert raw["name"] == str(begun_project.folder / "raw" / "events")
    assert job(events, "publish_gold")["outputs"][0]["namespace"] == "file"
    text = json.dumps(events)
    assert not {word for word in (an_id(1), an_id(2), SECRET, "home-of-a-family") if word in text}


def test_values_are_lineage_of_columns_and_what_decides_on_rows_of_the_dataset(begun_project, told):
    begun_project.run()

    (metrics,) = job(told(), "marts.build_engagement_metrics")["outputs"]
    lineage = metrics["facets"]["columnLineage"]
    assert lineage["_schemaURL"].startswith(
        "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json"
    )

    def said(fields):
        return {
            (each["name"].rpartition(".")[2], each["field"], how["type"], how["subtype"])
            for each in fields
            for how in each["transformations"]
        }

    enriched = "intermediate_activity_events_enriched"
    aggregated = ("DIRECT", "AGGREGATION")
    assert (enriched, "date", "DIRECT", "IDENTITY") in said(
        lineage["fields"]["date"]["inputFields"]
    )
    assert said(lineage["fields"]["activities_completed"]["inputFields"]) == {
        (enriched, "completed_flag", *aggregated)
    }
    # a count of rows is one of their keys
    assert said(lineage["fields"]["activities_played"]["inputFields"]) == {
        (enriched, "event_id", *aggregated)
    }
    assert (enriched, "country_code", "INDIRECT", "GROUP_BY") in said(lineage["dataset"])
    assert {how for *_, how, _ in said(lineage["dataset"])} == {"INDIRECT"}


def test_checks_are_told_with_the_tables_that_they_read(begun_project, told):
    begun_project.deliver("events", "b", [an_event_record(2)])
    begun_project.run()

    tables = {each["name"]: each["inputFacets"] for each in job(told(), "checks")["inputs"]}
    facets = tables["lingokids.main.intermediate_activity_events_enriched"]
    asserted = facets["dataQualityAssertions"]["assertions"]
    (unique,) = (each for each in asserted if each["name"] == "event_id_unique")
    (known,) = (each for each in asserted if each["name"] == "country_code_seldom_null")
    assert unique["assertion"] == "unique"
    assert unique["success"] is True
    assert unique["severity"] == "error"
    assert (known["column"], known["success"]) == ("country_code", False)
    metrics = facets["dataQualityMetrics"]
    assert metrics["columnMetrics"]["country_code"]["nullCount"] == 1
    assert metrics["rowCount"] == 1


def test_a_run_that_breaks_a_rule_has_failed_and_its_nodes_wrote_nothing(
    begun_project, told, monkeypatch
):
    begun_project.deliver("events", "b", [an_event_record(2)])
    monkeypatch.setattr(enrichment, "subscription_status", lambda _: ibis.literal(SECRET))

    with pytest.raises(LingokidsError):
        begun_project.run()

    events = told()
    assert [fault for event in events for fault in faults_of(event, base.RunEvent)] == []
    assert _told_once(events)
    ends = Counter(e["eventType"] for e in events if e["eventType"] != "START")
    assert ends.keys() == {"FAIL", "ABORT"}
    assert ends["FAIL"] == 2  # the checks, and the whole
    staged = job(events, "staging.stage_events", "ABORT")
    assert staged["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 0
    failed = job(events, "__default__", "FAIL")["run"]["facets"]["errorMessage"]["message"]
    assert failed == "BrokenRuleError: why stands in the log, and in the table runs"
    assert SECRET not in json.dumps(events)


def test_a_node_that_fails_is_told(begun_project, told, monkeypatch):
    def fail(_):
        raise RuntimeError(SECRET)

    begun_project.deliver("events", "b", [an_event_record(2)])
    monkeypatch.setattr(enrichment, "subscription_status", fail)

    with pytest.raises(RuntimeError):
        begun_project.run()

    events = told()
    assert _told_once(events)
    assert job(events, "staging.stage_events", "ABORT")
    assert job(events, "enrichment.enrich_events", "FAIL")
    assert job(events, "__default__", "FAIL")
    assert SECRET not in json.dumps(events)


def test_a_run_that_is_refused_has_not_begun(begun_project, told, tmp_path):
    with (
        KedroSession.create(begun_project.folder, env="test") as session,
        pytest.raises(LingokidsError, match="--only-missing-outputs cannot be used"),
    ):
        session.run(only_missing_outputs=True)

    assert not (tmp_path / "events.jsonl").exists()


def test_without_configuration_nothing_of_it_is_loaded(begun_project):
    program = (
        "import sys; from kedro.framework.startup import bootstrap_project; "
        "from kedro.framework.session import KedroSession; bootstrap_project('.'); "
        "KedroSession.create('.').run(); "
        "print({'openlineage', 'lingokids.lineage'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=begun_project.folder,
        env=begun_project.environment | {"HOME": str(begun_project.folder)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "set()\n"


# --- endpoints ------------------------------------------------------------------------------------


def test_events_are_posted_to_an_endpoint_in_their_order(begun_project, monkeypatch):
    received = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "kids")
        try:
            begun_project.run("staging")
        finally:
            server.shutdown()
            thread.join()

    assert _told_once(received)
    assert received[0]["eventType"] == "START"
    assert received[-1]["job"] | {"facets": None} == {
        "namespace": "kids",
        "name": "staging",
        "facets": None,
    }


@pytest.mark.parametrize("answers", [False, True])
def test_an_endpoint_that_is_dead_fails_no_run_and_holds_it_up_for_one_time_out(
    begun_project, monkeypatch, caplog, answers
):
    """It accepts and is silent, or refuses."""
    begun_project.deliver("events", "b", [an_event_record(2)])
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if not answers:
            silent.listen(1)
        url = f"http://user:{SECRET}@127.0.0.1:{silent.getsockname()[1]}"
        transport = {"type": "http", "url": url, "timeout": 1}
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
        with caplog.at_level(logging.INFO):
            begun_project.run()

    assert len(begun_project.table("stg_events")) == 2
    (warning,) = (each for each in caplog.records if "OpenLineage is not told" in each.message)
    published = max(each.created for each in caplog.records if each.message.startswith("Published"))
    assert warning.created - published < 1 + 3  # with what it takes to trace the lineage
    assert SECRET not in caplog.text


def test_a_transport_that_there_is_not_is_a_matter_of_configuration(
    begun_project, monkeypatch, caplog
):
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps({"type": "carrier-pigeon"}))

    begun_project.run()

    assert "look at OPENLINEAGE_URL or openlineage.yml" in caplog.text
    assert "not installed" not in caplog.text


def test_a_place_is_named_as_the_specification_says():
    warehouse = {"database": "/data/kids.duckdb"}
    places = Places(
        {
            "raw_events": {"path": "s3://raw-events"},
            "raw_users": {"path": "s3://raw/users/"},
            "ingested_objects": {"table_name": "ingested_objects", "warehouse": warehouse},
            "published_bronze": {"lake": "s3://bronze", "table": "bronze_events"},
            "chart": {"filepath": "/data/chart.json"},
            "held": {"type": "AnswerDataset"},
        }
    )

    assert places.of("raw_events") == ("s3://raw-events", "/")
    assert places.of("raw_users") == ("s3://raw", "users")
    assert places.of("runs") == ("duckdb:///data/kids.duckdb", "kids.main.runs")
    assert places.of("published_bronze") == ("s3://bronze", "bronze_events")
    assert places.of("chart") == ("file", "/data/chart.json")
    assert places.of("held") is None
