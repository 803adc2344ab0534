"""What tests of checks share: a small warehouse that a run made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builders import a_user_record, an_activity_record, an_event_record

if TYPE_CHECKING:
    from conftest import Project


def take_in_two_events(project: Project) -> None:
    """Deliver two events of a known user and activity, and run once."""
    project.deliver("events", "a", [an_event_record(1), an_event_record(2)])
    project.deliver("users", "u", [a_user_record()])
    project.deliver("activities", "c", [an_activity_record()])
    project.run()


@pytest.fixture
def small(project_after) -> Project:
    """Two events of a known user and activity, taken in by one run."""
    return project_after("two-events", take_in_two_events)
