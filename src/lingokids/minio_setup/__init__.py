"""Sets up a MinIO server: buckets, sample, and the pipeline's user.

It may be run again at any time and changes only what differs. It needs Python and the ``minio``
package alone, so that a container runs it as it is: ``python -m lingokids.minio_setup``.
``kedro lake init`` is the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lingokids.minio_setup.variables import VARIABLES, SetupError, Target

__all__ = ["VARIABLES", "SetupError", "Target", "initialise", "inspect"]


def initialise(
    variables: Mapping[str, str], sample: Path | None, *, patience: float = 10
) -> Iterator[str]:
    """Bring the server to what the project needs, step by step.

    Args:
        variables: The environment: ``VARIABLES``, and ``MINIO_CA_FILE`` where it is needed.
        sample: The folder with the raw folders ``events``, ``users`` and ``activities``; None
            delivers nothing.
        patience: Seconds to wait for the server.

    Yields:
        One line a step: what was done, or that nothing was to do.

    Raises:
        SetupError: It cannot be done; the message says why and what to do.
    """
    # runs ask this package which server is safe, and do not pay for the client that sets one up
    from lingokids.minio_setup.access import ensure_policy, ensure_user, refuse_other_ways_in
    from lingokids.minio_setup.buckets import deliver_sample, ensure_buckets
    from lingokids.minio_setup.server import connect, in_a_sentence

    if not 0 <= patience <= 3_600:
        raise SetupError(f"--wait is {patience}: write seconds, from 0 to 3,600.")
    target = Target.of(variables)
    with in_a_sentence(target):
        server = connect(target, patience)
        yield f"server: {target.endpoint} is ready"
        yield ensure_buckets(server)
        if sample is not None:
            yield from deliver_sample(server, sample)
        yield ensure_policy(server)
        yield ensure_user(server)
        refuse_other_ways_in(server)


def inspect(variables: Mapping[str, str]) -> str:
    """Compare the server with what the project needs; nothing is changed.

    Raises:
        SetupError: Something differs; the message says what to do.
    """
    from lingokids.minio_setup.access import refuse_another_policy, refuse_other_ways_in
    from lingokids.minio_setup.buckets import refuse_public_ones
    from lingokids.minio_setup.server import connect, in_a_sentence

    target = Target.of(variables)
    with in_a_sentence(target):
        server = connect(target, patience=0)
        refuse_another_policy(server)
        refuse_other_ways_in(server)
        refuse_public_ones(server)
    return f"{target.pipeline.user} may do what its policy says on {target.endpoint}, and no more"
