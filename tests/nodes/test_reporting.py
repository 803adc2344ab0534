"""What charts and the dashboard may show, and that values stay values."""

from __future__ import annotations

import json
from datetime import date
from functools import cache

import ibis
import pyarrow as pa
import pytest

from builders import an_id, table_of
from lingokids import schema
from lingokids.metrics import METRICS
from lingokids.pipelines.reporting import charts
from lingokids.pipelines.reporting.nodes import (
    hide_groups,
    lay_out_dashboard,
    measure_groups,
    name_activities,
    select_latest_weeks,
    show_completion_rate,
    show_price_tier_engagement,
    show_subscription_impact,
)
from lingokids.schema.parameters import Reporting

FEWEST = 3
REPORTING = Reporting(weeks=2, dimensions=["country_code", "os_name"])
NOTHING = pa.table({})
EVIL = "</script><b onclick=alert(1)>&"


def a_play(user=1, **values):
    return {
        "date": "2021-01-05",
        "country_code": "es",
        "os_name": "iOS",
        "os_version": "14",
        "app_version": "5.9",
        "subscription_status": "free",
        "activity_type": "song",
        "collection_id": "none",
        "activity_id": "fish",
        "user_id": an_id(user),
        "activity_name": "Fish",
        "activities_played": 1,
        "activities_completed": 1,
        "total_time_spent": "10.000",
    } | values


def measured(*plays):
    backend = ibis.duckdb.connect()
    backend.create_table("days", table_of(schema.USER_ACTIVITY_DAILY, *plays))
    backend.create_table("journeys", schema=schema.USER_JOURNEYS.nullable_schema)
    return backend.con.execute(_query()).to_arrow_table()


@cache  # seconds, for so many splits
def _query():
    days = ibis.table(schema.USER_ACTIVITY_DAILY.schema, name="days")
    journeys = ibis.table(schema.USER_JOURNEYS.schema, name="journeys")
    return ibis.to_sql(
        measure_groups(days, journeys, NOTHING, NOTHING, REPORTING, "UTC"), dialect="duckdb"
    )


def shown_of(*plays):
    answers = hide_groups(measured(*plays), NOTHING, NOTHING, FEWEST, 0.85, "UTC")
    days = table_of(schema.USER_ACTIVITY_DAILY, *plays)
    return answers, ibis.duckdb.connect().to_pyarrow(name_activities(days, answers.shown))


def weeks_of(*plays):
    return {str(row["week"]) for row in measured(*plays).to_pylist()}


def in_the_next_week(users=5):
    """So many users after whom a week is closed."""
    return [a_play(user, date="2021-01-18", activity_id="other") for user in range(users)]


@pytest.mark.slow
def test_only_the_last_closed_weeks_are_measured():
    days = ("2021-01-03", "2021-01-04", "2021-01-17", "2021-01-18")
    plays = [a_play(user, date=day) for user in range(4) for day in days]

    assert weeks_of(*plays) == {"2021-01-04", "2021-01-11"}


@pytest.mark.slow
def test_a_week_is_not_closed_by_a_tablet_whose_clock_is_ahead_nor_by_its_own_sunday():
    plays = [a_play(user, date="2021-01-10") for user in range(100)]

    assert weeks_of(*plays, a_play(100, date="2023-01-05")) == set()
    assert weeks_of(*plays, *in_the_next_week()) == {"2021-01-04"}


def test_a_week_of_which_nothing_is_shown_is_decided_once_too():
    plays = [a_play(), *in_the_next_week()]
    found = hide_groups(measured(*plays), NOTHING, NOTHING, FEWEST, 0.85, "UTC")
    days = table_of(schema.USER_ACTIVITY_DAILY, *plays, a_play(2), a_play(3), a_play(4))
    journeys = table_of(schema.USER_JOURNEYS)

    again = measure_groups(days, journeys, *found, REPORTING, "UTC")

    assert found.shown.num_rows == 0
    assert ibis.duckdb.connect().to_pyarrow(again).num_rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("is_before_zones", [True, False])
