"""The command answers in three formats, and refuses a wrong name in one sentence."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal

import duckdb
import ibis
import pyarrow as pa
import pytest

from builders import a_user_record, an_event_record, an_id
from conftest import ROOT
from lingokids import query, schema
from lingokids.errors import LingokidsError
from lingokids.metrics import DIMENSIONS, METRICS, SUBJECTS
from lingokids.metrics.glossary import glossary
from lingokids.query import Question, command
from lingokids.query.answer import cells_of, user_counts_of
from lingokids.query.small_groups import has_small

SLOW = pytest.mark.slow


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
        ({"since": "1/2/2021"}, "since is '1/2/2021': write a UTC day as YYYY-MM-DD"),
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
    users = [a_user_record(900 + n, country_code="fr" if n > 6 else "es") for n in range(1, 9)]
    project.deliver("users", "u", users)
    exits = [
        an_event_record(
            n,
            user_id=an_id(900 + n),
            data={"activity_id": "fish", "duration": 0.1, "completed": n != 1},
        )
        for n in range(1, 9)
    ]
    project.deliver("events", "e", exits)
    project.run()


@pytest.fixture
def played(project_after):
    """Six users in Spain, of whom five completed; two in France."""
    return project_after("played", _play)


def ask(project, smallest_group=5, **asked):
    copy = project.folder / "lingokids-gold.duckdb"
    return command.ask(copy, smallest_group, parse(**asked))


def test_an_answer_is_printed_as_table_csv_and_json(played):
    answer = ask(
        played,
        metric=("total_time_spent", "completion_rate"),
        grain="week",
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
    answer = ask(played, by=("country_code",), smallest_group=3)

    printed = command.FORMATS[written](answer)

    # two users in France; and Spain, or the total would tell
    assert "fr" not in printed.replace("from", "")
    assert answer.rows.num_rows == 0
    assert answer.hidden == 2
    assert "2 of 2 groups, with fewer than 3 users" in answer.notes[0]


def test_a_filter_hides_what_a_split_hides(played):
    for country in ("es", "fr"):
        assert ask(played, where=(f"country_code={country}",)).rows.num_rows == 0


BY_COUNTRY = {"metric": ("active_users", "completion_rate"), "by": ("country_code",)}
TWO_SYSTEMS = {"where": ("os_name=iOS", "os_name=Android")}
THREE_VALUES = {"where": ("country_code=us", "country_code=es", "os_name=iOS"), "grain": "day"}
CONVERTED = {"metric": ("trial_conversion_rate",), "by": ("main_os_name",)}


@pytest.mark.parametrize(
    ("asked", "smallest_group", "is_any_small"),
    [
        (BY_COUNTRY | {"grain": "week"}, 5, True),
        (TWO_SYSTEMS, 5, False),
        # too few are in a country that is not named, which hides the smallest of the others
        ({"where": ("country_code=pl", "country_code=us")}, 5, True),
        ({"metric": ("sessions", "new_users"), "grain": "week"}, 5, False),
        *(
            pytest.param(*case, marks=SLOW)
            for case in [
                (BY_COUNTRY, 2, False),
                (BY_COUNTRY, 60, True),
                (TWO_SYSTEMS, 60, True),
                (THREE_VALUES, 2, True),
                (THREE_VALUES, 5, True),
                ({"metric": ("new_users",), "by": ("country_code", "os_name")}, 5, True),
                (CONVERTED, 2, False),
                (CONVERTED, 60, True),
            ]
        ),
    ],
)
def test_an_answer_in_two_steps_is_that_of_one_query(
    sample_project, asked, smallest_group, is_any_small
):
    copy, question = sample_project.folder / "lingokids-gold.duckdb", parse(**asked)
    table = ibis.duckdb.connect(copy, read_only=True).table(question.subject.table_name)
    judged = has_small(cells_of(table, question), smallest_group, user_counts_of(question))
    assert judged.to_pyarrow().as_py() == is_any_small

    asked_for = command.ask(copy, smallest_group, question)

    at_once = query.answer(table, question, smallest_group=smallest_group).to_pyarrow()
    assert asked_for.rows.to_pylist() == at_once.to_pylist()
    worked_out = query.compute_groups(table, question, smallest_group).to_pyarrow().to_pylist()
    assert asked_for.hidden == sum(group["is_hidden"] for group in worked_out)


def test_a_value_that_does_not_occur_is_noted(played):
    answer = ask(played, where=("os_name=ios",))

    assert answer.rows.num_rows == 0
    assert answer.notes[-1].endswith("too few, users with os_name=ios. Did you mean iOS?")


def test_days_without_activity_are_noted(played):
    (note,) = ask(played, since="2022-01-01").notes

    assert note.startswith("Nothing to show: no, or too few, users match")


def test_a_copy_that_is_not_there_or_not_ours_is_said_to_be_so(tmp_path):
    copy = tmp_path / "gold.duckdb"
    with pytest.raises(LingokidsError, match=r"gold.duckdb is not there yet: uv run kedro run"):
        command.ask(copy, 5, parse())
    copy.write_bytes(b"nonsense" * 1000)
    with pytest.raises(LingokidsError, match=r"gold.duckdb cannot be read"):
        command.ask(copy, 5, parse())
    copy.unlink()
    duckdb.connect(str(copy)).close()
    with pytest.raises(LingokidsError, match=r"has no user_activity_daily yet"):
        command.ask(copy, 5, parse())
    with pytest.raises(LingokidsError, match=r"has no user_journeys yet"):
        command.ask(copy, 5, parse(metric=("trial_rate",)))


@pytest.mark.slow
def test_the_command_answers_while_a_run_holds_the_warehouse(played):
    hold = f"import duckdb; con = duckdb.connect({str(played.database)!r}); print(1); input()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        asked = played.command(
            *("metrics", "-m", "active_users", "--by", "os_name", "--env", "test", "-f", "csv")
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
        (["-m", "active_users"], "is not there yet: uv run kedro run"),
    ],
)
def test_the_command_refuses_in_a_sentence_with_exit_code_1(project, arguments, sentence):
    refused = project.command("metrics", *arguments)

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


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
    answer = ask(
        played,
        metric=("cohort_users",),
        by=("weeks_after_registration",),
        where=("weeks_after_registration=0",),
        smallest_group=1,
    )

    assert answer.rows.to_pylist() == []
    assert "too few, users with weeks_after_registration=0" in answer.notes[-1]
