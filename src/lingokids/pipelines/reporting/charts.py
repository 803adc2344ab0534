"""The charts, as Plotly figures.

A new chart is a function here, a node in ``pipeline.py`` and an entry in ``catalog.yml``. Values
are escaped, because Plotly renders some HTML in labels.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lingokids import query

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
else:
    Figure = Any  # Kedro reads the hints of all nodes on each run, which must not load plotly

INK, MUTED, GRID = "#1f2440", "#6b7191", "#e8eaf3"
COLOURS = (
    *("#4f46e5", "#f97362", "#0ea5a4", "#f2b134"),
    *("#8b5cf6", "#2f86eb", "#d4549b", "#7a8b2a"),
)
_SCALE = [[0.0, "#fdeceb"], [0.5, "#c7c9f5"], [1.0, "#4338ca"]]
_MOST = 10


def draw_weekly_completion(latest_shown_groups: pa.Table) -> Figure:
    """Completion rate by week and country; hidden groups are gaps."""
    rows = query.rows_of(latest_shown_groups, "country_code")
    weeks = sorted({row["week"] for row in rows})
    users = _total(rows, "country_code", "active_users")
    countries = sorted(users, key=lambda name: (users[name], name))  # the largest on top
    rates = {(row["country_code"], row["week"]): row["completion_rate"] for row in rows}
    cells = [[rates.get((country, week)) for week in weeks] for country in countries]
    figure = blank("Weekly completion rate by country")
    figure.add_heatmap(
        x=[str(week) for week in weeks],
        y=[escape(country, quote=False) for country in countries],
        z=cells,
        text=[["" if rate is None else f"{rate:.0%}" for rate in line] for line in cells],
        texttemplate="%{text}",
        hovertemplate="%{y}, week of %{x}: %{text}<extra></extra>",
        hoverongaps=False,
        colorscale=_SCALE,
        showscale=False,
        xgap=3,
        ygap=3,
    )
    figure.update_layout(plot_bgcolor=GRID)  # colour of hidden groups
    figure.update_xaxes(type="category", showgrid=False, title_text="week, from its Monday")
    figure.update_yaxes(type="category", showgrid=False, dtick=1)
    return figure


def draw_weekly_users(latest_shown_groups: pa.Table) -> Figure:
    """Active users by week."""
    rows = query.rows_of(latest_shown_groups)
    weeks = [str(row["week"]) for row in rows]
    figure = blank("Active users per week")
    figure.add_bar(x=weeks, y=[row["active_users"] for row in rows], marker_color=COLOURS[0])
    figure.update_xaxes(type="category", title_text="week, from its Monday")
    figure.update_yaxes(title_text="users")
    return figure


def draw_most_played_by_count(latest_shown_groups: pa.Table, activity_names: pa.Table) -> Figure:
    """The activities with most exits of the last week."""
    return _most_played(
        latest_shown_groups, activity_names, "activities_played", "Most played, by count", "exits"
    )


def draw_most_played_by_time(latest_shown_groups: pa.Table, activity_names: pa.Table) -> Figure:
    """The activities with most time of the last week, long exits up to the cap."""
    return _most_played(
        latest_shown_groups, activity_names, "capped_time_spent", "Most played, by time", "seconds"
    )


def draw_completion_rate(shown_completion_rate: pa.Table) -> Figure:
    """q1: exits completed, by theme."""
    return _bars(
        shown_completion_rate.to_pylist(),
        "Exits completed, by theme",
        "theme",
        {"completion_percentage": "completed"},
        "% of exits",
    )


def draw_price_tier_engagement(shown_price_tier_engagement: pa.Table) -> Figure:
    """q2: time per exit, by price tier."""
    return _bars(
        shown_price_tier_engagement.to_pylist(),
        "Seconds per exit, by price tier",
        "price_tier",
        {"average_time_spent": "time spent"},
        "seconds per exit",
    )


def draw_subscription_impact(shown_subscription_impact: pa.Table) -> Figure:
    """q3: exits completed per user, before and after subscribing."""
    return _bars(
        shown_subscription_impact.to_pylist(),
        "Exits completed per new subscriber",
        "platform",
        {"average_completed_before": "before", "average_completed_after": "after subscribing"},
        "exits per user",
    )


def _most_played(
    latest_shown_groups: pa.Table, activity_names: pa.Table, metric: str, title: str, unit: str
) -> Figure:
    names = {row["activity_id"]: row["activity_name"] for row in activity_names.to_pylist()}
    weeks = query.weeks_of(latest_shown_groups)
    rows = query.rows_of(latest_shown_groups, "activity_id")
    rows = [row for row in rows if row["week"] == weeks[-1]]
    rows = sorted(rows, key=lambda row: (-row[metric], row["activity_id"]))[:_MOST]
    ids = [row["activity_id"] for row in rows]
    figure = blank(f"{title}, week of {weeks[-1]}" if weeks else title)
    figure.add_bar(
        x=[float(row[metric]) for row in rows],
        y=ids,
        orientation="h",
        marker_color=COLOURS[0],
        hovertemplate="%{x:,.0f} " + unit + "<extra></extra>",
    )
    figure.update_xaxes(title_text=unit)
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        showgrid=False,
        tickvals=ids,  # several activities may share a title
        ticktext=[escape(names.get(name) or name, quote=False) for name in ids],
    )
    return figure


def _bars(
    rows: list[dict[str, Any]], title: str, key: str, columns: dict[str, str], unit: str
) -> Figure:
    """A bar for each row and column; without rows, a note."""
    figure = blank(title)
    for colour, (column, label) in zip(COLOURS, columns.items(), strict=False):
        values = [None if row[column] is None else float(row[column]) for row in rows]
        figure.add_bar(
            x=[escape(row[key], quote=False) for row in rows],
            y=values,
            name=label,
            marker_color=colour,
            text=["" if value is None else f"{value:,.2f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{text}<extra></extra>",
        )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(title_text=unit, rangemode="tozero")
    if not rows:
        figure.add_annotation(text="Too few users to be shown", showarrow=False)
    return figure


def _total(rows: list[dict[str, Any]], key: str, metric: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row[key]] = totals.get(row[key], 0) + row[metric]
    return totals


def blank(title: str) -> Figure:
    """An empty figure in the common style."""
    from plotly.graph_objects import Figure

    figure = Figure()
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "automargin": True,
        "ticks": "",
        "title": {"font": {"size": 12, "color": MUTED}, "standoff": 10},
    }
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0, "xref": "container", "pad": {"l": 4}, "font": {"size": 16}},
        font={"family": "system-ui, 'Segoe UI', Roboto, sans-serif", "color": INK, "size": 13},
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"t": 52, "r": 20, "b": 56, "l": 60},
        bargap=0.35,
        colorway=list(COLOURS),
        legend={"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0},
        xaxis=axis,
        yaxis=axis,
    )
    return figure
