"""See README.md beside this file for what the pipeline reads, makes and promises."""

from lingokids.pipelines.checks.pipeline import create_pipeline

__all__ = ["create_pipeline"]
