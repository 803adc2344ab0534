"""The data docs: every link leads somewhere, nothing of a person is in them, they can be read."""

from __future__ import annotations

import json
import re
import resource
import stat
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import urlopen

import duckdb
import jsonschema
import pytest

from browser import open_browser
from builders import a_user_record, an_activity_record, an_event_record, an_id
from lingokids import metrics, schema
from lingokids.docs import command, drawing
from lingokids.errors import LingokidsError
from operators import configure

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

SECRET = "someone@example.org"
PLACE = "objects-of-a-family"


def _document_a_run(project: Project) -> None:
    project.deliver("events", PLACE, [an_event_record(1), an_event_record(2, **{SECRET: SECRET})])
    project.deliver("events", "b", json.dumps({"event_id": SECRET}).encode())
    project.deliver("users", "u", [a_user_record()])
    project.deliver("activities", "c", [an_activity_record()])
    project.run()
    project.run("checks")
    command.build(project.folder, "test", None)


@pytest.fixture
def documented(project_after) -> Project:
    """Two events, an unusable line and an unknown key, taken in, checked and documented."""
    return project_after("documented", _document_a_run)


@pytest.fixture
def site(documented) -> Path:
    """The folder of its site."""
    return documented.folder / "09_shared" / "docs"


def document_in(site: Path):
    return json.loads((site / "catalog.json").read_text())


