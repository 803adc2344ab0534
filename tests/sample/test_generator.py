"""The generator keeps its promises, and the committed sample is what it makes."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from lingokids.sample import (
    SAMPLE,
    Plan,
    add_next_day,
    arrival_day,
    write_sample,
)
from lingokids.sample.events import _counts, _pools
from lingokids.sample.users import _cohort, players_on
from sample_deliveries import unzipped

COMMITTED = Path(__file__).parents[2] / "data" / "01_raw"

SMALL = Plan(
    seed=7,
    first_day=date(2022, 3, 1),
    days=6,
    events=600,
    event_objects=30,
    users=30,
    activities=24,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample")
    write_sample(root)
    return root


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def lines_of(plan, n):
    return sum(
        len(unzipped(key, content).splitlines())
        for dataset, key, content in arrival_day(plan, n)
        if dataset == "events"
    )


# The committed sample


def test_the_committed_sample_is_what_the_generator_makes(written):
    last_day = SAMPLE.day(SAMPLE.days - 1).isoformat()
    committed = {
        name: content
        for name, content in files(COMMITTED).items()
        if name.startswith(("exercises/", "events/", "users/", "activities/"))
        # days added by `add_next_day` are no part of it
        if name.startswith("exercises/") or name.split("/")[1] <= last_day
    }
    made = files(written)

    assert committed.keys() == made.keys()
    for name, content in made.items():
        assert unzipped(name, committed[name]) == unzipped(name, content), name


def test_writing_the_sample_leaves_nothing_aside(written):
    assert {path.name for path in written.iterdir()} == {
        "activities",
        "events",
        "exercises",
        "users",
    }


def test_the_sample_has_the_promised_size(objects, delivered, kinds):
    datasets = Counter(dataset for dataset, *_ in objects)

    assert len(delivered) - kinds["blank"] == SAMPLE.events == 8_000
    assert datasets == {"events": SAMPLE.event_objects + 1, "users": 31, "activities": 3}
    assert sum(len(content) for *_, content in objects) < 6_000_000


def test_objects_come_in_the_order_of_their_keys_except_that_users_close_the_day(objects):
    keys = [key for dataset, key, _ in objects if dataset == "events"]

    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


# The laws of the generator


def test_a_day_is_the_same_whichever_days_were_made_before():
    in_order = [list(arrival_day(SMALL, n)) for n in range(8)]
    for function in (_counts, _cohort, players_on, _pools):
        function.cache_clear()

    assert [list(arrival_day(SMALL, n)) for n in reversed(range(8))] == in_order[::-1]


def test_another_seed_makes_other_events():
    other = Plan(**{**SMALL.__dict__, "seed": 8})

    assert list(arrival_day(SMALL, 1)) != list(arrival_day(other, 1))


def test_a_day_does_not_grow_with_history():
    ten_times = Plan(
        **{
            **SMALL.__dict__,
            "days": 10 * SMALL.days,
            "events": 10 * SMALL.events,
            "event_objects": 10 * SMALL.event_objects,
            "users": 10 * SMALL.users,
        }
    )
    blank = int(0.2 * SMALL.objects_on(0)) + 1

    assert all(
        lines_of(ten_times, n) == pytest.approx(lines_of(SMALL, 3), abs=blank) for n in (3, 29, 59)
    )


def test_deliveries_go_on_past_the_last_day_of_the_plan():
    assert lines_of(SMALL, SMALL.days + 3) == pytest.approx(100, abs=3)


# One more day


def test_the_next_day_adds_exactly_one_day(tmp_path):
    write_sample(tmp_path, SMALL)
    before = files(tmp_path)

    added = add_next_day(tmp_path, SMALL)

    new = files(tmp_path).keys() - before.keys()
    assert added == date(2022, 3, 7)
    assert {name.split("/")[1] for name in new} == {"2022-03-07"}
    assert {name: files(tmp_path)[name] for name in before} == before


def test_the_next_day_is_the_same_wherever_it_is_added(tmp_path):
    for root in (tmp_path / "one", tmp_path / "other"):
        write_sample(root, SMALL)
        days = [add_next_day(root, SMALL), add_next_day(root, SMALL)]

        assert days == [date(2022, 3, 7), date(2022, 3, 8)]
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_the_first_day_is_next_where_nothing_has_arrived(tmp_path):
    assert add_next_day(tmp_path, SMALL) == SMALL.first_day


# What the events promise
