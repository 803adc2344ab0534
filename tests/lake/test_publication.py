"""What is published: every row, no more of them written than are owed, and nothing of others."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import an_event_record
from lingokids.errors import LingokidsError
from published import (
    BRONZE,
    GOLD,
    assert_published,
    deliver_a_day,
    log_of,
    newest,
    publish_a_day,
    the_files,
    the_pointer,
    the_rows,
    versions,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def published(project_after):
    """A project that has taken in and published the fifth of January."""
    return project_after("published-day", publish_a_day)


def _send_again(project, day: int = 5) -> None:
    """Deliver the object of the fifth once more, with its event at another hour or day."""
    event = an_event_record(105, occurred_at=f"2021-01-{day:02} 11:00:00.000")
    project.deliver("events", "105.jsonl", [event], "2021-04-08 00:00:00")


def _files_in(project) -> list[tuple[Path, int]]:
    files = sorted(path for path in project.folder.glob("0[23]*/**/*") if path.is_file())
    return [(path, path.stat().st_mtime_ns) for path in files]


def _rewritten(project, before: dict[str, int]) -> dict[str, str]:
    """The tables that a run wrote to, and which of their units."""
    written = {}
    for name in "02_bronze", "03_gold":
        lake = project.folder / name
        for table, version in versions(lake).items():
            if version > before[table]:
                entries = log_of(lake, table, version)
                commits = [entry["commitInfo"] for entry in entries if "commitInfo" in entry]
                of_the_run = commits[before[table] + 1 :]
                predicates = [
                    commit["operationParameters"].get("predicate") for commit in of_the_run
                ]
                written[table] = "; ".join(filter(None, predicates))
    return written


def _all_versions(project) -> dict[str, int]:
    return versions(project.folder / "02_bronze") | versions(project.folder / "03_gold")


def test_bronze_and_gold_are_published_row_for_row(sample_project):
    assert_published(sample_project)


def test_the_tables_are_of_the_simplest_protocol_and_their_logs_know_no_person(published):
    for name, tables in (("02_bronze", BRONZE), ("03_gold", GOLD)):
        for table in tables:
            entries = log_of(published.folder / name, table, 0)
            (protocol,) = (entry["protocol"] for entry in entries if "protocol" in entry)
            assert (protocol["minReaderVersion"], protocol["minWriterVersion"]) == (1, 2)
            (metadata,) = (entry["metaData"] for entry in entries if "metaData" in entry)
            fields = json.loads(metadata["schemaString"])["fields"]
            assert "timestamp_ntz" not in {str(field["type"]) for field in fields}
            stats = [json.loads(entry["add"]["stats"]) for entry in entries if "add" in entry]
            assert {name for each in stats for name in each["minValues"]} <= {"load_id", "date"}


def test_a_run_publishes_what_changed_and_leaves_the_rest(project):
    deliver_a_day(project, 5)
    deliver_a_day(project, 6)
    deliver_a_day(project, 6, month=3)
    project.run()
    before = _all_versions(project)

    project.deliver("events", "late.jsonl", [an_event_record(77)], "2021-04-08 00:00:00")
    project.run()

    assert_published(project)
    load, day = "load_id = 2", "date = '2021-01-05'::date"
    assert _rewritten(project, before) == {
        "bronze_events": load,
        "ingested_objects": load,
        "activity_engagement_metrics": day,
        "activity_popularity_daily": day,
    }


def test_a_load_whose_object_is_sent_again_is_published_again(published):
    before = _all_versions(published)
    _send_again(published)

    published.run()

    assert_published(published)
    written = _rewritten(published, before)
    loads = "load_id >= 1 AND load_id <= 2"
    assert (written["bronze_events"], written["ingested_objects"]) == (loads, loads)
    assert not written.keys() & {"bronze_users", "bronze_activities", "quarantined_lines"}


def test_a_day_that_is_empty_under_other_parameters_goes_from_the_lake(published):
    _send_again(published, day=6)

    published.run(os_names={"iOS": "Apple"})

    assert_published(published)
    (row,) = the_rows(published.folder / "03_gold", GOLD[0])
    assert (str(row[0]), row[2]) == ("2021-01-06", "Apple")


@pytest.mark.parametrize(("rebuild", "loads"), [("bronze", {1, 2}), ("raw", {2})])
def test_a_rebuild_publishes_the_loads_there_are(published, rebuild, loads):
    _send_again(published)

    published.run(rebuild=rebuild)

    assert_published(published)
    ledger = the_rows(published.folder / "02_bronze", "ingested_objects")
    assert {row[-1] for row in ledger} == loads


def test_a_run_with_nothing_new_publishes_nothing_and_loads_no_library(published):
    before = _files_in(published)
    published.run()
    assert _files_in(published) == before

    program = (
        "import sys; from kedro.framework.startup import bootstrap_project; "
        "from kedro.framework.session import KedroSession; bootstrap_project('.'); "
        "session = KedroSession.create('.'); session.run(); print('deltalake' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=published.folder,
        env=published.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert _files_in(published) == before


def test_a_pipeline_run_alone_leaves_the_publication_to_the_next_one(published):
    before = _files_in(published)
    deliver_a_day(published, 7)
    published.run("ingestion")
    assert _files_in(published) == before

    published.run("publication")

    assert_published(published)


def test_a_run_whose_clock_is_behind_is_published(published, monkeypatch):
    monkeypatch.setattr(
        "kedro.framework.session.session.generate_timestamp", lambda: "2020-01-01T00.00.00.000Z"
    )
    deliver_a_day(published, 7)

    published.run()

    assert_published(published)


def test_small_files_are_put_together_and_old_ones_go_after_the_grace(published, monkeypatch):
    monkeypatch.setattr("lingokids.storage.lake.publication._UNFULL_FILES", 1)
    lake = published.folder / "02_bronze"
    (first,) = map(Path, the_files(lake, "bronze_events"))
    orphan = first.with_name("orphan.parquet")  # of a killed run
    orphan.write_bytes(b"half")
    deliver_a_day(published, 6)

    published.run()

    assert_published(published)
    assert len(the_files(lake, "bronze_events")) == 1
    assert first.exists()
    assert orphan.exists()

    for file in lake.glob("bronze_events/*.parquet"):
        os.utime(file, (0, 0))
    old = json.dumps(the_pointer(lake))
    for log in lake.glob("bronze_events/_delta_log/*.json"):  # what was removed was so long ago
        entries = [json.loads(line) for line in log.read_text().splitlines() if line]
        for entry in entries:
            if "remove" in entry:
                entry["remove"]["deletionTimestamp"] = 0
        log.write_text("\n".join(map(json.dumps, entries)))
    deliver_a_day(published, 7)
    published.run()

    assert_published(published)
    assert not first.exists()
    assert not orphan.exists()
    of_old = json.loads(old)["tables"]["bronze_events"]["version"]
    assert len(the_rows(lake, "bronze_events", of_old)) == 2, "who follows the pointer before"


def test_what_a_link_leads_to_is_not_removed(published, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    os.utime(precious, (0, 0))
    link = published.folder / "02_bronze" / "bronze_events" / "link"
    link.symlink_to(tmp_path)
    deliver_a_day(published, 6)

    with pytest.raises(LingokidsError, match=r"precious.txt lies outside .*: remove the link"):
        published.run()

    assert precious.exists()
    link.unlink()
    published.run()
    assert_published(published)


def test_files_that_vanished_are_written_anew_by_the_next_run(published, caplog):
    for lake, table in (("02_bronze", "ingested_objects"), ("03_gold", GOLD[0])):
        (file,) = the_files(published.folder / lake, table)
        Path(file).unlink()
    shutil.rmtree(published.folder / "03_gold" / GOLD[1])

    published.run()

    assert "files of the publication are gone, such as ingested_objects/part-" in caplog.text
    assert_published(published)
    _send_again(published)
    published.run()
    assert_published(published)


@pytest.fixture
def grown(project_after):
    """A project that has published three days, one a run."""

    def grow(project) -> None:
        for day in (5, 6, 7):
            deliver_a_day(project, day)
            project.run()

    return project_after("three-runs", grow)


def _logs(project) -> list[Path]:
    return sorted((project.folder / "02_bronze/bronze_events/_delta_log").glob("0*.json"))


def _promise_a_version(project) -> None:
    """As a pointer that is newer than a table, which came back from a copy."""
    lake = project.folder / "02_bronze"
    pointer = the_pointer(lake)
    pointer["tables"]["bronze_events"]["version"] = 99
    (lake / "publication.json").write_text(json.dumps(pointer))


@pytest.mark.parametrize(
    "harm",
    [
        lambda project: shutil.rmtree(project.folder / "02_bronze" / "bronze_events"),
        lambda project: _logs(project)[-1].unlink(),
        lambda project: _logs(project)[-1].write_bytes(b""),  # as after a power cut
        _promise_a_version,
    ],
    ids=["a table", "the newest of its log", "what its log said", "a version"],
)
def test_what_is_lost_of_a_table_of_many_versions_is_written_anew(grown, harm):
    harm(grown)

    grown.run()

    assert_published(grown)


def test_a_table_whose_log_is_damaged_is_named_and_what_to_do(grown):
    log = _logs(grown)[0]
    log.write_bytes(log.read_bytes()[:-20])

    sentence = r"the log of \S+/bronze_events cannot be read \(.*remove this folder and run again"
    with pytest.raises(LingokidsError, match=sentence):
        grown.run()

    shutil.rmtree(log.parents[1])
    grown.run()
    assert_published(grown)


def test_what_another_wrote_into_a_table_is_undone(published):
    """As by a publisher that came too late, or one that was killed before its pointer."""
    from deltalake import DeltaTable

    for lake, table in (("02_bronze", "bronze_users"), ("03_gold", GOLD[0])):
        DeltaTable(str(published.folder / lake / table)).delete()
        assert the_rows(published.folder / lake, table)  # who knows the pointer does not see it
        assert not the_rows(published.folder / lake, table, newest(published.folder / lake, table))

    published.run()

    assert_published(published)


def test_a_lake_that_cannot_be_written_fails_the_run_but_not_its_tables_nor_the_other(project):
    deliver_a_day(project, 5)
    (project.folder / "02_bronze").write_text("in the way")

    with pytest.raises(LingokidsError, match=r"is committed .* but .*02_bronze is not \(.*\)"):
        project.run()

    assert len(project.table("bronze_events")) == 1
    assert project.rows("SELECT status FROM runs") == [("succeeded",)]
    assert the_rows(project.folder / "03_gold", GOLD[0]) == project.table(GOLD[0])
    (project.folder / "02_bronze").unlink()
    project.run()
    assert_published(project)


def test_an_empty_warehouse_publishes_nothing(project):
    project.run("publication")

    assert not list(project.folder.glob("0[23]*/publication.json"))


def test_a_published_table_is_read_through_the_catalog(published):
    from kedro.framework.session import KedroSession

    left = published.folder / f".fetched-{(1 << 22) + 1}-left"  # of no process: beyond the last
    left.mkdir()
    with KedroSession.create(project_path=published.folder, env="test") as session:
        catalog = session.load_context().catalog
        rows = catalog.load("published_bronze_events").to_pyarrow()
        preview = catalog.get("published_bronze_events").preview()

    assert rows.num_rows == 1
    said = {line[0]: line[2] for line in preview["data"]}
    assert (said["(version)"], said["(rows)"]) == ("0", "1")
    assert said["(published)"].endswith("by run 1")
    assert not left.exists()


def test_units_overwritten_at_random_are_those_of_a_dictionary(tmp_path):
    """The library's releases have appended where they should replace, and deleted too little."""
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    from lingokids.storage.lake import publication

    rng = random.Random(7)
    model: dict[int, list[int]] = {}
    for step in range(60):
        units = rng.sample(range(-1, 40), rng.randrange(1, 12))
        for unit in units:
            model[unit] = [rng.randrange(10**6) for _ in range(rng.randrange(0, 4))]
        rows = [(unit + 2, value) for unit in units for value in model[unit]]
        schema = pa.schema({"load_id": pa.int32(), "value": pa.int64()})
        write_deltalake(
            str(tmp_path / "t"),
            pa.Table.from_pylist(
                [dict(zip(schema.names, row, strict=True)) for row in rows], schema
            ).to_reader(),
            mode="overwrite",
            predicate=publication.predicate("load_id", publication.spans(units)) if step else None,
            target_file_size=1 << 10,
            writer_properties=publication._properties("load_id"),
            commit_properties=publication._on_top(),
        )
        if rng.random() < 0.2:
            DeltaTable(str(tmp_path / "t")).optimize.compact(target_size=1 << 12)
        found = DeltaTable(str(tmp_path / "t")).to_pyarrow_table().to_pylist()
        expected = [(unit + 2, value) for unit, values in model.items() for value in values]
        assert sorted((row["load_id"], row["value"]) for row in found) == sorted(expected), step
