"""What charts and the dashboard may show, and the dashboard."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from lingokids import metrics, query, schema
from lingokids.pipelines.reporting import page
from lingokids.query.side_by_side import Suppression
from lingokids.schema.parameters import Reporting

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
else:
    Figure = Any  # Kedro reads the hints of all nodes on each run, which must not load plotly


def measure_groups(
    user_activity_daily: ir.Table, reporting: Reporting, smallest_group: int
) -> ir.Table:
    """Compute every answer behind charts and dashboard, hidden groups included.

    Grain: one row per answer and group.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        reporting: ``weeks``, the number of latest weeks to show; ``dimensions``, what the dashboard
            groups and filters by.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        See ``query.measure_side_by_side``: never store it.
    """
    day = user_activity_daily["date"].epoch_days()
    last_days = user_activity_daily.group_by("user_id").aggregate(day=day.max())
    weeks_ago = metrics.weeks_between(day, metrics.last_shared_day(last_days))
    recent = user_activity_daily.filter(weeks_ago.between(0, reporting.weeks - 1))
    return query.measure_side_by_side(recent, _answers(reporting.dimensions), smallest_group)


def _answers(dimensions: list[str]) -> list[tuple[str, ...]]:
    """The splits that the dashboard offers.

    By day there is a split or a filter, not both: almost all such groups are small, and fewer
    answers reveal less together.
    """
    single = [(), *((name,) for name in dimensions)]
    pairs = list(itertools.combinations(dimensions, 2))
    country = {"country_code"} - set(dimensions)  # a chart needs it
    return [
        *single,
        *pairs,
        *(("week", *split) for split in (*single, *pairs, *((name,) for name in country))),
        *(("day", *split) for split in single),
        *(("activity_id", *split) for split in single),
    ]


def hide_groups(measured_groups: pa.Table, smallest_group: int) -> Suppression:
    """Drop hidden groups, and those that would reveal one across answers.

    Args:
        measured_groups: ``measure_groups``, executed.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        The groups that may be shown, and the number of hidden ones.
    """
    return query.hide_side_by_side(measured_groups, smallest_group)


def name_activities(user_activity_daily: ir.Table, shown_groups: pa.Table) -> ir.Table:
    """The titles of the activities that are shown.

    Grain: one row per activity_id.
    """
    shown = sorted({row["activity_id"] for row in query.rows_of(shown_groups, "activity_id")})
    titles = user_activity_daily.group_by("activity_id").aggregate(
        # an activity has one name: any aggregate that ignores NULL gives it
        activity_name=_.activity_name.max()
    )
    return titles.filter(_.activity_id.isin(shown)).order_by("activity_id")


def show_completion_rate(
    q1_completion_rate: ir.Table,
    activity_events: ir.Table,
    activities: ir.Table,
    smallest_group: int,
) -> ir.Table:
    """``Q1_COMPLETION_RATE`` without themes of too few users.

    Grain: one row per theme that is shown.

    Args:
        q1_completion_rate: ``Q1_COMPLETION_RATE``.
        activity_events: Events of the exercise, to count the users of a theme.
        activities: Their themes.
        smallest_group: Themes of fewer users are dropped.
    """
    played = activity_events.inner_join(activities, "activity_id")
    users = played.filter(_.event_type == "activity_exit").group_by("theme")
    counted = q1_completion_rate.left_join(users.aggregate(users=_.user_id.nunique()), "theme")
    counted = counted.mutate(users=_.users.fill_null(0))
    return _shown(counted, "theme", smallest_group).select(schema.Q1_COMPLETION_RATE.columns)


def show_price_tier_engagement(q2_price_tier_engagement: ir.Table, smallest_group: int) -> ir.Table:
    """``Q2_PRICE_TIER_ENGAGEMENT`` without price tiers of too few users.

    Grain: one row per price tier that is shown.
    """
    return _shown(q2_price_tier_engagement, "price_tier", smallest_group)


def show_subscription_impact(q3_subscription_impact: ir.Table, smallest_group: int) -> ir.Table:
    """``Q3_SUBSCRIPTION_IMPACT`` without platforms of too few subscribers.

    Grain: one row per platform that is shown.
    """
    counted = q3_subscription_impact.mutate(users=_.subscribers)
    return _shown(counted, "platform", smallest_group).drop("users")


def _shown(groups: ir.Table, key: str, smallest_group: int) -> ir.Table:
    marked = query.hide_small_groups(groups, (key,), smallest_group)
    return marked.filter(~_.is_hidden).drop("is_hidden").order_by(key)


def lay_out_dashboard(
    shown_groups: pa.Table,
    hidden_groups: pa.Table,
    activity_names: pa.Table,
    weekly_completion_chart: Figure,
    completion_rate_chart: Figure,
    price_tier_chart: Figure,
    subscription_impact_chart: Figure,
    smallest_group: int,
) -> str:
    """Render the dashboard: a self-contained HTML page with filters.

    Args:
        shown_groups: The groups that may be shown.
        hidden_groups: The number of hidden ones.
        activity_names: Titles of activities.
        weekly_completion_chart: Weekly completion rate by country.
        completion_rate_chart: The chart of q1.
        price_tier_chart: The chart of q2.
        subscription_impact_chart: The chart of q3.
        smallest_group: The parameter, for the notes.
    """
    return page.lay_out(
        shown_groups,
        hidden_groups,
        activity_names,
        {
            "weekly_completion": weekly_completion_chart,
            "q1": completion_rate_chart,
            "q2": price_tier_chart,
            "q3": subscription_impact_chart,
        },
        smallest_group,
    )
