"""Environments share no place that one of them writes, and none by accident."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
from kedro.framework.session import KedroSession

from builders import an_event_record
from conftest import ROOT
from lingokids.errors import LingokidsError
from lingokids.storage import ObjectsDataset
from operators import configure

ENVIRONMENTS = sorted(
    path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "local"
)
CONF_README = (ROOT / "conf" / "README.md").read_text()
POLICY = (ROOT / "src/lingokids/minio_setup/pipeline-policy.json").read_text()
#: Read by several on purpose: what is given with the code; of dev, a sample of staging's objects;
#: of spark, those of minio.
SHARED = {"exercises"}
SAME_OBJECTS = {("dev", "staging"), ("minio", "spark")}


def _places(globals_: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What an environment writes, and the raw objects that it reads, by name."""
    warehouse, lake = globals_["warehouse"], globals_["lake"]
    written = {name: warehouse[name] for name in ("database", "published", "reports")}
    written |= {name: warehouse[name] for name in ("catalog", "location") if name in warehouse}
    written |= {name: lake[name] for name in ("bronze", "gold")}
    written |= {name: globals_[name] for name in ("shared", "erasures")}
    written["backups"] = globals_["backups"]["place"]
    raw = {name: globals_["raw"][name] for name in ("events", "users", "activities", "exercises")}
    return written, raw


def _overlaps(one: str, other: str) -> bool:
    """Whether a place is the other one, or in it."""
    paths = PurePosixPath(one), PurePosixPath(other)
    return paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0])


def clashes(places: dict[str, tuple[dict[str, str], dict[str, str]]]) -> list[str]:
    """The places that two environments share."""
    found = []
    for (one, (written, raw)), (other, (theirs, their_raw)) in itertools.permutations(
        places.items(), 2
    ):
        for name, place in written.items():
            for their_name, their_place in (theirs | their_raw).items():
                if _overlaps(place, their_place):
                    found.append(f"{one} {name} and {other} {their_name}: {place}")
        for name in raw.keys() - SHARED:
            is_meant = {(one, other), (other, one)} & SAME_OBJECTS
            if not is_meant and any(_overlaps(raw[name], each) for each in their_raw.values()):
                found.append(f"{one} {name} and {other}: {raw[name]}")
    return found


@pytest.fixture(scope="module")
def resolved():
    """The places of every environment."""
    found = {}
    for name in ENVIRONMENTS:
        with KedroSession.create(ROOT, env=name) as session:
            found[name] = _places(session.load_context().config_loader["globals"])
    return found


@pytest.fixture
def places(resolved):
    """The same, for a test to change."""
    return copy.deepcopy(resolved)


def test_no_two_environments_share_a_place_by_accident(places):
    assert places.keys() >= {"base", "dev", "minio", "prod", "spark", "staging", "test"}
    assert clashes(places) == []


@pytest.mark.parametrize(
    "name", ["database", "published", "reports", "gold", "erasures", "backups"]
)
def test_a_place_that_an_overlay_forgets_would_be_found(name, places):
    places["staging"][0][name] = places["base"][0][name]

    assert len(clashes(places)) >= 2


def test_no_environment_but_those_of_buckets_asks_for_credentials(places):
    for name, (written, raw) in places.items():
        is_of_buckets = any(place.startswith("s3://") for place in (written | raw).values())
        assert is_of_buckets == (name in {"dev", "minio", "prod", "spark", "staging"})


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_the_policy_with_an_environments_names_is_of_its_buckets(name, places):
    """As conf/README.md shows it."""
    (change,) = re.findall(r"sed 's/(.*)/(.*)-prod-/' .*/pipeline-policy.json", CONF_README)
    policy = POLICY.replace(change[0], f"{change[1]}-{name}-")
    written, raw = places[name]
    buckets = {urlsplit(place).netloc for place in (written | raw).values()} - {""}

    # and of the one that tables of Spark would be in
    of_spark = {f"lingokids-{name}-lake"}
    assert set(re.findall(r"arn:aws:s3:::([\w-]+)", policy)) == buckets | of_spark


def _source(folder, **options: Any) -> ObjectsDataset:
    warehouse = {"database": f"{folder}/w.duckdb", "published": f"{folder}/g.duckdb"}
    return ObjectsDataset(path=str(folder), dataset="events", warehouse=warehouse, **options)


def test_a_sample_is_of_the_same_objects_and_a_larger_one_has_them_too(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(1_000):
        (raw / f"2021-01-{number % 28 + 1:02}-{number}.jsonl").touch()

    def sample(share: float) -> set[str]:
        return {found.key for found, _ in _source(raw, share=share).arrivals(None)}

    assert 30 <= len(sample(0.05)) <= 75
    assert sample(0.05) == sample(0.05) < sample(0.3)
    assert len(sample(1)) == 1_000


@pytest.mark.parametrize("share", [0, 1.5, -0.1, "a tenth", None, float("nan")])
def test_a_share_that_is_none_is_refused(share, tmp_path):
    with pytest.raises(LingokidsError, match=r"raw\.events_share is .*: write a number, from"):
        _source(tmp_path, share=share)


@pytest.mark.slow
def test_tables_of_a_sample_are_those_of_its_objects_alone(new_project):
    """Exact, also when a larger share is looked at later: then those of all it has."""
    keys = [str(number) for number in range(1, 41)]
    sampled = new_project()
    _deliver(sampled, keys)
    folder = sampled.folder / "raw" / "events"
    chosen = [found.key for found, _ in _source(folder, share=0.3).arrivals(None)]
    assert 0 < len(chosen) < len(keys)

    configure(sampled, "globals.yml", "events_share: 1", "events_share: 0.3")
    sampled.run()
    alone = new_project()
    _deliver(alone, chosen)
    alone.run()
    assert sampled.snapshot() == alone.snapshot()

    configure(sampled, "globals.yml", "events_share: 0.3", "events_share: 1")
    sampled.run()
    assert len(sampled.table("stg_events")) == len(keys)


def _deliver(project, keys: list[str]) -> None:
    for key in keys:
        project.deliver("events", key, [an_event_record(int(key))])
