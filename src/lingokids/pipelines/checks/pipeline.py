"""The checks pipeline: check the contracts of all tables without building any."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.checks.nodes import find_due_checks


def create_pipeline() -> Pipeline:
    """List the rules to check; the run checks them before it ends."""
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
