"""The dashboard in a browser: it fits, all can read it, it says what is shared."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import date, timedelta
from importlib import resources

import pyarrow as pa
import pytest

from browser import open_browser
from lingokids.metrics import METRICS
from lingokids.pipelines.reporting import page as dashboard
from lingokids.query.side_by_side import Suppression

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCREENS = [
    pytest.param(scheme, width, id=f"{scheme}-{width}")
    for scheme, width in itertools.product(("light", "dark"), (1440, 390))
]
VIEWS = (
    "",
    "#by=country_code&metric=total_time_spent",
    "#by=os_name&country_code=cd",
    "#grain=day&metric=active_users",
    "#country_code=gb&os_name=iOS",
)


@pytest.fixture
def page(tmp_path):
    """A browser's page."""
    with open_browser(tmp_path) as page:
        yield page


def address_of(project):
    return (project.folder / "09_shared" / "dashboard.html").as_uri()


# --- a quarter of many groups, with cohorts ---------------------------------------------------

COUNTRIES = ("gb", "us", "cd", "ba", "ae", "do", "pg", "st", "vc", "mx")
SYSTEMS = ("iOS", "Android", "A system with quite a long name")
LAST = date(2021, 3, 29)
WEEKS = [LAST - timedelta(weeks=ago) for ago in range(12, -1, -1)]
TITLES = {f"a{n}": f"The long and winding story of the otter, part {n}" for n in range(11)}


def _group(subject, week, *pairs, users=20, **values):
    """A group of made-up numbers; those of people are the users."""
    names = {f"name_{place}": name for place, (name, _) in enumerate(pairs, start=1)}
    given = {f"value_{place}": value for place, (_, value) in enumerate(pairs, start=1)}
    numbers = {
        name: users * (place + 3)
        for place, (name, metric) in enumerate(METRICS.items())
        if metric.subject.name == subject
    }
    completed = {"activities_played": 10 * users, "activities_completed": 7 * users - week.day}
    return {
        **dict.fromkeys(("name_1", "value_1", "name_2", "value_2")),
        **{"subject": subject, "week": week, "time_zone": "UTC", **names, **given},
        **dict.fromkeys(METRICS),
        **numbers,
        **{name: value for name, value in completed.items() if name in numbers},
        **values,
    }


