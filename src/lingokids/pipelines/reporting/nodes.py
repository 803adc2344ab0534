"""Reporting: what charts and the dashboard may show, and the dashboard.

Here: which answers are shown side by side, and the page they stand on. Elsewhere: who is too few to
be shown (``metrics``), how a chart is drawn (``charts``), how the page is laid out (``page``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from lingokids import metrics, query, schema
from lingokids.pipelines.reporting import page
from lingokids.query.side_by_side import Suppression
from lingokids.schema import parameters

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
else:
    Figure = Any  # Kedro reads the hints of all nodes on each run, which must not load plotly


def measure_groups(
    user_activity_daily: ir.Table, reporting: dict[str, Any], smallest_group: int
) -> ir.Table:
    """Work out every answer that charts and dashboard show, hidden groups too.

    Grain: one row per answer and group.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        reporting: ``weeks``, how many of the last ones are shown; ``dimensions``, what the
            dashboard splits and filters by.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        See ``query.measure_side_by_side``: to be kept nowhere.
    """
    weeks, dimensions = parameters.parse_reporting(reporting)
    last_day = user_activity_daily["date"].max()
    last_monday = metrics.GRAINS["week"].first_day(last_day)
    first_monday = (last_monday - ibis.interval(days=7 * (weeks - 1))).cast("date").as_scalar()
    recent = user_activity_daily.filter(_["date"] >= first_monday)
    return query.measure_side_by_side(recent, _answers(dimensions), smallest_group)


def _answers(dimensions: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The splits of the answers: what the filters of the dashboard can ask for.

    By day there is a split or a filter, not both: almost all of such groups are small, and the
    fewer answers stand side by side, the less they tell together.
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
    """Leave out what is hidden, or would tell what is hidden, if all of it is seen side by side.

    Args:
        measured_groups: ``measure_groups``, worked out.
        smallest_group: Groups of fewer users are hidden.

    Returns:
        The groups that may be shown, and how many may not.
    """
    return query.hide_side_by_side(measured_groups, smallest_group)


def name_activities(user_activity_daily: ir.Table, shown_groups: pa.Table) -> ir.Table:
    """The titles of the activities that are shown: one that a single child played is not.

    Grain: one row per activity_id.
    """
    shown = sorted({row["activity_id"] for row in query.rows_of(shown_groups, "activity_id")})
    titles = user_activity_daily.group_by("activity_id").aggregate(
        # an activity has one name, so any aggregate that ignores NULL finds it
        activity_name=_.activity_name.max()
    )
    return titles.filter(_.activity_id.isin(shown)).order_by("activity_id")


def show_completion_rate(
    q1_completion_rate: ir.Table,
    activity_events: ir.Table,
    activities: ir.Table,
    smallest_group: int,
) -> ir.Table:
    """The first answer, without themes that too few users played.

    Grain: one row per theme that is shown.

    Args:
        q1_completion_rate: ``Q1_COMPLETION_RATE``.
        activity_events: Events of the exercise: who is behind a theme.
        activities: Their themes.
        smallest_group: Themes of fewer users are not shown.
    """
    played = activity_events.inner_join(activities, "activity_id")
    users = played.filter(_.event_type == "activity_exit").group_by("theme")
    counted = q1_completion_rate.left_join(users.aggregate(users=_.user_id.nunique()), "theme")
    counted = counted.mutate(users=_.users.fill_null(0))
    return _shown(counted, "theme", smallest_group).select(schema.Q1_COMPLETION_RATE.columns)


def show_price_tier_engagement(q2_price_tier_engagement: ir.Table, smallest_group: int) -> ir.Table:
    """The second answer, without price tiers that too few users played.

    Grain: one row per price tier that is shown.
    """
    return _shown(q2_price_tier_engagement, "price_tier", smallest_group)


def show_subscription_impact(q3_subscription_impact: ir.Table, smallest_group: int) -> ir.Table:
    """The third answer, without platforms that too few users subscribed on.

    Grain: one row per platform that is shown.
    """
    counted = q3_subscription_impact.mutate(users=_.subscribers)
    return _shown(counted, "platform", smallest_group).drop("users")


def _shown(groups: ir.Table, key: str, smallest_group: int) -> ir.Table:
    judged = query.hide_small_groups(groups, (key,), smallest_group)
    return judged.filter(~_.is_hidden).drop("is_hidden").order_by(key)


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
    """One page with filters that needs no server and no network.

    Args:
        shown_groups: The groups that may be shown.
        hidden_groups: How many may not.
        activity_names: Titles of activities.
        weekly_completion_chart: Weekly completion rate by country.
        completion_rate_chart: The first answer.
        price_tier_chart: The second.
        subscription_impact_chart: The third.
        smallest_group: What the page says about who is not shown.

    Returns:
        The page, in HTML.
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