def test_no_hour_is_in_shared_weeks_of_two_time_zones(is_before_zones):
    """What two of them differ by would be the few users of these hours."""
    plays = [a_play(user) for user in range(4)] + in_the_next_week()
    found = hide_groups(measured(*plays), NOTHING, NOTHING, FEWEST, 0.85, "UTC")
    if is_before_zones:
        found = [groups.drop_columns("time_zone") for groups in found]
    later = ("2020-12-30", "2021-01-05", "2021-01-11", "2021-01-24", "2021-01-31", "2021-02-01")
    plays += [a_play(user, date=day) for user in range(4) for day in later]
    tables = (
        *(table_of(schema.USER_ACTIVITY_DAILY, *plays), table_of(schema.USER_JOURNEYS)),
        *found,
        REPORTING.model_copy(update={"weeks": 9}),
    )

    def weeks_in(zone):
        asked = measure_groups(*tables, zone)
        return {str(week) for week in ibis.duckdb.connect().to_pyarrow(asked)["week"].to_pylist()}

    assert weeks_in("UTC") == {"2020-12-28", "2021-01-11", "2021-01-18", "2021-01-25"}
    assert weeks_in("Etc/UTC") == weeks_in("UTC")
    assert weeks_in("Asia/Tokyo") == {"2021-01-18", "2021-01-25"}


def test_of_each_subject_the_latest_weeks_are_drawn():
    weeks = {"activity": ["2021-01-04", "2021-01-11", "2021-01-18"], "retention": ["2020-12-07"]}
    rows = [
        {"subject": subject, "week": date.fromisoformat(week)}
        for subject, each in weeks.items()
        for week in each
    ]
    groups = pa.Table.from_pylist(rows)

    drawn = select_latest_weeks(groups, groups.slice(0, 1), REPORTING)

    assert [str(row["week"]) for row in drawn.shown.to_pylist()] == [
        *("2021-01-11", "2021-01-18"),
        "2020-12-07",
    ]
    assert drawn.hidden.num_rows == 0


def test_every_filter_and_split_of_the_page_is_an_answer():
    found = measured(a_play(), *in_the_next_week()).to_pylist()

    assert {(row["name_1"], row["name_2"]) for row in found} == {
        *((name, None) for name in (None, "country_code", "os_name", "day", "activity_id")),
        *(("country_code", "os_name"), ("activity_id", "country_code"), ("activity_id", "os_name")),
    }


def test_a_theme_that_too_few_users_played_is_left_out_with_the_next_smallest(rows):
    answers = table_of(
        schema.Q1_COMPLETION_RATE,
        *(
            {"theme": theme, "activities_played": 9, "activities_completed": 3}
            for theme in ("few", "some", "many")
        ),
    )
    played = [("few", 2), ("some", 3), ("many", 8)]
    events = [
        {
            "event_id": f"{theme}-{user}",
            "user_id": str(user),
            "activity_id": theme,
            "event_type": "activity_exit",
            "completed": True,
            "duration_seconds": "1",
        }
        for theme, users in played
        for user in range(users)
    ]
    # entering an activity is no exit: it does not make a theme less small
    events.append(events[0] | {"event_id": "in", "user_id": "9", "event_type": "activity_enter"})
    activities = [{"activity_id": theme, "theme": theme} for theme, _ in played]

    found = rows(
        show_completion_rate(
            answers,
            table_of(schema.EXERCISE_EVENTS, *events),
            table_of(schema.EXERCISE_ACTIVITIES, *activities),
            FEWEST,
            0.85,
        )
    )

    assert [row["theme"] for row in found] == ["many"]
    assert list(found[0]) == list(schema.Q1_COMPLETION_RATE.columns)


