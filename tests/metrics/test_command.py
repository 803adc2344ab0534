"""The command answers in three formats, and refuses a wrong name in one sentence."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import date
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from builders import a_user_record, an_event_record, an_id
from conftest import ROOT
from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.metrics import DIMENSIONS, METRICS, SUBJECTS
from lingokids.metrics.glossary import glossary
from lingokids.query import Question, command
from operators import ask as give


def parse(**asked):
    nothing = {"metric": ("activities_played",), "by": (), "grain": None, "where": ()}
    return command.parse_question(
        nothing | {"since": None, "until": None, "top": None, "per": ()} | asked
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"metric": ()}, "No metric is given: name one of activities_played"),
        ({"metric": ("completion",)}, "no metric completion. Did you mean completion_rate?"),
        ({"by": ("contry_code",)}, "no dimension contry_code. Did you mean country_code?"),
        ({"where": ("os_nam=iOS",)}, "no dimension os_nam. Did you mean os_name?"),
        ({"where": ("os_name",)}, "write dimension=value, such as os_name=iOS"),
        (
            {"where": ("country_code=us,es",)},
            "write each value by itself, --where country_code=us --where country_code=es; either",
        ),
        ({"by": ("",)}, "by is '': a name is missing"),
        ({"metric": ("active_users,",)}, "metric is 'active_users,': a name is missing"),
        ({"top": 1, "by": ("os_name",), "per": (" ",)}, "per is ' ': a name is missing"),
        ({"grain": "weekly"}, "no grain weekly. Did you mean week?"),
        ({"grain": ""}, "There is no grain"),
        ({"since": "1/2/2021"}, "since is '1/2/2021': write a day as YYYY-MM-DD"),
        ({"since": "2021-01-02", "until": "2021-01-02"}, "not after since"),
        ({"top": 0}, "top is 0: write a whole number of rows, from 1 to 1,000,000."),
        ({"top": 10**20}, "top is 100000000000000000000: write a whole number of rows, from 1 to"),
        ({"top": 1, "per": ("os_name",)}, "per is os_name, which is not in by"),
        ({"by": ("os_name",), "per": ("os_name",)}, "give top as well"),
        ({"by": ("os_name", "os_name")}, "os_name is given twice"),
        (
            {"metric": ("retention_rate", "active_users")},
            "retention_rate is about retention, active_users about activity: ask for one after",
        ),
        (
            {"metric": ("trial_rate",), "by": ("os_name",)},
            "trial_rate is about registration, which has no dimension os_name (metrics about "
            "activity have it). Did you mean main_os_name? There are: country_code, main_os_name.",
        ),
    ],
)
def test_a_wrong_question_is_refused_in_a_sentence(asked, sentence):
    with pytest.raises(LingokidsError) as refused:
        parse(**asked)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_names_are_given_one_by_one_or_with_commas_between():
    asked = parse(metric=("activities_played,completion_rate", "active_users"), by=("os_name",))

    assert asked.metrics == ("activities_played", "completion_rate", "active_users")


def test_a_title_may_have_a_comma():
    asked = parse(where=("activity_name=One, two", "activity_name=Three"))

    assert asked.where == {"activity_name": ("One, two", "Three")}


def _play(project):
    """Eight users in the first week, of whom seven completed; one day of the next closes it."""
    users = [a_user_record(900 + n, country_code="fr" if n > 6 else "es") for n in range(1, 9)]
    project.deliver("users", "u", users)
    exits = [
        an_event_record(
            n + 10 * later,
            user_id=an_id(900 + n),
            occurred_at=f"2021-01-{'11' if later else '05'} 10:00:00",
            data={"activity_id": "fish", "duration": 0.1, "completed": n != 1},
        )
        for n in range(1, 9)
        for later in (0, 1)
    ]
    project.deliver("events", "e", exits)
    project.run()
    project.run("reporting")


@pytest.fixture
def played(project_after):
    """Six users in Spain, two in France."""
    return project_after("played", _play)


def places_of(project):
    return command.Places(project.folder / "lingokids-gold.duckdb", project.folder / "09_shared")


def ask(project, **asked):
    return command.ask_shared(places_of(project), parse(**{"grain": "week"} | asked))


def ask_restricted(project, **asked):
    return command.ask(places_of(project).copy, parse(**asked))


def test_an_answer_is_printed_as_table_csv_and_json(played):
    answer = ask(
        played,
        metric=("total_time_spent", "completion_rate"),
        where=("os_name=iOS",),
    )

    assert command.as_table(answer).splitlines() == [
        "week        total_time_spent  completion_rate",
        "----------  ----------------  ---------------",
        "2021-01-04             0.800           0.8750",
    ]
    (row,) = csv.DictReader(command.as_csv(answer).splitlines())
    assert row == {"week": "2021-01-04", "total_time_spent": "0.800", "completion_rate": "0.875"}
    assert json.loads(command.as_json(answer)) == {
        "rows": [{"week": "2021-01-04", "total_time_spent": 0.8, "completion_rate": 0.875}],
        "groups_not_shown": 0,
    }


TITLES = [
    "=1+2",
    "+1",
    "-1",
    "@a",
    "\ta",
    "\ra",
    "a\r\nb",
    'a,"b"',
    "a\x1b[2J\x9b\u202e",
    "Sí",
    None,
]
IN_CSV = ["'=1+2", "'+1", "'-1", "'@a", "'\ta", "'\ra", "a\r\nb", 'a,"b"']
IN_TABLE = ["=1+2", "+1", "-1", "@a", "\\ta", "\\ra", "a\\r\\nb", 'a,"b"']
SAID = ["a\\x1b[2J\\x9b\\u202e", "Sí", ""]


def test_a_title_is_a_text_in_every_format_and_a_number_a_number():
    numbers = [-0.5, Decimal("-1.250"), None]
    titles = pa.table({"title": TITLES, "n": [-1] * 11, "rate": [-0.5] * 11})
    answer = command.Answer(titles, 0, ())

    written = list(csv.DictReader(io.StringIO(command.as_csv(answer), newline="")))
    table = [line.rpartition("-1")[0].strip() for line in command.as_table(answer).splitlines()[2:]]

    assert [row["title"] for row in written] == IN_CSV + SAID
    assert {(row["n"], row["rate"]) for row in written} == {("-1", "-0.5")}
    assert table == IN_TABLE + SAID
    assert [row["title"] for row in json.loads(command.as_json(answer))["rows"]] == TITLES
    for form in command.FORMATS.values():
        assert not {"\x1b", "\x9b", "\u202e"} & set(form(answer))
    assert [command.as_csv(command.Answer(pa.table({"n": [n]}), 0, ())) for n in numbers] == [
        "n\n-0.5",
        "n\n-1.250",
        "n\n",
    ]


@pytest.mark.parametrize("written", command.FORMATS)
def test_small_groups_are_in_no_format(played, written):
    answer = ask(played, by=("country_code",))

    printed = command.FORMATS[written](answer)

    # two users in France; and Spain, or the total would tell
    assert "fr" not in printed.replace("from", "")
    assert answer.rows.num_rows == 0
    assert answer.hidden == 2
    assert "Hidden: 2 groups by country_code, of too few users" in answer.notes[0]


def test_a_filter_hides_what_a_split_hides(played):
    for country in ("es", "fr"):
        assert ask(played, where=(f"country_code={country}",)).rows.num_rows == 0


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ({"grain": None}, "of whole weeks that have closed: add --grain week"),
        ({"grain": "month"}, "add --grain week"),
        ({"grain": "day", "by": ("os_name",)}, "add --grain week"),
        ({"since": "2021-01-06"}, "since is 2021-01-06, within a week, and what is shared is"),
        ({"until": "2021-01-10"}, "write a Monday, such as 2021-01-04,"),
        ({"where": ("os_name=iOS", "os_name=Android")}, "add --by os_name,"),
        ({"by": ("os_version",)}, "name one or two of activity_id, activity_type, app_version"),
        ({"by": ("os_name", "app_version", "activity_type")}, "name one or two of"),
        ({"metric": ("stickiness",)}, "stickiness is not among what is shared: ask for"),
    ],
)
def test_what_is_not_shared_is_refused_in_a_sentence_with_its_cure(played, asked, cure):
    with pytest.raises(LingokidsError) as refused:
        ask(played, **asked)

    assert cure in str(refused.value)
    assert str(refused.value).endswith(
        "or add --restricted: any question and span, small groups included."
    )
    ask_restricted(played, **asked)


def test_days_of_closed_weeks_are_shared_unsplit(played):
    (row,) = ask(played, metric=("active_users",), grain="day").rows.to_pylist()

    assert row == {"day": date(2021, 1, 5), "active_users": 8}


def test_titles_come_beside_ids_and_the_greatest_first(played):
    answer = ask(played, by=("activity_id", "activity_name"), top=1)

    (row,) = answer.rows.to_pylist()
    assert row == {
        "week": date(2021, 1, 4),
        "activity_id": "fish",
        "activity_name": None,
        "activities_played": 8,
    }


@pytest.mark.slow
def test_a_late_event_is_in_the_restricted_answer_alone(played):
    before = ask(played, metric=("active_users", "activities_played"))
    late = an_event_record(99, user_id=an_id(999), occurred_at="2021-01-06 10:00:00")
    played.deliver("events", "late", [late])
    played.run()
    played.run("reporting")

    assert ask(played, metric=("active_users", "activities_played")) == before
    exact = ask_restricted(played, metric=("active_users",), grain="week").rows.to_pylist()
    assert [row["active_users"] for row in exact] == [9, 8]


def test_a_restricted_answer_has_small_groups(played):
    answer = ask_restricted(played, metric=("active_users",), by=("country_code",))

    assert answer.rows.to_pydict() == {"country_code": ["es", "fr"], "active_users": [6, 2]}


def test_a_value_that_does_not_occur_is_noted(played):
    where = ("os_name=ios",)
    for answer in (ask(played, where=where), ask_restricted(played, where=where)):
        assert answer.rows.num_rows == 0
        assert answer.notes[-1].endswith("users with os_name=ios. Did you mean iOS?")


def test_weeks_that_have_not_closed_are_noted(played):
    (note,) = ask(played, since="2021-01-11").notes

    assert note.startswith("Nothing to show of these weeks: uv run kedro run --pipeline reporting")


def test_days_without_activity_are_noted(played):
    (note,) = ask_restricted(played, since="2022-01-01").notes

    assert note == "Nothing to show: no users match these conditions on these days."


def test_what_another_environment_shares_is_refused(played, tmp_path):
    other = command.Places(tmp_path / "other-gold.duckdb", places_of(played).shared)

    with pytest.raises(LingokidsError, match=r"is made from \.\./lingokids-gold.duckdb, and this"):
        command.ask_shared(other, parse(grain="week"))


def test_a_copy_that_is_not_there_or_not_ours_is_said_to_be_so(tmp_path):
    copy = tmp_path / "gold.duckdb"
    with pytest.raises(LingokidsError, match=r"gold.duckdb is not there yet: uv run kedro run"):
        command.ask(copy, parse())
    copy.write_bytes(b"nonsense" * 1000)
    with pytest.raises(LingokidsError, match=r"gold.duckdb cannot be read"):
        command.ask(copy, parse())
    copy.unlink()
    duckdb.connect(str(copy)).close()
    with pytest.raises(LingokidsError, match=r"has no user_activity_daily yet"):
        command.ask(copy, parse())
    with pytest.raises(LingokidsError, match=r"has no user_journeys yet"):
        command.ask(copy, parse(metric=("trial_rate",)))


@pytest.mark.slow
def test_a_restricted_answer_does_not_wait_for_pandas(played):
    asked = f"""
