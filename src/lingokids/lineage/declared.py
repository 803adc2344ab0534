"""What no expression says: Python that reads rows, and what changes tables besides nodes.

A node that gives no table expression and is not named here is taken to read every column.
"""

from __future__ import annotations

from lingokids import query
from lingokids.query import side_by_side

_SPLIT = ("subject", "name_1", "name_2")
_OF_ACTIVITY = (*_SPLIT, "week", "value_1")

#: By function, the columns that Python reads of an input; of one that is not named, all of them.
READS: dict[str, dict[str, tuple[str, ...]]] = {
    "measure_groups": {},
    "hide_groups": {"measured_groups": side_by_side.DECIDING},
    "select_latest_weeks": {
        "shown_groups": ("subject", "week"),
        "hidden_groups": ("subject", "week"),
    },
    "name_activities": {"latest_shown_groups": (*_SPLIT, "value_1")},
    "draw_weekly_completion": {
        "latest_shown_groups": (*_OF_ACTIVITY, "active_users", "completion_rate")
    },
    "draw_weekly_users": {"latest_shown_groups": (*_SPLIT, "week", "active_users")},
    "draw_most_played_by_count": {"latest_shown_groups": (*_OF_ACTIVITY, "activities_played")},
    "draw_most_played_by_time": {"latest_shown_groups": (*_OF_ACTIVITY, "capped_time_spent")},
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
CHOOSES_ROWS = frozenset({"hide_groups", "select_latest_weeks"})

#: Tables whose columns are metrics, computed again by the same definition.
METRICS_OF = {"measured_groups": tuple(name for names in query.SHARED.values() for name in names)}

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
