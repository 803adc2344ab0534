"""Tables read outside a run: the file is held no longer than an answer takes."""

from __future__ import annotations

import duckdb
import pytest

from lingokids.errors import LingokidsError
from lingokids.storage.duckdb.warehouse import Warehouse


def test_batches_hold_every_row_and_not_the_file(sample_project):
    copy = sample_project.folder / "lingokids-gold.duckdb"
    events = Warehouse(sample_project.database, copy, None).reader().table("stg_events")

    batches = events.select("event_id").to_pyarrow_batches(chunk_size=1_000)

    with duckdb.connect(str(sample_project.database)) as writer:
        ids = writer.execute("SELECT event_id FROM stg_events").fetchall()
    read = list(batches)
    assert max(map(len, read)) <= 1_000 < len(ids)
    assert sorted(str(value) for batch in read for value in batch["event_id"]) == sorted(
        str(value) for (value,) in ids
    )


def test_a_damaged_file_is_not_passed_over_for_its_copy(sample_project, tmp_path):
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database")
    copy = sample_project.folder / "lingokids-gold.duckdb"
    assert copy.exists()

    with pytest.raises(LingokidsError, match=r"damaged\.duckdb cannot be opened"):
        Warehouse(damaged, copy, None).reader().list_tables()
