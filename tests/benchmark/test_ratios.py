"""What the project costs beside the hand-written script: a fifth more than was measured fails."""

from __future__ import annotations

import pytest

from comparison import compare
from deliveries import make_data, plan_of

# CPU to the script's at 1 M events, and the rest, as the benchmark's README states them.
FIRST_RUN = 1.55
ONE_MORE_DAY_OF_A_FIRST_RUN = 0.19
SIZE = 0.38
PEAK_GB = 1.06


@pytest.mark.alone
@pytest.mark.slow
def test_the_ratios_at_a_million_events_are_those_that_were_measured(tmp_path):
    plan = plan_of(events=1_000_000, objects=2_000)
    make_data(tmp_path, plan)

    once = compare(tmp_path, plan)
    # what else the machine does makes a measurement worse, never better
    measured = [once] if _is_as_it_was(once) else [once, _again(tmp_path, plan)]

    assert any(_is_as_it_was(one) for one in measured), measured


def _again(folder, plan):
    make_data(folder, plan)  # without what was added
    return compare(folder, plan)


def _is_as_it_was(measured):
    start = measured.start.cpu
    one_more_day = (measured.next_project.cpu - start) / (measured.project.cpu - start)
    return (
        measured.project.cpu / measured.script.cpu <= 1.2 * FIRST_RUN
        # short, so what else the machine does weighs more: it has varied by a third
        and one_more_day <= 1.4 * ONE_MORE_DAY_OF_A_FIRST_RUN
        and measured.project.memory <= 1.2 * PEAK_GB
        and measured.size <= 1.2 * SIZE
    )
