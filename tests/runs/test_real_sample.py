"""The real sample gives the predecessor's tables, value for value."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from conftest import REAL

pytestmark = pytest.mark.skipif(
    not REAL.exists(), reason="the real sample is not beside the project (shared/real)"
)


def _take_in(project):
    for dataset in ("events", "users", "activities"):
        shutil.copyfile(REAL / f"{dataset}.json", project.folder / "raw" / dataset / "all.json")
    for file in (REAL / "exercises").iterdir():
        shutil.copyfile(file, project.folder / "raw" / "exercises" / file.name)
    project.run()


@pytest.fixture
def real(project_after):
    return project_after("real", _take_in)


def _differences(project, ours: str, theirs: str) -> list[tuple]:
    with duckdb.connect(str(project.database), read_only=True) as con:
        return con.execute(
            f"(({ours}) EXCEPT ALL ({theirs})) UNION ALL (({theirs}) EXCEPT ALL ({ours}))"
        ).fetchall()


def test_the_real_sample_gives_the_predecessors_tables(real):
    # ours says 'none' and 'unknown' where theirs has '' and NULL; its rate is rounded to 3
    slices = "date, os_name, os_version, app_version, subscription_status"
    assert (
        _differences(
            real,
            f"""SELECT {slices}, country_code, nullif(activity_type, 'unknown'),
                nullif(collection_id, 'none'), activities_played,
                total_time_spent::DECIMAL(18, 3), round(completion_rate, 3)
                FROM activity_engagement_metrics""",
            f"""SELECT {slices}, country_code, activity_type, nullif(collection_id, ''),
                activities_played, round(total_time_spent, 3)::DECIMAL(18, 3), completion_rate
                FROM '{REAL}/expected_activity_engagement_metrics.parquet'""",
        )
        == []
    )
    # raw instants have milliseconds; one of theirs has 0.8 ms more than its raw line says
    columns = """event_id, user_id, activity_id, date_trunc('milliseconds', occurred_at),
        completed_flag, os_name, os_version,
        app_version, activity_type, country_code, subscription_status, date"""
    assert (
        _differences(
            real,
            f"""SELECT {columns}, duration_seconds, collection_id, activity_name, activity_subtype
                FROM intermediate_activity_events_enriched""",
            f"""SELECT {columns}, duration_seconds::VARCHAR::DECIMAL(12, 3),
                nullif(collection_id, ''), nullif(activity_name, ''), nullif(activity_subtype, '')
                FROM '{REAL}/expected_enriched_events.parquet'""",
        )
        == []
    )


def test_the_predecessors_queries_run_as_they_are(real):
    for table in (
        "activity_engagement_metrics",
        "q1_completion_rate",
        "q2_price_tier_engagement",
        "q3_subscription_impact",
    ):
        assert real.rows(f"SELECT * FROM main.{table} LIMIT 10")
