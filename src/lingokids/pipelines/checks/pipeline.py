"""The checks pipeline: tables held to their contracts, without building anything."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.checks.nodes import find_due_checks


def create_pipeline() -> Pipeline:
    """What is to be checked; the run checks it before it ends."""
    return Pipeline(
        [
            Node(
                func=find_due_checks,
                inputs="params:checks",
                outputs="due_checks",
                name="find_due_checks",
            )
        ]
    )
