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
    restore,
    staging,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Each pipeline alone; and as the default all that bring the tables up to date."""
    pipelines = {
        "ingestion": ingestion.create_pipeline(),
        "staging": staging.create_pipeline(),
        "enrichment": enrichment.create_pipeline(),
        "marts": marts.create_pipeline(),
        "analytics": analytics.create_pipeline(),
        "publication": publication.create_pipeline(),
    }
    return {
        **pipelines,
        "restore": restore.create_pipeline(),
        "checks": checks.create_pipeline(),
        "__default__": sum(pipelines.values(), Pipeline([])),
    }
