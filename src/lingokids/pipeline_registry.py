"""The pipelines by the names that ``kedro run --pipeline`` knows."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from lingokids.pipelines import (
    analytics,
    checks,
    enrichment,
    ingestion,
    marts,
    publication,
    replay,
    reporting,
    restore,
    staging,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Each pipeline alone; and as the default all that bring the tables up to date.

    A replay takes the place of the ingestion, and brings them up to date as well. After its
    commit a whole run publishes too: see ``runtime.hooks``.
    """
    after_bronze = {
        "staging": staging.create_pipeline(),
        "enrichment": enrichment.create_pipeline(),
        "marts": marts.create_pipeline(),
        "analytics": analytics.create_pipeline(),
    }
    ingested = ingestion.create_pipeline()
    return {
        "ingestion": ingested,
        **after_bronze,
        "publication": publication.create_pipeline(),
        "replay": sum(after_bronze.values(), replay.create_pipeline()),
        "reporting": reporting.create_pipeline(),
        "restore": restore.create_pipeline(),
        "checks": checks.create_pipeline(),
        "__default__": sum(after_bronze.values(), ingested),
    }
