"""What a plan says is what the next run does, whatever was delivered and run before."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter

import pytest
from histories import Run, a_history
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from too_strict import RULES, too_strict
from world import World

from lingokids.errors import LingokidsError
from lingokids.operations.plan import Plan, rehearse
from lingokids.schema import BESIDE_BRONZE
from lingokids.storage.duckdb import opening

HISTORIES = int(os.environ.get("LINGOKIDS_HISTORIES", "3"))
BESIDE = {table.table_name for table in BESIDE_BRONZE}


@pytest.fixture(autouse=True)
def _patience(monkeypatch) -> None:
    """A busy machine is no reason to give up."""
    monkeypatch.setattr(opening, "_REHEARSAL_SECONDS", 300.0)


class PlannedWorld(World):
    """A world in which each run is planned; what it does is compared with its plan."""

    def _run(self, run: Run) -> None:
        self._rules = run.rules
        if run.edits:
            self._edit_gold(run)
        if "replay" in run.selection.get("pipeline_names", ()):
            self._run_or_kill(run)
        elif self._lost(run):
            with pytest.raises(LingokidsError, match="rebuild=raw would lose"):
                self._plan(run)
        else:
            before = self._files()
            plan = self._plan(run)
            assert self._files() == before
            records = self._records()
            if self._run_or_kill(run) == "the end":
                self._compare(plan, self._records() - records)
            self._take_in(run)

    def _plan(self, run: Run) -> Plan:
        selection = dict(run.selection)
        names = selection.pop("pipeline_names", ["__default__"])
        if "namespaces" in selection:
            selection["node_namespaces"] = selection.pop("namespaces")
        pipeline = sum((pipelines[name] for name in names), Pipeline([])).filter(**selection)
        self.project.switch_to()
        with KedroSession.create(
            self.project.folder, env="test", runtime_params=run.parameters
        ) as session:
            asked = {"run_id": session.session_id, "env": "test", "runner": "SequentialRunner"}
            asked |= {"pipeline_names": names, "runtime_params": run.parameters}
            with too_strict(self._rule):
                return rehearse(pipeline, session.load_context().catalog, asked)

    def _compare(self, plan: Plan, recorded: set[str]) -> None:
        done = f"run_id IN ({', '.join(map(repr, recorded)) or 'NULL'})"
        taken, wrote, days = Counter(), {}, {}
        if recorded and plan.load_id:
            taken = {
                name: tuple(counts)
                for name, *counts in self.project.rows(
                    "SELECT dataset, count(*), sum(size_bytes) FROM ingested_objects "
                    f"WHERE load_id = {plan.load_id} GROUP BY ALL"
                )
            }
        if recorded:
            wrote = {
                name: tuple(counts)
                for name, *counts in self.project.rows(
                    "SELECT table_name, sum(rows_deleted), sum(rows_inserted) FROM run_steps "
                    f"WHERE {done} GROUP BY ALL"
                )
            }
            days = {
                name: tuple(values)
                for name, *values in self.project.rows(
                    "SELECT table_name, count(date), min(date), max(date) FROM run_units "
                    f"WHERE {done} AND date IS NOT NULL GROUP BY ALL"
                )
            }
        assert {each.dataset: (each.objects, each.size_bytes) for each in plan.objects} == taken
        expected = {each.table_name for each in plan.tables if not each.is_exact}
        unknown = expected | (BESIDE if plan.objects else set())
        exact = [each for each in plan.tables if each.is_exact]
        self.happened["exact tables"] += len(exact)
        assert {each.table_name: (each.rows_deleted, each.rows_inserted) for each in exact} == {
            name: counts for name, counts in wrote.items() if name not in unknown and any(counts)
        }
        assert {
            each.table_name: (each.days, each.first_day, each.last_day)
            for each in exact
            if each.days
        } == {name: values for name, values in days.items() if name not in unknown}

    def _records(self) -> set[str]:
        there = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'runs'"
        if not self.project.database.exists() or not self.project.rows(there)[0][0]:
            return set()
        return {run for (run,) in self.project.rows("SELECT run_id FROM runs")}

    def _files(self) -> dict[str, str]:
        """Every file of the project but the delivered ones."""
        folder = self.project.folder
        files = [path for path in folder.rglob("*") if path.is_file() and "raw" not in path.parts]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _follow(new_project, length: int) -> None:
    seed = int(os.environ.get("LINGOKIDS_SEED") or random.SystemRandom().randrange(10**9))
    print(f"LINGOKIDS_SEED={seed}", flush=True)
    world = PlannedWorld(new_project, rule=random.Random(seed).choice(["", "", *RULES]))
    for happening in a_history(seed, length):
        print(happening)
        world.do(happening)
    # the last run completes what is left; of a second one nothing is due
    for _number in range(2):
        world.do(Run(parameters=world._rules))
    print(world.happened)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(HISTORIES))
def test_a_plan_is_the_run(number, new_project):
    _follow(new_project, 14 + 2 * number % 8)
