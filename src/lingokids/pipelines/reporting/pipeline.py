"""The reporting pipeline: gold to charts and a dashboard, run separately."""

from kedro.pipeline import Node, Pipeline

from lingokids.pipelines.reporting import charts, nodes


def create_pipeline() -> Pipeline:
    """Select what may be shown; draw the charts and the dashboard."""
    return Pipeline(
        [
            Node(
                func=nodes.measure_groups,
                inputs=[
                    "user_activity_daily",
                    "user_journeys",
                    "earlier_shown_groups",
                    "earlier_hidden_groups",
                    "params:reporting",
                    "params:time_zone",
                ],
                outputs="measured_groups",
                name="measure_groups",
            ),
            Node(
                func=nodes.hide_groups,
                inputs=[
                    "measured_groups",
                    "earlier_shown_groups",
                    "earlier_hidden_groups",
                    "params:smallest_group",
                    "params:largest_share",
                    "params:time_zone",
                ],
                outputs=["shown_groups", "hidden_groups"],
                name="hide_groups",
            ),
            Node(
                func=nodes.select_latest_weeks,
                inputs=["shown_groups", "hidden_groups", "params:reporting"],
                outputs=["latest_shown_groups", "latest_hidden_groups"],
                name="select_latest_weeks",
            ),
            Node(
                func=nodes.name_activities,
                inputs=["user_activity_daily", "latest_shown_groups"],
                outputs="activity_names",
                name="name_activities",
            ),
            Node(
                func=nodes.show_completion_rate,
                inputs=[
                    "q1_completion_rate",
                    "activity_events",
                    "activities",
                    "params:smallest_group",
                    "params:largest_share",
                ],
                outputs="shown_completion_rate",
                name="show_completion_rate",
            ),
            Node(
                func=nodes.show_price_tier_engagement,
                inputs=[
                    "q2_price_tier_engagement",
                    "activity_events",
                    "activities",
                    "params:smallest_group",
                    "params:largest_share",
                ],
                outputs="shown_price_tier_engagement",
                name="show_price_tier_engagement",
            ),
            Node(
                func=nodes.show_subscription_impact,
                inputs=["q3_subscription_impact", "params:smallest_group"],
                outputs="shown_subscription_impact",
                name="show_subscription_impact",
            ),
            Node(
                func=charts.draw_weekly_completion,
                inputs="latest_shown_groups",
                outputs="weekly_completion_chart",
                name="draw_weekly_completion",
            ),
            Node(
                func=charts.draw_weekly_users,
                inputs="latest_shown_groups",
                outputs="weekly_users_chart",
                name="draw_weekly_users",
            ),
            Node(
                func=charts.draw_most_played_by_count,
                inputs=["latest_shown_groups", "activity_names"],
                outputs="most_played_by_count_chart",
                name="draw_most_played_by_count",
            ),
            Node(
                func=charts.draw_most_played_by_time,
                inputs=["latest_shown_groups", "activity_names"],
                outputs="most_played_by_time_chart",
                name="draw_most_played_by_time",
            ),
            Node(
                func=charts.draw_completion_rate,
                inputs="shown_completion_rate",
                outputs="completion_rate_chart",
                name="draw_completion_rate",
            ),
            Node(
                func=charts.draw_price_tier_engagement,
                inputs="shown_price_tier_engagement",
                outputs="price_tier_chart",
                name="draw_price_tier_engagement",
            ),
            Node(
                func=charts.draw_subscription_impact,
                inputs="shown_subscription_impact",
                outputs="subscription_impact_chart",
                name="draw_subscription_impact",
            ),
            Node(
                func=nodes.lay_out_dashboard,
                inputs=[
                    "latest_shown_groups",
                    "latest_hidden_groups",
                    "activity_names",
                    "shown_completion_rate",
                    "shown_price_tier_engagement",
                    "shown_subscription_impact",
                    "last_run",
                    "params:smallest_group",
                    "params:largest_share",
                ],
                outputs="dashboard",
                name="lay_out_dashboard",
            ),
        ]
    )