@pytest.mark.parametrize(
    ("seconds", "shown"), [("1", ["basic", "plus"]), ("99", [])], ids=["even", "mostly one's"]
)
def test_price_tiers_are_left_out_by_their_users(rows, seconds, shown):
    tiers = [("basic", 3), ("plus", 4)]
    answers = [{"price_tier": tier, "users": users} for tier, users in tiers]
    events = [
        {"event_id": f"{tier}-{user}", "user_id": str(user), "activity_id": tier}
        | {"event_type": "activity_exit", "completed": True}
        | {"duration_seconds": seconds if (tier, user) == ("plus", 0) else "1"}
        for tier, users in tiers
        for user in range(users)
    ]
    activities = [{"activity_id": tier, "price_tier": tier} for tier, _ in tiers]

    found = rows(
        show_price_tier_engagement(
            table_of(schema.Q2_PRICE_TIER_ENGAGEMENT, *answers),
            table_of(schema.EXERCISE_EVENTS, *events),
            table_of(schema.EXERCISE_ACTIVITIES, *activities),
            FEWEST,
            0.85,
        )
    )

    assert [row["price_tier"] for row in found] == shown


def test_platforms_are_left_out_by_their_subscribers(rows):
    platforms = table_of(
        schema.Q3_SUBSCRIPTION_IMPACT,
        {"platform": "web", "subscribers": 2},
        {"platform": "droid", "subscribers": 4},
        {"platform": "ios", "subscribers": 5},
    )

    assert [row["platform"] for row in rows(show_subscription_impact(platforms, FEWEST))] == ["ios"]


def test_the_weekly_rates_are_drawn_and_a_hidden_one_is_a_gap():
    groups = [
        ("es", "2021-01-04", 9, 0.5),
        ("es", "2021-01-11", 8, 0.75),
        ("fr", "2021-01-11", 6, 1.0),
    ]
    keys = {"subject": "activity", "name_1": "country_code", "name_2": None, "value_2": None}
    shown = pa.Table.from_pylist(
        [
            keys
            | dict.fromkeys(METRICS, 0)
            | {"value_1": country, "week": week, "active_users": users, "completion_rate": rate}
            for country, week, users, rate in groups
        ]
    )

    (drawn,) = charts.draw_weekly_completion(shown).data

    assert list(drawn.x) == ["2021-01-04", "2021-01-11"]
    assert list(drawn.y) == ["fr", "es"]  # the one with most users is on top
    assert [list(line) for line in drawn.z] == [[None, 1.0], [0.5, 0.75]]
    assert [list(line) for line in drawn.text] == [["", "100%"], ["50%", "75%"]]


@pytest.mark.slow
def test_values_are_escaped_in_labels_and_cannot_end_the_script():
    plays = [a_play(user, activity_name=EVIL, country_code=EVIL) for user in range(4)]
    plays += in_the_next_week()
    found, names = shown_of(*plays)
    figure = charts.draw_most_played_by_count(found.shown, names)

    assert list(figure.layout.yaxis.ticktext) == ["&lt;/script&gt;&lt;b onclick=alert(1)&gt;&amp;"]
    themes = pa.table({"theme": [EVIL], "completion_percentage": [50.0]})
    tiers = pa.table({"price_tier": [EVIL], "average_time_spent": [1.0]})
    platforms = table_of(schema.Q3_SUBSCRIPTION_IMPACT, {"platform": EVIL})
    run = {"run_id": "1", "started_at": "2021-02-01T00:00:00Z", "verdicts": {"held": 1}}
    page = lay_out_dashboard(
        *(found.shown, found.hidden, names, themes, tiers),
        *(ibis.duckdb.connect().to_pyarrow(platforms), run, FEWEST, 0.85),
    )
    assert EVIL not in page
    (embedded,) = [
        part.split("</script>")[0]
        for part in page.split('<script type="application/json" id="content">')[1:]
    ]
    assert json.loads(embedded)["activities"] == {"fish": EVIL}


def test_an_answer_of_no_row_says_so(rows):
    empty = pa.table({"price_tier": pa.array([], pa.string()), "average_time_spent": []})

    figure = charts.draw_price_tier_engagement(empty)

    assert figure.layout.annotations[0].text == "Too few users to be shown"


def test_nothing_to_show_is_drawn_as_nothing():
    found, names = shown_of(a_play(), *in_the_next_week())

    assert found.shown.num_rows == 0
    for draw in (charts.draw_weekly_completion, charts.draw_weekly_users):
        draw(found.shown)
    charts.draw_most_played_by_time(found.shown, names)
