"""The types of parameters: what ``parameters.yml`` has, and what is refused in which sentence."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.cli.project import run

from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.runtime.configuration import ConfigLoader
from lingokids.schema.parameters import Group, Parameters
from lingokids.settings import CONFIG_LOADER_ARGS

BASE = (ROOT / "conf/base/parameters.yml").read_text()


@pytest.fixture
def read(tmp_path: Path):
    """Read the parameters as a run does: given as on the command line, and in a file."""

    def _read(given: str = "", in_file: str = "") -> Parameters:
        for environment, text in {"base": BASE, "local": in_file}.items():
            (tmp_path / environment).mkdir()
            (tmp_path / environment / "parameters.yml").write_text(text)
        arguments = run.make_context("run", ["--params", given]).params["params"]
        loader = OmegaConfigLoader(str(tmp_path), runtime_params=arguments, **CONFIG_LOADER_ARGS)
        return Parameters.read(loader["parameters"])

    return _read


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("windw.start=2021-01-01", "There is no parameter windw. Did you mean window? There are: "),
        (
            "window.begin=2021-01-01",
            "There is no parameter window.begin. There are: window.start, window.end, window.look",
        ),
        ("listing.sinc=2021-01-01", "no parameter listing.sinc. Did you mean listing.since?"),
        ("window=5", "window is a group of parameters: give one of window.start, window.end, "),
        ("window.start=01/02/2021", "window.start is '01/02/2021': write a day as YYYY-MM-DD."),
        ("window.start=2021-1-5", "window.start is '2021-1-5': write a day as YYYY-MM-DD."),
        ("window.end=20210105", "window.end is 20210105: write a day as YYYY-MM-DD."),
        ("window.end=2021-02-30", "window.end is '2021-02-30': write a day as YYYY-MM-DD."),
        (
            "window.start=2021-01-02,window.end=2021-01-02",
            "for one day write window.start=2021-01-02,window.end=2021-01-03.",
        ),
        (
            "window.lookback_days=-1",
            "window.lookback_days is -1: write a whole number of days, from 0 to 3,660.",
        ),
        ("window.lookback_days=3661", "write a whole number of days, from 0 to 3,660."),
        ("window.lookback_days=1.5", "write a whole number of days, from 0 to 3,660."),
        (
            "rebuild=all",
            "rebuild is 'all': write rebuild=bronze (silver and gold anew from bronze)",
        ),
        ("listing.since=May", "listing.since is 'May': write a day as YYYY-MM-DD."),
        ("rebuild=raw,listing.since=2021-01-02", "leave one of them out."),
        (
            "time_zone=America/Los_Angelos",
            "time_zone is 'America/Los_Angelos', and there is none of that name. Did you mean "
            "America/Los_Angeles? Write an IANA name, such as America/Los_Angeles.",
        ),
        ("time_zone=../UTC", "time_zone is '../UTC', and there is none of that name."),
        ("time_zone=2", "time_zone is 2: write the IANA name of a time zone, such as"),
        ("os_names=5", "os_names is 5: write spellings with the name to count them under, such as"),
        ("os_names.iOS=5", "os_names.iOS is 5: write spellings with the name to count them under"),
        ("duration_cap_seconds=0", "write a whole number of seconds, from 1 to 86,400."),
        ("duration_cap_seconds=86401", "write a whole number of seconds, from 1 to 86,400."),
        (
            "session_gap_minutes=1h",
            "session_gap_minutes is '1h': write a whole number of minutes, from 1 to 1,440.",
        ),
        ("session_gap_minutes=1441", "write a whole number of minutes, from 1 to 1,440."),
        ("smallest_group=0", "smallest_group is 0: write a whole number of users, from 1 to"),
        ("largest_share=1.5", "largest_share is 1.5: write a share above 0, up to 1."),
        (f"smallest_group={10**20}", "write a whole number of users, from 1 to 1,000,000."),
        (
            "reporting.weeks=0",
            "reporting.weeks is 0: write a whole number of weeks, from 1 to 522.",
        ),
        ("reporting.weeks=523", "write a whole number of weeks, from 1 to 522."),
        (
            "reporting.dimensions=activity_id",
            "reporting.dimensions is 'activity_id': write a list of names out of country_code, ",
        ),
        ("subscription_impact.month=May", "month is 'May': write a month as YYYY-MM."),
        ("subscription_impact.month=2025-1", "month is '2025-1': write a month as YYYY-MM."),
        ("subscription_impact.days=many", "days is 'many': write a whole number of days, from 0"),
        ("subscription_impact.days=3661", "write a whole number of days, from 0 to 3,660."),
        ("checks.table=stg_event", "checks.table is 'stg_event', and there is none of that name. "),
        ("checks.table=stg_event", "Did you mean stg_events? See src"),
        ("checks.table=5", "checks.table is 5: write the name of a table, or leave it out."),
        ("checks.rule=unique", "checks.rule is 'unique', and there is none of that name. Did you"),
        (
            "checks.table=stg_users,checks.rule=rate_of_counts",
            "stg_users has no such rule: it is one of activity_engagement_metrics. Name one of",
        ),
        (
            "checks.rule=rate_of_counts,"
            "checks.severities.activity_engagement_metrics.rate_of_counts=off",
            "checks.severities turns off all that is asked for (rate_of_counts)",
        ),
        ("checks.now=today", "checks.now is 'today': write a UTC instant as YYYY-MM-DDTHH:MM:SS."),
        ("checks.now=2021-02-01T12:00:00+01:00", "write a UTC instant as YYYY-MM-DDTHH:MM:SS."),
        ("checks.most_deviation=0", "checks.most_deviation is 0: write a number above 0."),
        ("checks.most_deviation=nan", "write a number above 0."),
        (
            "checks.known_keys.event.experiment=object",
            "A dataset in checks.known_keys is 'event', and there is none of that name. Did you "
            "mean events?",
        ),
        (
            "checks.severities.stg_users.x=warn",
            "A name in checks.severities is 'stg_users.x', and there is none of that name.",
        ),
        (
            "checks.severities.stg_users.schema_kept=bad",
            "checks.severities.stg_users.schema_kept is 'bad': write rules with one of error, warn",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_in_a_sentence(read, given, sentence):
    with pytest.raises(LingokidsError) as refused:
        read(given)

    assert sentence in refused.value.message


@pytest.mark.parametrize(
    "written",
    [
        "windw: {start: 2021-01-01}",
        "window: {start: 2021-01-01 00:00:00}",
        "window: {lookback_days: true}",
        "window: {lookback_days: null}",
        "window: {lookback_days: '3'}",
        "window: null",
        "rebuild: false",
        "os_names: {5: iOS}",
        "duration_cap_seconds: '3600'",
        "session_gap_minutes: 30.0",
        "smallest_group: true",
        "smallest_group: five",
        "smallest_group: null",
        "reporting: {weeks: true}",
        "reporting: {dimensions: []}",
        "reporting: {dimensions: [os_name, os_name]}",
        "subscription_impact: {month: 202501}",
        "subscription_impact: {days: true}",
        "checks: {most_deviation: '8'}",
        "checks: {most_deviation: true}",
        "checks: {severities: {stg_users.schema_kept: true}}",
    ],
)
def test_no_type_or_name_in_a_file_stands_for_another(read, written):
    (name,) = yaml.safe_load(written)

    with pytest.raises(LingokidsError, match=name):
        read(in_file=written)


def test_what_is_given_is_read_as_what_it_means(read):
    given = read(
        "window.start=2021-01-05,rebuild=bronze,os_names.iPhone OS=iOS,"
        "reporting.dimensions=os_name,checks.now=2021-02-01T12:00:00,checks.severities.stg_users.schema_kept=off",
        in_file="""
            listing: {since: 2021-01-02}
            checks: {severities: {stg_events.schema_kept: off}}
        """,
    )

    assert given.window.start == date(2021, 1, 5)
    assert given.listing.since == date(2021, 1, 2)
    assert given.rebuild == "bronze"
    assert given.os_names == {"iPhone OS": "iOS"}
    assert given.reporting.dimensions == ["os_name"]
    assert given.checks.now == datetime(2021, 2, 1, 12)
    assert given.checks.severities == {
        "stg_users.schema_kept": "off",
        "stg_events.schema_kept": "off",
    }


def test_the_file_has_every_parameter(read):
    def missing(group: Group) -> set[str]:
        inner = [missing(value) for _, value in group if isinstance(value, Group)]
        return set(type(group).model_fields) - group.model_fields_set | set().union(*inner)

    assert missing(read()) == set()


def test_a_parameter_that_the_file_lacks_is_named():
    parameters = yaml.safe_load(BASE)
    del parameters["reporting"]["weeks"]

    with pytest.raises(LingokidsError, match=r"reporting\.weeks is not given"):
        Parameters.read(parameters)


def test_a_process_that_stays_reads_what_changed_of_its_configuration(tmp_path, monkeypatch):
    parameters, overlay = (tmp_path / name / "parameters.yml" for name in ("base", "local"))
    for file in parameters, overlay:
        file.parent.mkdir()
    parameters.write_text("days: ${oc.decode:${oc.env:LINGOKIDS_DAYS,'[1]'}}")

    def days(**given):
        read = ConfigLoader(str(tmp_path), None, given, **CONFIG_LOADER_ARGS)["parameters"]["days"]
        read.append("by its reader")  # what one reader does to it is not seen by the next
        return read[0]

    assert (days(), days(days=[2]), days()) == (1, 2, 1)
    monkeypatch.setenv("LINGOKIDS_DAYS", "[5]")
    assert days() == 5
    parameters.write_text("days: [3]")
    assert days() == 3
    overlay.write_text("days: [4]")
    assert days() == 4
    overlay.unlink()
    assert days() == 3