def keeps_its_schema(site: Path) -> bool:
    published = json.loads((site / "catalog.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(document_in(site), published)
    return True


def table_in(site: Path, name: str):
    return next(table for table in document_in(site)["tables"] if table["name"] == name)


class _Addresses(HTMLParser):
    """What a page links to, loads, and can be linked to by."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.links |= {of[name] for name in ("href", "src") if name in of}
        self.ids += [of["id"]] if "id" in of else []


# --- files ------------------------------------------------------------------------------------


def test_every_link_leads_to_a_page_and_a_place_on_it(site):
    pages = {
        path.relative_to(site).as_posix(): _Addresses(path.read_text())
        for path in site.rglob("*.html")
    }
    links = {
        urljoin(page, link)
        for page, found in pages.items()
        for link in found.links
        if not link.startswith("data:")
    }
    links |= set(re.findall(r'"([\w./-]+\.html[^"]*)"', (site / "search.js").read_text()))
    links |= set(re.findall(r'"page": "([^"]+)"', (site / "lineage.js").read_text()))
    assert len(links) > 1_000
    for link in links - {table["url"] for table in document_in(site)["tables"]}:
        scheme, place, path, _, fragment = urlsplit(link)
        assert not scheme, link
        assert not place, link
        assert (site / path).is_file(), link
        if fragment and path != "lineage.html":  # there it is what is drawn
            assert unquote(fragment) in pages[path].ids, link
    for page, found in pages.items():
        assert len(found.ids) == len({*found.ids}), page


def test_everyone_may_open_it_and_it_asks_the_network_for_nothing(site):
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.rglob("*.*")} == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (site, site.parent)} == {0o755}
    for path in site.rglob("*.html"):
        assert "default-src 'none'" in path.read_text(), path
    for path in (site / "site.css", site / "site.js"):
        addresses = {*re.findall(r"https?:[\w./]+", path.read_text())}
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_nothing_of_a_person_and_nothing_that_was_delivered_is_in_it(documented, site):
    assert documented.rows("SELECT count(*) FROM unknown_keys")[0][0] > 0
    text = "\n".join(path.read_text() for path in site.rglob("*.*"))
    masked = [name for name, column in schema.COLUMNS.items() if column.is_masked]
    delivered = {
        str(row[place])
        for table in ("bronze_events", "stg_events", "stg_users")
        for row in documented.table(table)
        for place, name in enumerate(schema.CONTRACTS[table].columns)
        if name in masked
    }
    assert {an_id(1), an_id(2)} < delivered
    assert not {word for word in (*delivered - {"None"}, SECRET, PLACE) if word in text}


def test_without_a_warehouse_it_is_of_contracts_lineage_and_parameters(project):
    configure(project, "parameters.yml", "time_zone: UTC", "time_zone: Asia/Kolkata")
    project.switch_to()

    site = command.build(project.folder, "test", None)

    assert keeps_its_schema(site)
    document = document_in(site)
    assert document["read_from"] == "none"
    assert not project.database.exists()
    assert {table["name"] for table in document["tables"]} > {*schema.STORED}
    assert {metric["name"] for metric in document["metrics"]} == {*metrics.METRICS}
    assert "there is no warehouse yet" in (site / "index.html").read_text()
    values = {each["name"]: each["value"] for each in document["parameters"]}
    assert (values["time_zone"], values["window.start"]) == ("Asia/Kolkata", None)
    assert "Asia/Kolkata" in (site / "parameters.html").read_text()


def test_it_says_what_the_warehouse_has_counted(documented, site):
    assert keeps_its_schema(site)
    document = document_in(site)

    counted = {table["name"]: table["rows"] for table in document["tables"] if table["grain"]}
    for name in ("bronze_events", "stg_events", "activity_engagement_metrics", "unknown_keys"):
        assert counted[name] == documented.rows(f"SELECT count(*) FROM {name}")[0][0] > 0
    assert counted["published_bronze_events"] is None
    (usable,) = (
        rule
        for rule in table_in(site, "ingested_objects")["rules"]
        if rule["name"] == "object_usable"
    )
    assert usable["last"]["verdict"] == "warned"
    assert usable["trend"] == [1, 1]
    (never_null,) = (
        rule for rule in table_in(site, "stg_events")["rules"] if rule["name"] == "date_not_null"
    )
    assert (never_null["each_run"], never_null["enforced"]) == (False, True)
    assert [each["reason"] for each in document["quarantine"]] == ["name is missing"]
    assert document["unknown_keys"] == [
        {"dataset": "events", "json_type": "text", "key": None, "count": 1, "lines": 1}
    ]
    assert [run["status"] for run in document["runs"]][-1] == "succeeded"
    assert all(each["is_stale"] for each in document["freshness"])


def test_each_table_has_the_sql_of_its_nodes(site):
    makers = {
        table["name"]: {node["name"]: node["sql"] for node in table["nodes"]}
        for table in document_in(site)["tables"]
    }
    staged = makers["stg_events"]["staging.stage_events"]
    assert 'FROM "bronze_events"' in staged
    assert '"(line)"' in makers["bronze_users"]["ingestion.ingest_users"]
    assert {*makers["ingested_objects"].values()} == {""}  # filed beside
    assert makers["weekly_users_chart"] == {"draw_weekly_users": ""}  # Python
    page = (site / "tables" / "stg_events.html").read_text()
    assert "FROM &#34;bronze_events&#34;" in page


@pytest.mark.slow
def test_docs_and_the_graph_of_kedro_viz_lead_to_each_other(project, tmp_path):
    project.switch_to()
    folder, built = tmp_path / "docs", tmp_path / "build"
    (built / "api" / "nodes").mkdir(parents=True)
    (built / "index.html").write_text("<html><body><div id='root'></div></body></html>")
    failed = {"status": "failed", "error": {"message": SECRET}}
    ended = {"nodes": {"a": failed}, "datasets": {"b": failed}, "pipeline": failed}
    (built / "api" / "run-status").write_text(json.dumps(ended))
    for name, place in ("d", project.folder / "raw"), ("e", tmp_path / "lake"):
        (built / "api" / "nodes" / name).write_text(json.dumps({"filepath": str(place)}))
    assert (
        "graph/" not in (command.build(project.folder, "test", folder) / "index.html").read_text()
    )

    command.build(project.folder, "test", folder, graph=built)
    command.build(project.folder, "test", folder)  # it stays

    assert 'href="graph/index.html"' in (folder / "index.html").read_text()
    page = (folder / "tables" / "stg_events.html").read_text()
    assert 'href="../graph/index.html?sn=stg_events"' in page
    assert "sn=" not in (folder / "tables" / "runs.html").read_text()  # no node makes it
    copied = (folder / "graph" / "index.html").read_text()
    assert copied.count('href="../index.html"') == 1
    assert stat.S_IMODE((folder / "graph").stat().st_mode) == 0o755

    status = json.loads((folder / "graph" / "api" / "run-status").read_text())
    nodes = folder / "graph" / "api" / "nodes"
    assert [json.loads((nodes / name).read_text()) for name in "de"] == [
        {"filepath": "raw"},
        {"filepath": "lake"},
    ]
    assert status["nodes"]["a"] == status["pipeline"] == {"status": "failed", "error": None}

    with pytest.raises(LingokidsError, match="kedro viz build"):
        command.build(project.folder, "test", folder, graph=tmp_path / "nothing")
    (built / "api" / "nodes" / "c").write_text('{"preview": {"data": []}, "preview_type": "x"}')
    with pytest.raises(LingokidsError, match="without --include-previews"):
        command.build(project.folder, "test", folder, graph=built)


@pytest.mark.slow
def test_while_a_run_holds_the_warehouse_the_published_copy_answers(documented, tmp_path):
    with duckdb.connect(str(documented.database)):
        site = command.build(documented.folder, "test", tmp_path / "docs")

    assert document_in(site)["read_from"] == "published copy"
    assert table_in(site, "activity_engagement_metrics")["rows"] > 0
    assert table_in(site, "bronze_events")["rows"] is None


@pytest.mark.slow
def test_a_build_into_the_same_folder_notes_and_keeps_what_changed_in_contracts(documented, site):
    (site / "tables" / "gone_by.html").write_text("")
    before = document_in(site)
    stored = next(table for table in before["tables"] if table["name"] == "stg_events")
    (duration,) = (each for each in stored["columns"] if each["name"] == "duration_seconds")
    duration["type"] = "float64"
    stored["columns"] = [each for each in stored["columns"] if each["name"] != "os_name"]
    (site / "catalog.json").write_text(json.dumps(before))

    for _build in range(2):
        command.build(documented.folder, "test", None)

    changes = [
        tuple(each[name] for name in ("table", "column", "was", "is"))
        for each in document_in(site)["changes"]
    ]
    assert changes == [
        ("stg_events", "duration_seconds", "float64, s", "decimal(12, 3), s"),
        ("stg_events", "os_name", None, "string, quasi-identifier"),
    ]
    assert "float64, s" in (site / "runs.html").read_text()
    assert not (site / "tables" / "gone_by.html").exists()


def test_a_folder_with_something_else_is_left_alone(project, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    project.switch_to()

    with pytest.raises(LingokidsError, match="name an empty folder as --output"):
        command.build(project.folder, "test", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_map_leads_past_what_it_does_not_show():
    reads = {"page": {"chart"}, "chart": {"answer", "chart"}, "answer": {"gold"}, "gold": {"raw"}}

    assert drawing.contracted(reads, ["raw", "gold", "page"]) == {
        "raw": set(),
        "gold": {"raw"},
        "page": {"gold"},
    }


@pytest.mark.slow
def test_the_command_serves_it_to_this_machine_and_ends_quietly(documented):
    arguments = ["docs", "build", "--serve", "--port", "0", "--env", "test"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "kedro", *arguments],
        cwd=documented.folder,
        env=documented.environment | {"BROWSER": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            said = iter(server.stdout.readline, "")
            address = next(line.split()[0] for line in said if line.startswith("http"))
            with urlopen(f"{address}tables/stg_events.html", timeout=10) as answer:
                page = answer.read().decode()
        finally:
            server.send_signal(2)
        rest = server.stdout.read()

    assert address.startswith("http://127.0.0.1:")
    assert "One row per event" in page
    assert rest == ""


@pytest.mark.alone
@pytest.mark.slow
def test_a_build_costs_less_than_three_seconds_more_than_its_start(sample_project):
    def cpu_seconds(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = sample_project.command(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stdout + done.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    start = min(cpu_seconds("contracts", "dictionary") for _ in range(2))
    assert any(cpu_seconds("docs", "build") - start <= 3 for _ in range(5))


# --- in a browser -----------------------------------------------------------------------------

PAGES = ("index.html", "lineage.html#stg_events.duration_seconds", "metrics.html", "rules.html")
PAGES += ("quality.html", "runs.html", "privacy.html", "parameters.html")
PAGES += ("tables/stg_events.html#duration_seconds", "tables/dashboard.html")


@pytest.fixture
def page(tmp_path):
    """A browser's page."""
    with open_browser(tmp_path) as page:
        yield page


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_every_page_fits_on_its_screen_and_is_readable_by_all(site, page, scheme, width):
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
    page.prefer(scheme)
    for name in PAGES:
        page.open("about:blank", width, 900)
        page.open(f"{site.as_uri()}/{name}", width, 900)
        page.wait_for("document.readyState === 'complete'")
        assert page.value("document.documentElement.scrollWidth") <= width, name
        narrow = "[...document.querySelectorAll('td')].filter((cell) => cell.offsetHeight > 900)"
        assert page.value(f"{narrow}.length") == 0, name  # a column of a letter or two
        page.value(axe)
        found = page.value("axe.run().then((found) => found.violations)")
        serious = [
            (each["id"], each["nodes"][0]["html"])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, name


@pytest.mark.browser
def test_a_column_is_found_by_the_keyboard_and_its_lineage_is_open(site, page):
    page.open(f"{site.as_uri()}/index.html", 1440, 900)
    page.wait_for("document.readyState === 'complete'")
    page.press("/", *"stg duration")
    page.wait_for("document.querySelectorAll('#site-found [role=option]').length > 0")
    page.press("ArrowDown", "ArrowUp", "Enter")
    page.wait_for("location.pathname.endsWith('/tables/stg_events.html')")

    opened = "document.getElementById('duration_seconds').querySelector('details[open]')"
    assert "raw_events.data.duration" in page.value(f"{opened}.innerText")


@pytest.mark.browser
def test_the_picture_follows_a_column_to_the_raw_json_and_each_of_its_columns(site, page):
    page.open(f"{site.as_uri()}/lineage.html#metrics.completion_rate", 1440, 900)
    cells = "[...document.querySelectorAll('#picture .cell')].map((each) => each.ariaLabel)"
    page.wait_for(f"{cells}.length > 5")
    drawn = page.value(cells)
    assert {"raw_events.data.completed", "stg_events.completed_flag"} < {*drawn}
    assert "metrics.completion_rate" in drawn

    page.value("document.querySelector('#picture [aria-label$=completed_flag]').focus()")
    page.press("Enter")
    chosen = "document.querySelector('#picture .chosen text')?.textContent"
    page.wait_for(f"{chosen} != 'completion_rate'")

    assert page.value("document.getElementById('of-column').value") == "completed_flag"
    assert "What decides" in page.value("document.getElementById('influence').innerText")
