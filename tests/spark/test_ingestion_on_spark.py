"""Raw objects on Spark: bronze, quarantine, ledger and unknown keys are those of one machine."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from builders import a_user_record, an_activity_record, an_event_record, an_id
from conftest import ROOT, Project
from lingokids import schema
from lingokids.schema.parameters import Instants
from lingokids.storage.duckdb.minimising import Minimisation
from lingokids.storage.erasures import Erasures, Person
from lingokids.storage.raw.places import open_store
from lingokids.storage.raw.reading import Reading
from lingokids.storage.raw.stores import RawObject
from lingokids.storage.spark.reading import Worker, numbers_of_tasks
from lingokids.validation import quality
from spark_services import SMALL

BRONZE = [f"bronze_{dataset}" for dataset in schema.FIELDS]
TABLES = [*BRONZE, *(it.table_name for it in schema.BESIDE_BRONZE), "unknown_keys"]
_RUNS = """
import json, shutil, sys
from pathlib import Path
import pyarrow.parquet as pq
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from lingokids.errors import LingokidsError
from lingokids.schema import CONTRACTS, FIELDS
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.raw.places import open_store
from lingokids.storage.raw.reading import Reading
from lingokids.storage.raw.stores import RawObject
from lingokids.storage.records import kept_table

configure_project("lingokids")
BRONZE = [f"bronze_{dataset}" for dataset in FIELDS]
for number, (raw, pipeline, parameters) in enumerate(json.loads(sys.argv[1])):
    shutil.rmtree("raw")
    shutil.copytree(raw, "raw")
    with KedroSession.create(Path.cwd(), env="test", runtime_params=parameters) as session:
        session.run(pipeline_names=[pipeline], to_outputs=BRONZE)
    (warehouse,) = Warehouse._known.values()
    for name in json.loads(sys.argv[2]):
        rows = warehouse.frame(kept_table(warehouse, CONTRACTS[name]).load())
        pq.write_table(rows.toArrow(), f"{name}-{number}.parquet")

warehouse.begin()
nowhere = Reading("events", lambda: open_store("nowhere"), lambda it: it, 1, None)
try:
    list(warehouse.read_objects(nowhere, [RawObject("a", "b", 1, None, 1)], print))
except LingokidsError as error:
    Path("sentence").write_text(error.message)