def _quarter():
    for place, week in enumerate(WEEKS):
        yield _group("activity", week, active_users=1234 + place)
        for n in range(7):
            yield _group("activity", week, ("day", str(week + timedelta(days=n))), users=30 + n)
        for (n, country), system in itertools.product(enumerate(COUNTRIES), SYSTEMS):
            both = (("country_code", country), ("os_name", system))
            yield _group("activity", week, *both, users=40 - n + place)
            if system == "iOS":
                yield _group("activity", week, both[0], users=70 - 2 * n + place)
            if country == "gb":
                yield _group("activity", week, both[1], users=200 + n)
        for activity in TITLES:
            yield _group("activity", week, ("activity_id", activity), users=10)
    for place, week in enumerate(WEEKS[:9]):
        people = {"registered_users": 400, "trials_started": 100, "trials_converted": 25}
        yield _group("registration", week, **people, subscriptions_started=60 + place)
        for after in range(5):
            cohort = {"cohort_users": 400, "retained_users": 200 // (after + 1)}
            pair = ("weeks_after_registration", str(after))
            yield _group("retention", week, pair, **cohort)


@pytest.fixture
def quarter(tmp_path):
    """The address of a page of many weeks, groups and long names."""
    hidden = {"subject": "activity", "week": LAST, "name_1": "country_code", "name_2": None}
    hidden |= {"filter_name": None, "filter_value": None, "groups": 3}
    names = [{"activity_id": name, "activity_name": title} for name, title in TITLES.items()]
    platform = {"platform": "web", "average_completed_before": 1.5}
    text = dashboard.lay_out(
        Suppression(pa.Table.from_pylist([*_quarter()]), pa.Table.from_pylist([hidden])),
        pa.Table.from_pylist(names),
        {
            "q1": pa.table({"theme": ["Nature"], "completion_percentage": [68.75]}),
            "q2": pa.table({"price_tier": ["basic"], "average_time_spent": [241.78]}),
            "q3": pa.Table.from_pylist([platform | {"average_completed_after": 0.5}]),
        },
        {"run_id": "7", "started_at": "2021-04-05T06:07:08Z", "verdicts": {"held": 9, "failed": 1}},
        {"smallest_group": 5, "largest_share": 0.85},
    )
    path = tmp_path / "quarter.html"
    path.write_text(text)
    return path.as_uri()


# --- it fits, and is for all ------------------------------------------------------------------

#: Pairs of texts of the trend of which one covers a part of the other.
OVERLAPS = """
(() => {
  const covers = (one, other) => one.left < other.right && other.left < one.right
    && one.top < other.bottom && other.top < one.bottom;
  const boxes = [...document.querySelectorAll("#trend text")]
    .filter((one) => one.textContent && !one.closest("[aria-label=tip]"))
    .map((one) => [one.textContent, one.getBoundingClientRect()]);
  return boxes.flatMap(([text, one], place) => boxes.slice(place + 1)
    .filter(([, other]) => covers(one, other)).map(([other]) => [text, other]));
})()
"""
#: By how many pixels the trend, or a text of it, sticks out of its place.
BEYOND = """
(() => {
  const place = document.getElementById("trend").getBoundingClientRect();
  const drawn = [...document.querySelectorAll("#trend svg, #trend text")]
    .map((one) => one.getBoundingClientRect())
    .map((one) => [one.right - place.right, place.left - one.left, one.bottom - place.bottom]);
  return Math.max(...drawn.flat());
})()
"""
IS_DRAWN = "document.readyState === 'complete' && document.querySelector('#trend svg') !== null"
AXE = "axe.run().then((found) => found.violations)"


def look_at(page, address, width, height=900):
    page.open("about:blank", width, height)
    page.open(address, width, height)
    page.wait_for(IS_DRAWN)


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_every_view_fits_on_its_screen_and_is_readable_by_all(page, quarter, scheme, width):
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
    page.prefer(scheme)
    for view in VIEWS:
        look_at(page, quarter + view, width)
        assert page.value("document.documentElement.scrollWidth <= innerWidth"), view
        assert page.value(OVERLAPS) == [], view
        assert page.value(BEYOND) <= 0, view
        page.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.value("document.documentElement.scrollWidth <= innerWidth"), view
        page.value(axe)
        serious = [
            (each["id"], each["nodes"][0]["html"])
            for each in page.value(AXE)
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, view
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(245, 246, 251)", "dark": "rgb(16, 18, 29)"}[scheme]


@pytest.mark.parametrize("width", [1440, 390])
def test_a_trend_that_is_split_stays_in_its_place_without_a_resize(page, quarter, width):
    look_at(page, quarter, width)
    before = page.value("document.getElementById('trend').clientWidth")

    choose(page, by="country_code")

    assert page.value(BEYOND) <= 0
    place = "document.getElementById('trend')"
    drawn = page.value(f"Number({place}.querySelector('svg').getAttribute('width'))")
    assert drawn == page.value(f"{place}.clientWidth")
    assert drawn < before if width == 1440 else drawn == before


# --- what it says -----------------------------------------------------------------------------


def choose(page, **values):
    """Choose as a reader does, and wait until it is drawn."""
    for name, value in values.items():
        page.value(
            f"{{ const one = document.getElementById('{name}'); one.value = '{value}';"
            "one.dispatchEvent(new Event('change', {bubbles: true})); }"
        )
    page.wait_for("document.querySelector('#trend svg, #trend .empty') !== null")


def texts(page, what):
    return page.value(f"[...document.querySelectorAll('{what}')].map((one) => one.textContent)")


#: What is saved is kept as well.
KEEP = """
{
  const save = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (blob) => { window.kept = blob; return save(blob); };
}
"""


def csv_of(page, name):
    """The rows of the file that a button saves."""
    page.value(KEEP)
    page.value(f"document.querySelector('[data-csv={name}]').click()")
    text = page.value("window.kept.text()")
    return [*csv.DictReader(io.StringIO(text))]


def test_it_is_drawn_without_the_network(page, reported):
    look_at(page, address_of(reported), 1440)

    assert page.value("performance.getEntriesByType('resource').map((one) => one.name)") == []
    assert texts(page, "#trend-title, #headline-title") == [
        "Week of 18 Jan 2021",
        "Completion rate per week",
    ]
    assert texts(page, "#tiles strong") == ["295", "1,687", "69.1 %", "20.0 min"]
    assert "1 Jan 2021 to 24 Jan 2021, closed weeks. Days in UTC." in texts(page, "#span")[0]
    assert "rules hold" in texts(page, "#run")[0]
    assert texts(page, "#numbers tbody tr:first-child > *")[:2] == [
        "2020-12-28 (partial)",
        "73.7 %",
    ]
    assert "28 Dec 2020 is partial" in texts(page, "#trend-note")[0]


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ({"by": "country_code"}, ["--by", "country_code"]),
        (
            {"by": "os_name", "country_code": "es", "from": "2021-01-04", "to": "2021-01-11"},
            [
                *("--by", "os_name", "--where", "country_code=es"),
                *("--since", "2021-01-04", "--until", "2021-01-18"),
            ],
        ),
        (
            {"country_code": "es", "os_name": "iOS"},
            ["--where", "country_code=es", "--where", "os_name=iOS"],
        ),
    ],
    ids=["split", "filter, split and range", "two filters"],
)
def test_a_file_has_the_numbers_that_kedro_metrics_answers(page, reported, chosen, asked):
    look_at(page, address_of(reported), 1440)
    choose(page, **chosen)

    saved = csv_of(page, "numbers")

    keys = ("week", *([chosen["by"]] if "by" in chosen else []))
    names = [name for name in saved[0] if name not in keys]
    command = ["metrics", "--metric", ",".join(names), "--grain", "week", "--format", "csv"]
    answered = [*csv.DictReader(io.StringIO(reported.command(*command, *asked).stdout))]
    assert [[row[key] for key in keys] for row in saved] == [
        [row[key] for key in keys] for row in answered
    ]
    assert len(saved) > 2
    for ours, theirs in zip(saved, answered, strict=True):
        assert {name: float(ours[name]) for name in names} == {
            name: float(theirs[name]) for name in names
        }
    shown = texts(page, "#numbers tbody tr")
    assert len(shown) == len(saved)


