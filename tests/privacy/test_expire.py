"""What expires is told by a plan; raw objects go only where nothing needs them any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import ibis
import pytest

from builders import an_event_record
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.privacy.expire import Expiry, as_text
from lingokids.schema.parameters import Parameters

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)


def deliver(project, key: str, number: int, days: int) -> None:
    landed = TODAY - timedelta(days=days)
    event = an_event_record(number, occurred_at=f"{landed:%Y-%m-%d} 10:00:00.000")
    project.deliver("events", key, [event], f"{landed:%Y-%m-%d %H:%M:%S}")


def expire(project, *, remove_raw: bool = False) -> str:
    """What the command prints."""
    project.switch_to()
    expiry = Expiry(project.folder, "test")
    return "\n".join([as_text(expiry.plan()), *(expiry.remove_raw() if remove_raw else ())])


def raw(project) -> list[str]:
    return sorted(path.name for path in (project.folder / "raw" / "events").iterdir())


@pytest.fixture
def limited(project, monkeypatch):
    """A project that keeps raw objects for ten days; lines of events, if so limited."""

    read = Parameters.read.__func__

    def limit(events: int | None = None) -> None:
        def with_limits(cls, given):
            lines = {**given["retention"]["lines_days"], "events": events}
            own = given["retention"] | {"raw_days": 10, "lines_days": lines}
            return read(cls, given | {"retention": own})

        monkeypatch.setattr(Parameters, "read", classmethod(with_limits))

    limit()
    project.limit = limit
    return project


def test_the_plan_tells_what_goes_and_changes_nothing(limited):
    deliver(limited, "young", 1, 9)
    deliver(limited, "old", 2, 11)
    limited.run()
    before = limited.snapshot()

    told = expire(limited)

    assert "raw events           10 days           1 objects" in told
    assert "lines of events      for good          0 lines of 0 objects" in told
    assert raw(limited) == ["old", "young"]
    assert limited.snapshot() == before


def test_lines_may_be_kept_by_another_engine_than_runs_are(limited, monkeypatch):
    limited.deliver(
        "events", "old", b"no line\n", f"{TODAY - timedelta(days=11):%Y-%m-%d %H:%M:%S}"
    )
    limited.run()
    other, read = ibis.duckdb.connect(), Expiry._table

    def apart(expiry, contract):
        rows = read(expiry, contract)
        if contract in (schema.QUARANTINED_LINES, schema.RESCUED_VALUES):
            return other.create_table(contract.table_name, rows.to_pyarrow(), overwrite=True)
        return rows

    monkeypatch.setattr(Expiry, "_table", apart)

    assert "text of lines        30 days           0 lines" in expire(limited)


def test_raw_objects_go_that_ledger_and_lake_have(limited):
    deliver(limited, "old", 1, 11)
    deliver(limited, "young", 2, 9)
    limited.run()
    deliver(limited, "old-and-new-to-the-ledger", 3, 12)
    deliver(limited, "again", 4, 13)
    limited.run()
    deliver(limited, "again", 5, 12)
    deliver(limited, "never-taken-in", 6, 20)

    told = expire(limited, remove_raw=True)

    assert "2 of 2 objects were removed" in told
    assert "rebuild=raw is refused" in told
    assert raw(limited) == ["again", "never-taken-in", "young"]
    limited.run()
    stored = limited.table("stg_events")
    limited.run(rebuild="bronze")
    assert [row[:-1] for row in limited.table("stg_events")] == [row[:-1] for row in stored]
    with pytest.raises(Exception, match="rebuild=raw would lose 2 objects of events"):
        limited.run(rebuild="raw")


def test_without_a_lake_none_goes(limited):
    deliver(limited, "old", 1, 11)
    limited.run()
    (limited.folder / "02_bronze" / "publication.json").unlink()

    told = expire(limited, remove_raw=True)

    assert "0 of 0 objects were removed" in told
    assert raw(limited) == ["old"]


def test_one_whose_lines_are_forgotten_goes(limited):
    limited.limit(events=10)
    deliver(limited, "old", 1, 11)
    limited.run()

    told = expire(limited, remove_raw=True)

    assert "1 of 1 objects were removed" in told
    assert raw(limited) == []
    limited.run(rebuild="raw")  # nothing is lost that was not forgotten


def test_raw_is_kept_for_good_unless_said_otherwise(project):
    deliver(project, "old", 1, 1_000)
    project.run()

    with pytest.raises(LingokidsError, match="say for how many days, as retention"):
        expire(project, remove_raw=True)
    assert raw(project) == ["old"]