warehouse.close()
warehouse.spark.stop()
"""


def _lines(*records: dict[str, Any] | bytes) -> bytes:
    return b"".join(
        (it if isinstance(it, bytes) else json.dumps(it).encode()) + b"\n" for it in records
    )


def _nested(depth: int) -> bytes:
    return b'{"event_id": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def _mutated(lines: int) -> bytes:
    """Events with a few bytes changed, some of which are records still."""
    drawn = random.Random(24)
    made = []
    for number in range(lines):
        line = bytearray(
            json.dumps(an_event_record(number, child_id=an_id(7)), indent=None).encode()
        )
        for _ in range(drawn.choice([0, 1, 1, 2, 5])):
            line[drawn.randrange(len(line))] = drawn.choice(
                b'{}[]",:0123456789-eE \\\\\t\r\0\xff\xc3a'
            )
        made.append(bytes(line))
    return b"\n".join(made)


def _nasty_events() -> dict[str, bytes]:
    event = an_event_record
    text = _lines(event(1), event(2), event(3))
    packed = gzip.compress(text * 200)
    return {
        "crlf": text.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + text,
        "nul": _lines(event(4), b"\0", b'{"event_id": "\0"}', event(5, name="a\0b")),
        "not utf-8": b"\xff\xfe{}\n" + _lines(event(6)) + b"\xc3(\n",
        "utf-16": text.decode().encode("utf-16"),
        "long": _lines(event(7, more="x" * (1 << 20)), b"[" + b"1," * (1 << 20), event(8)),
        "deep": _lines(_nested(50), _nested(5_000), event(9, more=json.loads(_nested(20)))),
        "twice": _lines(
            b'{"event_id": "a", "event_id": "b"}', _lines(event(10))[:-2] + b', "name": "x"}'
        ),
        "blank": b"\n \n\t\r\n" + text + b"\n\n",
        "empty": b"",
        "without an end": text.rstrip(),
        "array": json.dumps([event(11)], indent=1).encode(),
        "cut.gz": packed[:-9],
        "damaged.gz": packed[:60] + b"\xff\xff" + packed[62:],
        "whole.gz": packed,
        "packed twice.gz": gzip.compress(packed),
        "alike": b"{}\n" * 1_500 + b"x\n" * 3,
        "keys": _lines(
            event(12, experiment={"arm": "b", "it's": [1, None]}),
            event(13, data={"activity_id": "fish", "level": 3, "ü\n": "\U0001f41f"}),
            event(14, **{"": 1, "a.b": "\\ud800", '"': {}}),
        ),
        "values": _lines(
            event(15, occurred_at="2021-01-05T10:00:00+02:00"),
            event(16, data={"activity_id": 7, "duration": "1_000.0005", "completed": "true"}),
            event(
                17, data={"activity_id": "\\u0000", "duration": 1e9, "loading_time": 123456789.1234}
            ),
            event(18, child_id=an_id(7).upper(), event_id="{" + an_id(18) + "}"),
            event(19, occurred_at="2021-02-09 10:00:00.000"),
        ),
        "it's ünusual/ key?.jsonl": text,
        "mutated": _mutated(600),
    }


def _deliver(folder: Path, dataset: str, objects: dict[str, bytes], landed_at: str) -> None:
    for key, content in objects.items():
        Project(folder).deliver(dataset, key, content, landed_at)


@pytest.fixture
def rounds(tmp_path) -> list[Path]:
    """What lies in the raw folder at three runs, one after another."""
    first, second, third = (tmp_path / f"round{number}" for number in range(3))
    for dataset in schema.FIELDS:
        shutil.copytree(ROOT / "data" / "01_raw" / dataset, first / "raw" / dataset)
    for number, file in enumerate(sorted(first.rglob("*.jsonl*"))):
        os.utime(file, (1_612_000_000 + number,) * 2)
    shutil.copytree(ROOT / "data" / "01_raw" / "exercises", first / "raw" / "exercises")
    children = [an_id(7), an_id(8)]
    users = [a_user_record(1, children_ids=children, plan=None), a_user_record(2, children_ids=[])]
    users += [a_user_record(3, children_ids=[None]), a_user_record(50), b"\xff"]
    _deliver(first, "events", _nasty_events(), "2021-02-01 10:00:00")
    _deliver(first, "users", {"a": _lines(*users)}, "2021-02-01 10:00:00")
    _deliver(first, "activities", {"a": _lines(an_activity_record())}, "2021-02-01 10:00:00")

    shutil.copytree(first, second)
    raw = second / "raw" / "events"
    (raw / "alike").unlink()  # vanished: what it said stays
    (raw / "blank").rename(raw / "moved")  # the same lines under another key
    again = {
        "bom": _lines(an_event_record(1, name="corrected")),
        "crlf": (raw / "crlf").read_bytes(),  # sent again as it was
        "nul": b"",
        "cut.gz": (raw / "whole.gz").read_bytes(),
        "late": _lines(an_event_record(70, user_id=an_id(50)), an_event_record(71)),
    }
    _deliver(second, "events", again, "2021-02-02 10:00:00")

    shutil.copytree(second, third)
    (third / "raw" / "events" / "twice").unlink()  # its lines are in quarantine by their text
    _deliver(third, "events", {"bom": _lines(an_event_record(1))}, "2021-02-03 10:00:00")
    return [first / "raw", second / "raw", third / "raw"]


@pytest.fixture
def on_spark(jars, catalog, project) -> Project:
    """The project of the test environment, with its tables on Spark."""
    file = project.folder / "conf" / "test" / "globals.yml"
    (project.folder / "conf").unlink()
    shutil.copytree(ROOT / "conf", project.folder / "conf")
    conf = yaml.safe_load(file.read_text())
    (project.folder / "events").mkdir()
    conf["warehouse"] |= {
        "catalog": catalog.address,
        "credentials": "spark",
        "location": f"file://{project.folder}/tables",
        "session": SMALL
        | {
            "spark.master": "local[2]",
            "spark.jars.packages": jars,
            "spark.eventLog.enabled": True,
            "spark.eventLog.rolling.enabled": False,
            "spark.eventLog.compress": False,
            "spark.eventLog.dir": f"file://{project.folder}/events",
        },
    }
    file.write_text(yaml.safe_dump(conf, width=1_000))
    return project


def _rows(project: Project, name: str) -> list[dict[str, Any]]:
    values = ", ".join(
        f'CAST("{column}" AS VARCHAR{"[]" * dtype.is_array()}) AS "{column}"'
        if "uuid" in str(dtype)
        else f'"{column}"'
        for column, dtype in schema.CONTRACTS[name].nullable_schema.items()
    )
    with duckdb.connect(str(project.database), read_only=True) as con:
        return con.sql(f"SELECT {values} FROM main.{name}").to_arrow_table().to_pylist()


@pytest.mark.slow
def test_what_spark_takes_in_is_what_one_machine_takes_in(
    on_spark, new_project, rounds, monkeypatch
):
    monkeypatch.setenv("LINGOKIDS_PSEUDONYM_KEY", "a-key-that-nobody-must-ever-read")
    first, second, third = map(str, rounds)
    checks = {"severities": {"ingested_objects.load_usable": "warn"}}
    later = {"checks": checks, "instants": {"days_ahead": 30}}
    days = (datetime.now(UTC) - datetime(2021, 1, 31, tzinfo=UTC)) // timedelta(days=1)
    let_go = {"retention": {"lines_days": {"events": days}, "texts_days": 0}}
    steps = [
        (first, "ingestion", {"checks": checks}),
        (second, "ingestion", {"checks": checks}),
        (third, "replay", later),
        (third, "ingestion", later | let_go),
    ]
    people = Erasures(salt="s")
    people = people.with_person(Person("user", UUID(an_id(50))))
    people = people.with_person(Person("child", UUID(an_id(8))))
    record = people.model_dump_json()
    (on_spark.folder / "erasures.json").write_text(record)

    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(steps), json.dumps(TABLES)],
        cwd=on_spark.folder,
        env=on_spark.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    on_duckdb = new_project()
    (on_duckdb.folder / "erasures.json").write_text(record)
    for number, (raw, pipeline, parameters) in enumerate(steps):
        shutil.rmtree(on_duckdb.folder / "raw")
        shutil.copytree(raw, on_duckdb.folder / "raw")
        selected = {"pipeline_names": [pipeline], "to_outputs": BRONZE}
        on_duckdb.run_selected(selected, **parameters)
        for name in TABLES:
            made = pq.read_table(on_spark.folder / f"{name}-{number}.parquet").to_pylist()
            wanted = _rows(on_duckdb, name)
            assert wanted, (number, name)
            assert sorted(made, key=repr) == sorted(wanted, key=repr), (number, name)
    state = "FROM table_state ORDER BY ALL"  # in the book
    assert on_spark.rows(state) == on_duckdb.rows(state) != []
    sentence = (on_spark.folder / "sentence").read_text()
    assert sentence.startswith("nowhere is not there: create the folder")
    (log,) = (on_spark.folder / "events").iterdir()
    assert b"MapInArrow" in log.read_bytes()
    assert b"nobody-must-ever-read" not in log.read_bytes()


def _handed_back(worker: Worker, objects: list[RawObject]) -> list[dict[str, Any]]:
    rows = [{**each._asdict(), "place": place} for place, each in enumerate(objects)]
    (task,) = pa.Table.from_pylist(rows).to_batches()
    return [row for batch in worker.read([task]) for row in batch.to_pylist()]


@pytest.fixture
def worker(tmp_path) -> Worker:
    """What reads user objects, and keeps no child."""
    Project(tmp_path).deliver("users", "b", [a_user_record(1), a_user_record(50)])
    Project(tmp_path).deliver("users", "empty", b"")
    store = partial(open_store, str(tmp_path / "raw" / "users"))
    instants = Instants(earliest="2000-01-01", days_ahead=2)
    reading = Reading(
        "users", store, partial(quality.validate_users, instants=instants), 1 << 20, 100
    )
    minimisation = Minimisation(reading.fields, ["children_ids"], None)
    erasures = Erasures(salt="s").with_person(Person("user", UUID(an_id(50))))
    return Worker(reading, minimisation, erasures, {"memory_limit": "100MB"})


def _listed(worker: Worker) -> list[RawObject]:
    landed_at = datetime(2021, 2, 1)
    found = sorted(worker.reading.store().find())
    return [RawObject(it.key, it.etag, it.size_bytes, landed_at, 3) for it in found]


def test_a_worker_hands_back_lines_without_what_is_not_kept_and_the_objects_it_read(worker):
    objects = _listed(worker)
    gone = objects[0]._replace(object_key="gone")

    rows = _handed_back(worker, [gone, *objects])

    by = ("object_key", "line_number", "load_id", "user_id", "children_ids", "reason", "line_text")
    user = (an_id(1), None, None, None)
    assert sorted(tuple(row[name] for name in by) for row in rows) == [
        ("b", 0, 3, None, None, None, None),
        ("b", 1, 3, *user),
        ("b", 2, 3, None, None, schema.ERASED, ""),
        ("empty", 0, 3, None, None, None, None),
    ]


def test_what_a_worker_is_sent_can_be_sent(worker):
    sent = pickle.loads(pickle.dumps(worker))

    assert _handed_back(sent, _listed(worker)) == _handed_back(worker, _listed(worker))


MIB = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "tasks"),
    [
        ([1] * 4, [0, 0, 0, 0]),
        ([20 * MIB] * 4, [0, 1, 2, 3]),  # some two for each of two cores
        ([1, 900 * MIB, 1, 1], [0, 0, 1, 1]),
        ([100 * MIB] * 12, [0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8]),  # at most 128 MiB, and the last
    ],
    ids=["few", "cores", "huge", "many"],
)
def test_tasks_are_as_large_as_a_core_has_to_do_and_bounded(sizes, tasks):
    due = [RawObject(str(n), "", size, datetime(2021, 1, 1), 1) for n, size in enumerate(sizes)]

    assert numbers_of_tasks(due, cores=2).tolist() == tasks
