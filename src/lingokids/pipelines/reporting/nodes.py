"""What charts and the dashboard may show, and the dashboard."""

from __future__ import annotations

import itertools
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _

from lingokids import metrics, query, schema
from lingokids.pipelines.reporting import page
from lingokids.query.side_by_side import Suppression
from lingokids.schema.parameters import Reporting


def measure_groups(
    user_activity_daily: ir.Table,
    user_journeys: ir.Table,
    earlier_shown_groups: pa.Table,
    earlier_hidden_groups: pa.Table,
    reporting: Reporting,
    time_zone: str,
) -> ir.Table:
    """Compute every answer about the weeks that have closed, small groups included.

    A week is closed once more than a few users have been active after it (a cohort's: so many weeks
    after it). What is shown of it is decided then, and stays: late events do not change it, so no
    two answers can be subtracted.

    Grain: one row per subject, week, answer and group.

    Args:
        user_activity_daily: ``USER_ACTIVITY_DAILY``.
        user_journeys: ``USER_JOURNEYS``.
        earlier_shown_groups: What was decided before: these weeks are not measured again.
        earlier_hidden_groups: The number of groups hidden then.
        reporting: ``weeks``, the number of latest closed weeks; ``dimensions``, what the dashboard
            groups and filters by.
        time_zone: The zone that days are counted in; where earlier weeks are another's, the week
            after them is left out.

    Returns:
        See ``query.measure_side_by_side``: never store it.
    """
    day = user_activity_daily["date"].epoch_days()
    last_days = user_activity_daily.group_by("user_id").aggregate(day=day.max())
    last_day = metrics.last_shared_day(last_days)
    earlier = earlier_shown_groups, earlier_hidden_groups
    measured = []
    for subject in metrics.SUBJECTS:
        of_people = subject.table_name == schema.USER_JOURNEYS.table_name
        rows = subject.rows(user_journeys if of_people else user_activity_daily)
        weeks_ago = metrics.weeks_between(rows["date"].epoch_days(), last_day)
        first = 1 + subject.settles_weeks
        closed = rows.filter(weeks_ago.between(first, first + reporting.weeks - 1))
        decided = query.weeks_of(*earlier, subject=subject)
        week = metrics.GRAINS["week"].first_day(closed["date"])
        if decided:
            closed = closed.filter(~week.isin(decided))
        if apart := query.first_week_apart(*earlier, subject=subject, time_zone=time_zone):
            closed = closed.filter(week >= apart)
        splits = _of_people(subject) if of_people else _answers(reporting.dimensions)
        measured.append(query.measure_side_by_side(closed, subject, splits))
    return ibis.union(*measured)


def _of_people(subject: metrics.Subject) -> list[tuple[str, ...]]:
    """The splits of a cohort; retention is always by the weeks after registration."""
    if "weeks_after_registration" in subject.dimensions:
        first, *others = subject.dimensions
        return [(first,), *((first, name) for name in others)]
    pairs = itertools.combinations(subject.dimensions, 2)
    return [(), *((name,) for name in subject.dimensions), *pairs]


def _answers(dimensions: list[str]) -> list[tuple[str, ...]]:
    """The splits of a week that the dashboard offers; its days are not split.

    Almost all groups of a day are small, and fewer answers reveal less together.
    """
    single = [(), *((name,) for name in dimensions)]
    country = {"country_code"} - set(dimensions)  # a chart needs it
    return [
        *single,
        *((name,) for name in country),
        *itertools.combinations(dimensions, 2),
        ("day",),
        *(("activity_id", *split) for split in single),
    ]


def hide_groups(
    measured_groups: pa.Table,
    earlier_shown_groups: pa.Table,
    earlier_hidden_groups: pa.Table,
    smallest_group: int,
    largest_share: float,
    time_zone: str,
) -> Suppression:
    """Drop small groups, and those that would reveal one; keep what was decided before.

    Args:
        measured_groups: ``measure_groups``, executed.
        earlier_shown_groups: What was decided before.
        earlier_hidden_groups: The number of groups hidden then.
        smallest_group: Groups of fewer users are hidden.
        largest_share: Groups are hidden of which one user has a larger share of any sum.
        time_zone: The zone that their days are counted in.

    Returns:
        The groups that may be shown, and the number of hidden ones.
    """
    decided = query.hide_side_by_side(measured_groups, smallest_group, largest_share)
    shown, hidden = (
        new.append_column("time_zone", pa.repeat(time_zone, new.num_rows)) for new in decided
    )
    return Suppression(
        pa.concat_tables([earlier_shown_groups, shown], promote_options="default"),
        pa.concat_tables([earlier_hidden_groups, hidden], promote_options="default"),
    )


