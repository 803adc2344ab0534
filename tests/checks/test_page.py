"""The page of a run's checks: what it shows, and that it opens without a network."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from browser import browse, lines_of_png, open_browser
from lingokids.checks import Example, Result
from lingokids.checks.report import page
from lingokids.schema import CONTRACTS, NotNull

RULES = {rule.name: rule for rule in CONTRACTS["stg_users"].rules}
MATCHES, UNIQUE = RULES["country_code_matches"], RULES["user_id_unique"]
EXAMPLE = Example({"user_id": "1"}, {"country_code": "<b>ES</b>"}, "2021-02-01/05/users.jsonl", 7)


def _page(*results: Result, trends=None) -> str:
    return page("2021-02-01T05.00.00.000Z", "Checked: whole tables.", results, trends or {})


def test_it_shows_rules_rows_trend_and_failing_rows_with_their_line():
    shown = _page(
        Result("stg_users", UNIQUE, "error", 395, 0, 0.02),
        Result("stg_users", MATCHES, "warn", 395, 12, 0.02, (EXAMPLE,)),
        trends={("stg_users", "country_code_matches"): [0, 3, 12]},
    )

    assert "<b>1</b>warned" in shown
    assert "<b>1</b>held" in shown
    assert "country_code is two lower-case letters, or unknown (1.0% of the rows may fail)" in shown
    assert "failed in the last runs: 0, 3, 12" in shown
    assert "1 of 12 failing" in shown
    assert "<td>2021-02-01/05/users.jsonl</td><td>7</td>" in shown


def test_what_needs_a_look_comes_first():
    shown = _page(
        Result("a", NotNull("x"), "error", 1, 0, 0.1),
        Result("b", NotNull("x"), "warn", 1, 1, 0.1),
        Result("c", NotNull("x"), "error", 1, 1, 0.1),
    )

    assert re.findall("<h2>(.)</h2>", shown) == ["c", "b", "a"]


def test_data_is_shown_as_text():
    shown = _page(Result("stg_users", MATCHES, "warn", 1, 1, 0.1, (EXAMPLE,)))

    assert "&lt;b&gt;ES&lt;/b&gt;" in shown
    assert "<b>ES</b>" not in shown


def test_it_needs_nothing_from_elsewhere():
    shown = _page(Result("stg_users", MATCHES, "warn", 1, 1, 0.1, (EXAMPLE,)))

    shown = shown.replace('href="../index.html"', "")  # the last runs, beside it
    assert not re.search("http|src=|href=|@import|url\\(|<script", shown)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_page_and_reports_fit_on_a_phone_and_are_readable_by_all(small, tmp_path, scheme, width):
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
    reports = small.folder / "08_reporting"
    with open_browser(tmp_path) as page:
        page.prefer(scheme)
        for file in reports / "index.html", *(reports / "checks").glob("*.html"):
            page.open(file.as_uri(), width, 900)
            page.wait_for("document.readyState === 'complete'")
            assert page.value("document.documentElement.scrollWidth") <= width, file.name
            page.value("document.querySelectorAll('details').forEach((each) => each.open = true)")
            page.value(axe)
            found = page.value("axe.run().then((found) => found.violations)")
            serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
            assert not serious, file.name
    assert file.parent.name == "checks"


@pytest.mark.browser
def test_a_run_leaves_a_page_that_a_browser_draws(sample_project, tmp_path):
    """Looked at offline: from its file alone."""
    (file,) = (sample_project.folder / "08_reporting" / "checks").iterdir()
    picture = tmp_path / "checks.png"

    drawn = browse(file.as_uri(), tmp_path, "--dump-dom")
    browse(file.as_uri(), tmp_path, f"--screenshot={picture}")

    assert "Checks of run" in drawn
    for name in ("stg_users", "activity_engagement_metrics", "rows_of_day_steady"):
        assert name in drawn
    size, different_lines = lines_of_png(picture)
    assert size == (1600, 1200)
    assert different_lines > 300  # a blank page has one
