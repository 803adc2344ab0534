"""What no expression says: Python that reads rows, and what changes tables besides nodes.

A node that gives no table expression and is not named here is taken to read every column.
"""

from __future__ import annotations

from lingokids import query

_NAMES, _VALUES = ("name_1", "name_2", "name_3"), ("value_1", "value_2", "value_3")

#: By function, the columns that Python reads of an input; of one that is not named, all of them.
READS: dict[str, dict[str, tuple[str, ...]]] = {
    "hide_groups": {"measured_groups": (*_NAMES, *_VALUES, "active_users", "is_hidden")},
    "name_activities": {"shown_groups": (*_NAMES, "value_1")},
    "draw_weekly_completion": {
        "shown_groups": (*_NAMES, "value_1", "value_2", "active_users", "completion_rate")
    },
    "draw_weekly_users": {"shown_groups": (*_NAMES, "value_1", "active_users")},
    "draw_most_played_by_count": {"shown_groups": (*_NAMES, "value_1", "activities_played")},
    "draw_most_played_by_time": {"shown_groups": (*_NAMES, "value_1", "total_time_spent")},
    "draw_completion_rate": {"shown_completion_rate": ("theme", "completion_percentage")},
    "draw_price_tier_engagement": {
        "shown_price_tier_engagement": ("price_tier", "average_time_spent")
    },
    "draw_subscription_impact": {
        "shown_subscription_impact": (
            *("platform", "average_completed_before", "average_completed_after"),
        )
    },
    "lay_out_dashboard": {},
}

#: Functions that choose rows: a column called like one of the input is a copy of it.
CHOOSES_ROWS = frozenset({"hide_groups"})

#: Tables whose columns are metrics, computed again by the same definition.
METRICS_OF = {"measured_groups": query.SHOWN}

#: Pipelines that bring back what was there: followed, their nodes would lead in circles.
RESTORING = frozenset({"replay", "restore"})

_GONE = "Rows that the node no longer gives are deleted."
#: By layer, what besides nodes changes its tables.
OUTSIDE = {
    "raw": "Which key of the JSON is which field is declared in schema/raw.py.",
    "bronze": "What privacy.not_kept names is dropped, or made a pseudonym; text expires; a replay "
    "moves lines here from quarantined_lines; a restore copies them from the lake; a new field is "
    "filled from rescued_values; a later version of an object ends is_current; load_id is the "
    "number of a run.",
    "silver": _GONE,
    "gold": _GONE,
    "published": "Files of rows that were replaced are removed.",
    "run": "Runs write it about themselves: no column of another table is in it.",
}