def select_latest_weeks(
    shown_groups: pa.Table, hidden_groups: pa.Table, reporting: Reporting
) -> Suppression:
    """Keep what is drawn: of each subject the latest ``reporting.weeks``; the files have all."""
    is_drawn = pc.scalar(False)
    for subject in metrics.SUBJECTS:
        weeks = query.weeks_of(shown_groups, subject=subject)[-reporting.weeks :]
        latest = pc.field("week").isin(pa.array(weeks, pa.date32()))
        is_drawn |= (pc.field("subject") == subject.name) & latest
    return Suppression(shown_groups.filter(is_drawn), hidden_groups.filter(is_drawn))


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
    largest_share: float,
) -> ir.Table:
    """``Q1_COMPLETION_RATE`` without themes of too few users.

    Grain: one row per theme that is shown.

    Args:
        q1_completion_rate: ``Q1_COMPLETION_RATE``.
        activity_events: Events of the exercise, to count the users of a theme.
        activities: Their themes.
        smallest_group: Themes of fewer users are dropped.
        largest_share: Themes are dropped of which one user has a larger share.
    """
    users = _users_of("theme", activity_events, activities)
    counted = q1_completion_rate.left_join(users, "theme").mutate(users=_.users.fill_null(0))
    shown = query.hide_small_groups(counted, "theme", smallest_group, largest_share)
    return shown.select(schema.Q1_COMPLETION_RATE.columns)


def show_price_tier_engagement(
    q2_price_tier_engagement: ir.Table,
    activity_events: ir.Table,
    activities: ir.Table,
    smallest_group: int,
    largest_share: float,
) -> ir.Table:
    """``Q2_PRICE_TIER_ENGAGEMENT`` without price tiers of too few users.

    Grain: one row per price tier that is shown. The arguments are those of q1.
    """
    users = _users_of("price_tier", activity_events, activities).drop("users")
    counted = q2_price_tier_engagement.left_join(users, "price_tier")
    shown = query.hide_small_groups(counted, "price_tier", smallest_group, largest_share)
    return shown.select(schema.Q2_PRICE_TIER_ENGAGEMENT.columns)


def _users_of(key: str, activity_events: ir.Table, activities: ir.Table) -> ir.Table:
    """The number of users of each group, and the largest share that one of them has."""
    played = activity_events.inner_join(activities, "activity_id")
    exits = played.filter(_.event_type == "activity_exit")
    of_users = exits.group_by(key, "user_id").aggregate(
        played=_.count(), completed=_.completed.sum(), seconds=_.duration_seconds.sum()
    )
    summed = ("played", "completed", "seconds")
    shares = [(_[name].max() / _[name].sum().nullif(0)).fill_null(0) for name in summed]
    return of_users.group_by(key).aggregate(
        users=_.user_id.nunique(), largest_part=ibis.greatest(*shares)
    )


def show_subscription_impact(q3_subscription_impact: ir.Table, smallest_group: int) -> ir.Table:
    """``Q3_SUBSCRIPTION_IMPACT`` without platforms of too few subscribers.

    Grain: one row per platform that is shown.
    """
    counted = q3_subscription_impact.mutate(users=_.subscribers, largest_part=0.0)
    shown = query.hide_small_groups(counted, "platform", smallest_group, largest_share=1.0)
    return shown.select(schema.Q3_SUBSCRIPTION_IMPACT.columns)


def lay_out_dashboard(
    latest_shown_groups: pa.Table,
    latest_hidden_groups: pa.Table,
    activity_names: pa.Table,
    shown_completion_rate: pa.Table,
    shown_price_tier_engagement: pa.Table,
    shown_subscription_impact: pa.Table,
    last_run: dict[str, Any],
    smallest_group: int,
    largest_share: float,
) -> str:
    """Render the dashboard: a self-contained HTML page with filters.

    Args:
        latest_shown_groups: The groups that may be shown, of the weeks to draw.
        latest_hidden_groups: The number of hidden ones.
        activity_names: Titles of activities.
        shown_completion_rate: The answer to q1.
        shown_price_tier_engagement: The answer to q2.
        shown_subscription_impact: The answer to q3.
        last_run: The run that the page is of, and what its checks found.
        smallest_group: The parameter, for the notes.
        largest_share: The parameter, for the notes.
    """
    return page.lay_out(
        Suppression(latest_shown_groups, latest_hidden_groups),
        activity_names,
        {
            "q1": shown_completion_rate,
            "q2": shown_price_tier_engagement,
            "q3": shown_subscription_impact,
        },
        last_run,
        {"smallest_group": smallest_group, "largest_share": largest_share},
    )