def test_days_are_of_the_weeks_in_range(page, reported):
    look_at(page, address_of(reported), 1440)

    choose(page, grain="day", **{"from": "2021-01-04", "to": "2021-01-11"})

    days = [row["day"] for row in csv_of(page, "numbers")]
    assert (days[0], days[-1]) == ("2021-01-04", "2021-01-17")


def test_no_more_is_chosen_than_is_shared(page, reported):
    look_at(page, address_of(reported), 1440)

    choose(page, by="country_code", os_name="iOS")

    assert texts(page, "#trend-title") == ["Completion rate per week and country, only iOS"]
    can_be_chosen = "[...document.querySelectorAll('#only select')].filter((one) => !one.disabled)"
    assert page.value(f"{can_be_chosen}.map((one) => one.id)") == ["os_name"]
    assert page.value("document.getElementById('grain').options[1].disabled")
    choose(page, by="")
    assert len(page.value(f"{can_be_chosen}.map((one) => one.id)")) == 5


def test_a_view_is_in_its_address_and_what_is_not_offered_is_not_taken(page, reported):
    asked = "#metric=activities_played&by=os_name&grain=day&to=2021-01-17&to=2021-01-11"
    look_at(page, f"{address_of(reported)}{asked}&country_code=es&app_version=5.9", 1440)
    title = "Activities played per week and system, only Spain"
    assert texts(page, "#trend-title") == [title]
    assert texts(page, "#tiles strong")[:2] == ["59", "498"]

    choose(page, metric="active_users")
    assert page.value("location.hash").startswith("#metric=active_users&by=os_name")

    look_at(page, f"{address_of(reported)}#country_code=pl%27&by=nothing&metric=user_id", 1440)
    assert texts(page, "#trend-title") == ["Completion rate per week"]


def test_time_is_capped_unless_it_says_otherwise(page, reported):
    look_at(page, address_of(reported), 1440)
    most = csv_of(page, "by-time")
    command = ["metrics", "-m", "capped_time_spent", "--by", "activity_id", "--grain", "week"]
    command += ["--since", "2021-01-18", "--top", "10", "--format", "csv"]
    answered = csv.DictReader(io.StringIO(reported.command(*command).stdout))
    assert [(row["activity_id"], float(row["capped_time_spent"])) for row in most] == [
        (row["activity_id"], float(row["capped_time_spent"])) for row in answered
    ]
    assert {"activity_name": "Sing the otter"}.items() <= most[0].items()

    assert [text for text in texts(page, "#metric option") if "not capped" in text] == [
        *("Total time spent (not capped)", "Time per activity (not capped)"),
        "Time per user (not capped)",
    ]


def test_cohorts_are_drawn_as_a_funnel_and_by_week(page, quarter):
    look_at(page, quarter, 1440)

    assert texts(page, "#funnel-title") == ["Funnel, registered in the week of 1 Mar"]
    assert texts(page, "#funnel td.n") == ["400", "100 25 %", "25 6 %", "68 17 %"]
    assert texts(page, "#retention tbody tr:first-child > *") == [
        *("4 Jan", "400", "50.0 %", "25.0 %", "16.5 %", "12.5 %", "10.0 %"),
    ]
    assert csv_of(page, "cohorts")[0]["trial_conversion_rate"] == "0.25"

    choose(page, os_name="iOS")
    assert "The filter of system does not apply" in texts(page, "#funnel-note")[0]
    choose(page, country_code="gb")
    assert "No cohort of this span yet" in texts(page, "#funnel .empty")[0]


def test_it_is_used_by_the_keyboard_alone(page, quarter):
    look_at(page, quarter, 1440)
    page.press("Tab", "Tab")
    assert page.value("document.activeElement.id") == "metric"
    page.press("Tab", *"Cou")
    page.wait_for("document.getElementById('by').value === 'country_code'")
    assert texts(page, "#trend-title") == ["Completion rate per week and country"]

    page.value("document.querySelector('[data-csv=heat]').focus()")
    page.value(KEEP)
    page.press("Enter")
    assert page.value("window.kept.text()").startswith("week,country_code,completion_rate\n")


def test_a_value_is_a_text_also_in_a_file(page, reported, tmp_path):
    text = (reported.folder / "09_shared" / "dashboard.html").read_text()
    copy = tmp_path / "renamed.html"
    copy.write_text(text.replace('"Android"', '"=1+1<b>, \\"x\\""'))
    look_at(page, f"{copy.as_uri()}#by=os_name", 1440)

    assert csv_of(page, "numbers")[0]["os_name"] == '\'=1+1<b>, "x"'
    assert '=1+1<b>, "x"' in texts(page, "#trend-legend li")[0]