import sys
from pathlib import Path
from lingokids.query import Question, command
answer = command.ask(Path({str(places_of(played).copy)!r}), Question(("active_users",)))
print(*answer.rows.to_pylist(), "pandas" in sys.modules)
"""
    answered = subprocess.run(
        [sys.executable, "-c", asked], cwd=played.folder, capture_output=True, text=True, check=True
    )

    assert answered.stdout == "{'active_users': 8} False\n"


@pytest.mark.slow
def test_the_command_answers_while_a_run_holds_the_warehouse(played):
    hold = f"import duckdb; con = duckdb.connect({str(played.database)!r}); print(1); input()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        asked = played.command(
            *("metrics", "-m", "active_users", "--by", "os_name", "--env", "test", "-f", "csv"),
            "--restricted",
        )
    finally:
        holder.communicate(b"\n")

    assert (asked.returncode, asked.stdout) == (0, "os_name,active_users\niOS,8\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-m", "completion"], "Error: There is no metric completion. Did you mean"),
        (["-m", "active_users", "--env", "tset"], "no environment tset. Did you mean test?"),
        (["-m", "active_users"], "parquet is not there yet: uv run kedro run --pipeline reporting"),
        (["-m", "active_users", "--restricted"], "duckdb is not there yet: uv run kedro run"),
    ],
)
def test_the_command_refuses_in_a_sentence_with_exit_code_1(project, arguments, sentence):
    refused = give(project, "metrics", *arguments)

    assert refused.exit_code == 1
    assert sentence in refused.stderr
    assert isinstance(refused.exception, SystemExit), "no traceback"


# --- the glossary -----------------------------------------------------------------------------


def test_the_page_of_the_glossary_is_what_the_command_prints():
    assert (ROOT / "src/lingokids/metrics/README.md").read_text() == glossary()


def test_a_metric_that_is_a_column_has_its_unit():
    for name, metric in METRICS.items():
        if name in schema.COLUMNS and schema.COLUMNS[name].unit:
            assert metric.unit == schema.COLUMNS[name].unit


def test_a_metric_says_all_that_a_reader_needs():
    for metric in METRICS.values():
        assert all((metric.formula, metric.unit, metric.owner, metric.caveat)), metric.name


def test_a_question_can_be_put_together_by_hand():
    assert Question(("active_users",), grain="week").period == ("week",)


def test_every_dimension_of_a_subject_is_defined():
    for subject in SUBJECTS:
        assert set(subject.dimensions) <= set(DIMENSIONS), subject.name


def test_a_dimension_that_is_a_number_is_filtered_by_its_text(played):
    answer = ask_restricted(
        played,
        metric=("cohort_users",),
        by=("weeks_after_registration",),
        where=("weeks_after_registration=0",),
    )

    assert answer.rows.to_pylist() == []
    assert "no users with weeks_after_registration=0" in answer.notes[-1]
